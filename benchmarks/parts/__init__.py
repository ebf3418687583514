"""The parts, each a module with `run(studio, sizes)`; what it returns goes into performance.json under its name."""
