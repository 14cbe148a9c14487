"""A control law and a progress metric of one's own."""
