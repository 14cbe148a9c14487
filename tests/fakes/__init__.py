"""In-memory ports for unit tests: no sockets, no sleeps, time only moves when a test moves it."""
