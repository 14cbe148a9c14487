"""The monitor: measures how far each submission is, and how it got there.

Its law: it only reads what it measures. One measurement is one pass over the queue and the cluster, on the clock of the
queue's Redis; it becomes the latest Observation, points of the time series, and a running tally, in that order.
"""
