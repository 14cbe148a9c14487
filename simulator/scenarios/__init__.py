"""Families of scenarios on which laws are judged, made from a seed, with the clairvoyant's answer to each."""
