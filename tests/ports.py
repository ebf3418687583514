"""Ports for servers that get theirs before they listen."""

import random
import socket

_BELOW_EPHEMERAL = range(20_000, 32_000)
"""Ports on which no connection of ours or of a neighbouring test begins: the system gives those from 32,768 on."""


def free_port() -> int:
    """Return a port without a listener; it stays free unless another server is given the very same."""
    for port in random.sample(_BELOW_EPHEMERAL, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("100 ports were tried, and all of them are taken")
