"""The local stack as processes: which there are, on which ports, started, watched over, and ended."""
