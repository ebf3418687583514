"""Servers and other processes of ours: Prefect's own, the embedded sandbox, scheduled deployments."""
