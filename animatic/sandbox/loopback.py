"""Addresses, and those of this machine alone. Pure: resolves no names."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell if a host, a literal address or a name, is loopback; of names, `localhost` alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_address(host: str) -> bool:
    """Tell if a host is a literal address, as those are that a sandbox gives out."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
