"""What two packages of the suite use, and nothing else.

Law: ``http | adapters > ports > domain``. The domain is pure, ports are protocols, adapters touch the world.
"""
