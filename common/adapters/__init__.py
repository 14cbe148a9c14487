"""Ports made real. Each third-party client is imported in the adapter named after it, and nowhere else."""
