"""Which addresses are this machine and nobody else. Pure: resolves no names."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host, a literal address or a name, is loopback; of names, `localhost` alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
