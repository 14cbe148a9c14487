"""Parts of benchmarks.control: who competes, in what, and which bars are set."""
