"""Runtimes: what really runs containers. ``port`` is the protocol, ``process`` runs them as processes of this machine.

Nothing is imported here: the node agent lives in this package and must stay small.
"""
