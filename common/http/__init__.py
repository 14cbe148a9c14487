"""REST helpers: the app factory, request parsing, the client between services, and the bodies they exchange."""
