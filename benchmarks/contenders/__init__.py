"""Ways to buy the takes of a manifest, each a process: `python -m benchmarks.contenders.NAME MANIFEST OUT`."""
