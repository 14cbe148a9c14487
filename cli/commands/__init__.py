"""The commands, one module a concern."""
