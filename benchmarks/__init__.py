"""Benchmarks: cost and speed, beside other ways of doing the same: `python -m benchmarks PART…`."""
