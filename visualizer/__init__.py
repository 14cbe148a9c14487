"""The visualizer: shows people what is going on, from what the other services tell.

Its law: it only looks. Whatever happens here, no submission is slowed, changed or stopped by it; when a service it
asks is away, it shows what was last known, says since when, and recovers by itself.
"""
