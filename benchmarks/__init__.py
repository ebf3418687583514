"""What animatic costs and reaches, measured beside other ways of doing the same: `python -m benchmarks PART…`."""
