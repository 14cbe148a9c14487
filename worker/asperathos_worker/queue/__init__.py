"""The leased work queue: one implementation for workers and services.

``records`` are the values that go in and out, ``api`` the two protocols (worker's side, service's side),
``redis_queue`` the real thing (Lua scripts under ``lua/``), ``memory_queue`` the in-memory fake with the same laws.
"""
