"""The words of the suite as values: pure, no clock, no I/O, standard library and pydantic only."""
