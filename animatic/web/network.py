"""Proxies and certificate authorities, as one value that is passed down from the settings. Pure.

A proxy's user and password are kept apart from its URL, so that no error, log or key of a connection pool holds them.
"""

import base64
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from animatic.web.addresses import USUAL_PORTS

PROXY_ADVICE = "Check HTTPS_PROXY and HTTP_PROXY: a proxy on the way wants to know who asks, or does not connect."

PROXY_REFUSAL = 407
_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, reached over TLS where its scheme is https.

    Attributes:
        url: scheme, host and port.
        authorization: value of the header Proxy-Authorization; None where the URL named no user.
    """

    url: str
    authorization: SecretStr | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as they are resolved."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or USUAL_PORTS[parts.scheme]

    @property
    def headers(self) -> dict[str, str]:
        """Headers that only the proxy may see."""
        if self.authorization is None:
            return {}
        return {"Proxy-Authorization": self.authorization.get_secret_value()}


@dataclass(frozen=True, slots=True)
class Network:
    """The way to other machines.

    Attributes:
        https: proxy for https URLs, by CONNECT: it sees host and port, and nothing of the request.
        http: proxy for http URLs, which it sees in full.
        no_proxy: hosts that are reached directly, in the form of NO_PROXY.
        ca_file: PEM file of the only authorities to trust; empty: the usual ones.
        ca_folder: the same as a folder of hashed names, read where there is no file.
    """

    https: Proxy | None = None
    http: Proxy | None = None
    no_proxy: str = ""
    ca_file: str = ""
    ca_folder: str = ""

    @property
    def proxies(self) -> frozenset[tuple[str, int]]:
        """Host and port of every proxy."""
        return frozenset(proxy.address for proxy in (self.https, self.http) if proxy is not None)

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy for a URL; None where it is reached directly, as loopback always is."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if is_this_machine(host) or _is_listed(host, parts.port or USUAL_PORTS.get(parts.scheme), self.no_proxy):
            return None
        return {"https": self.https, "http": self.http}.get(parts.scheme)


DIRECT = Network()
"""No proxy, and the usual authorities."""


def read_proxy(text: str) -> Proxy:
    """Return the proxy that the value of a variable names.

    Raises:
        ValueError: it names none that can be used; the message holds nothing of user or password.
    """
    allowed = "allowed: http:// or https://host:port"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"is no URL that can be read; {allowed}") from None
    if scheme not in USUAL_PORTS:
        raise ValueError(f"found a proxy of type {scheme[:20]}; {allowed}")
    if port == 0 or not re.fullmatch(r"[\w.\-:%]+", host, re.ASCII):
        raise ValueError(f"is no URL of a host; {allowed}")
    shown = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{shown}:{port or USUAL_PORTS[scheme]}"
    if parts.username is None:
        return Proxy(url)
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(url, SecretStr(f"Basic {base64.b64encode(login).decode()}"))


def read_network(environ: Mapping[str, str]) -> tuple[Network, list[str]]:
    """Return how an environment wants other machines to be reached, and a line for each variable that cannot be used.

    It does not look for the certificates: `certificates` does.
    """
    faults: list[str] = []
    proxies: dict[str, Proxy] = {}
    for scheme in USUAL_PORTS:
        variable, value = _first_of(environ, f"{scheme.upper()}_PROXY", "ALL_PROXY")
        if value:
            proxies |= _read_into(faults, scheme, variable, value)
    unused, value = _first_of(environ, "ALL_PROXY")
    if value and len(proxies) == len(USUAL_PORTS):  # the libraries around us read it too, and fail where they cannot
        _read_into(faults, "all", unused, value)
    network = Network(
        https=proxies.get("https"),
        http=proxies.get("http"),
        no_proxy=_first_of(environ, "NO_PROXY")[1],
        ca_file=environ.get("SSL_CERT_FILE", ""),
        ca_folder=environ.get("SSL_CERT_DIR", ""),
    )
    return network, list(dict.fromkeys(faults))


def _read_into(faults: list[str], scheme: str, variable: str, value: str) -> dict[str, Proxy]:
    try:
        return {scheme: read_proxy(value)}
    except ValueError as fault:
        faults.append(f"{variable}: {fault}")
        return {}


def _first_of(environ: Mapping[str, str], *variables: str) -> tuple[str, str]:
    """Return the first of these variables that is set, and its value. The lower-case name wins, as with curl."""
    for variable in variables:
        for spelling in (variable.lower(), variable):
            if value := environ.get(spelling, "").strip():
                return spelling, value
    return variables[0], ""


def is_this_machine(host: str) -> bool:
    """Tell a host that, by name or by address in any spelling, can only mean this machine; no proxy is asked for it."""
    name = host.rstrip(".").lower()
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    address = _address_of(name)
    if address is None:
        return False
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any(each.is_loopback or each.is_unspecified for each in (address, inner) if each is not None)


def _is_listed(host: str, port: int | None, no_proxy: str) -> bool:
    """Tell a host that NO_PROXY names: itself, a domain above it, its network, or `*`; each with a port or without."""
    name = host.rstrip(".").lower()
    return any(_is_meant(name, port, entry) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _is_meant(name: str, port: int | None, entry: str) -> bool:
    if entry == "*":
        return True
    match = re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+)(?::(\d+))?", entry)
    listed = (match[1] or match[3]) if match else entry  # an IPv6 address without brackets is no name with a port
    listed_port = (match[2] or match[4]) if match else None
    if listed_port is not None and listed_port != str(port):
        return False
    address = _address_of(name)
    if address is not None:
        try:
            return address in ipaddress.ip_network(listed, strict=False)
        except ValueError:
            return False
    domain = listed.removeprefix("*").strip(".")
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a text spells, also as the C library reads it: 127.1, 0x7f000001."""
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return None
