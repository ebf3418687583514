"""Rules for URLs of others: which may be fetched, and which addresses connected to. Pure.

Everything that is not plainly an address of the public Internet is refused: `ipaddress` alone calls multicast, NAT64,
6to4 and some reserved blocks global, behind which any private address can hide.
"""

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

MAX_URL_CHARS = 8_192
USUAL_PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER = tuple(
    ipaddress.ip_network(block)
    for block in (
        *(
            "0.0.0.0/8",
            "100.64.0.0/10",
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
        *("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2002::/16", "3fff::/20", "5f00::/16"),
        *("fec0::/10", "ff00::/8"),
    )
)


_UNICAST = ipaddress.ip_network("2000::/3")
"""The part of IPv6 from which addresses of the public Internet are given out."""


def is_public(text: str) -> bool:
    """Tell if an address, as the system gives it, is a unicast address of the public Internet."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_is_plain(each) for each in _inside(address))


def refusal_of(url: str, allowed_origin: str = "") -> str | None:  # noqa: PLR0911 - one return a rule
    """Return why a URL may not be fetched, in a few words, or None. `allowed_origin` is one that the operator gave."""
    if len(url) > MAX_URL_CHARS:
        return f"it has {len(url):,} characters, allowed: {MAX_URL_CHARS:,}"
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "it holds blanks, backslashes, control characters or characters that are not ASCII"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "it cannot be read as a URL"
    if allowed_origin and _origin_of(url) == _origin_of(allowed_origin) and "@" not in parts.netloc:
        return None
    if parts.scheme != "https" or not url.lower().startswith("https://"):
        return "its scheme is not https"
    if "@" in parts.netloc:
        return "it names a user"
    if not host.strip(".") or port == 0:
        return "it names no host, or no port"
    return _refusal_of_host(host)


_LOOKS_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*")
"""An address in one of the spellings that resolvers still take: hexadecimal, octal, in fewer parts than four."""


def _refusal_of_host(host: str) -> str | None:
    """Names are judged by their addresses; texts that can only mean a private place are refused here."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal", ".home.arpa")) or "%" in host:
        return "its host is on a private network"
    if ":" in host or name.replace(".", "").isdigit() or _LOOKS_NUMERIC.fullmatch(name):
        return None if is_public(name) else "its address is not one of the public Internet"
    return None if "." in name else "its host is no full name"


def _origin_of(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or USUAL_PORTS.get(parts.scheme)


def _inside(address: Address) -> Iterator[Address]:
    """Yield the address, and the IPv4 address that it stands for, if it does."""
    yield address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        yield address.ipv4_mapped


def _is_plain(address: Address) -> bool:
    is_mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    if isinstance(address, ipaddress.IPv6Address) and not is_mapped and address not in _UNICAST:
        return False
    is_refused = any(address.version == block.version and address in block for block in _NEVER)
    return (address.is_global or is_mapped) and not is_refused and not address.is_multicast
