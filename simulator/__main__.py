"""``python -m simulator``."""

from simulator.command import main

if __name__ == "__main__":
    main()
