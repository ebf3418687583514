"""The `doctor` command: what a run would use, and whether it works. Buys nothing without `--buy-one`."""
