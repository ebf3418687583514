"""Addresses of this machine alone. Pure: resolves no names."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell if a host, a literal address or a name, is loopback; of names, `localhost` alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
