"""The fault suite: a real stack, a real Redis, one fault at a seeded moment, and what must hold afterwards.

``stage`` is the stack in pieces that can be broken one by one, ``api_proxy`` what breaks the cluster's API,
``catalogue`` the faults by name, ``invariants`` what must hold, ``campaign`` many runs in a row, ``__main__`` the
command line.
"""
