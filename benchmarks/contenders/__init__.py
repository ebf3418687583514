"""Ways to buy the takes of a manifest, each a process of its own: `python -m benchmarks.contenders.NAME MANIFEST OUT`."""
