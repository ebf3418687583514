"""Metrics and health of a run, for Prometheus and for probes, made from what its progress already knows.

Nothing here knows a prompt, a URL or the key, and nothing decides anything.
"""
