"""The manager: the user's only door. It takes submissions, keeps their record, and sees each through its life.

Its law: a request records an intention, the loop carries it out; every step may be repeated and none waits.
"""
