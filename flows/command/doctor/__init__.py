"""The `doctor` command: what a run would use, and whether it works. Buys nothing unless it is told to buy one take."""
