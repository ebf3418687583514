"""Checks of certificates, the same for the API, for the web and for proxies that are reached over TLS."""

import functools
import ssl
from pathlib import Path

import certifi

from animatic.machine.start_folder import from_start
from animatic.web.network import Network

TRUST_ADVICE = "Where a company's own authority signs, name its certificates (with the usual ones) in SSL_CERT_FILE."


def tls_context(network: Network, *, trusts_system: bool = False) -> ssl.SSLContext:
    """Return the context for a network's connections; one for all of them, since reading the authorities takes 25 ms.

    Authorities that the network names replace the usual ones, as with httpx. Raises OSError where there are none.

    Args:
        network: names the authorities.
        trusts_system: besides certifi's, the usual ones are those of this machine.
    """
    ca_file = from_start(network.ca_file) if network.ca_file else ""
    return _context(ca_file, _places(network.ca_folder), trusts_system=trusts_system)


def certificate_faults(network: Network) -> list[str]:
    """Return a line that says what is wrong with the authorities that a network names; none where nothing is."""
    named = [("SSL_CERT_FILE", network.ca_file, _fault_of_file), ("SSL_CERT_DIR", network.ca_folder, _fault_of_folder)]
    variable, place, fault_of = next((each for each in named if each[1]), ("", "", lambda _: None))
    fault = fault_of(place)
    if fault is None:
        return []
    allowed = "allowed: the PEM certificates of the authorities to trust"
    return [f'{variable}: found "{place}": {fault}; {allowed}. Correct it, or unset it to trust the usual ones.']


def _places(listed: str) -> str:
    """Paths of a list as they are meant: from the folder in which a command was typed."""
    return ":".join(from_start(place) for place in listed.split(":") if place)


def _fault_of_file(place: str) -> str | None:
    path = from_start(place)
    if not Path(path).exists():
        return "there is no such file"
    if not Path(path).is_file():
        return "it is no file"
    try:
        found = _context(path, "", trusts_system=False).cert_store_stats()["x509"]
    except ssl.SSLError:
        found = 0
    except OSError as error:
        return f"it cannot be read ({error.strerror or type(error).__name__})"
    return None if found else "it holds no certificate in PEM form"


def _fault_of_folder(place: str) -> str | None:
    return None if any(Path(folder).is_dir() for folder in _places(place).split(":")) else "there is no such folder"


@functools.cache
def _context(ca_file: str, ca_folder: str, *, trusts_system: bool) -> ssl.SSLContext:
    if ca_file:
        return ssl.create_default_context(cafile=ca_file)
    if ca_folder:
        return ssl.create_default_context(capath=ca_folder)
    context = ssl.create_default_context(cafile=certifi.where())
    if trusts_system:
        context.load_default_certs()
    return context
