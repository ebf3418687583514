"""`make fleet`: the parts of deployments/compose.yaml as plain processes on loopback, without containers."""
