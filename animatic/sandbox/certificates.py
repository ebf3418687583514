"""Certificate and key of a sandbox that other machines reach: read and tried before anything listens."""

import ssl
from pathlib import Path

from animatic.errors import SettingsError

_TURNS = 8
"""More than a TLS handshake takes between two ends in one process."""


def server_context(certificate: Path, key: Path, host: str) -> ssl.SSLContext:
    """Return the context that a sandbox on `host` serves with.

    Raises SettingsError where clients that check certificates would not connect: files that cannot be read or do not
    belong together, a certificate for another address, or one that is not valid today.
    """
    _refuse_unreadable("--tls-cert", certificate, "CERTIFICATE", "certificate")
    _refuse_unreadable("--tls-key", key, "PRIVATE KEY", "private key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asked: list[str] = []

    def no_passphrase() -> str:
        asked.append("passphrase")
        return ""

    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        if asked:
            raise _fault("--tls-key", key, "it is locked with a passphrase", "a key without one") from None
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            why = f'it is not the key of the certificate in "{certificate}"'
            raise _fault("--tls-key", key, why, "the key that belongs to it") from None
        why = f'OpenSSL cannot use it with "{key}" ({_reason_of(error)})'
        raise _fault("--tls-cert", certificate, why, "PEM files that go together") from None
    problem = _problem_for_clients(context, certificate, host)
    if problem is not None:
        why = f"clients would refuse it ({problem})"
        raise _fault("--tls-cert", certificate, why, f"a certificate for {host} that is valid now")
    return context


def _fault(option: str, path: Path, why: str, allowed: str) -> SettingsError:
    return SettingsError(f'sandbox: {option}: found "{path}": {why}; allowed: {allowed}')


def _refuse_unreadable(option: str, path: Path, label: str, noun: str) -> None:
    try:
        text = path.read_bytes()
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"{error.strerror}"
        raise _fault(option, path, why, f"a {noun} in PEM form") from None
    if f"{label}-----".encode() not in text:
        raise _fault(option, path, f"it holds no {noun}", f"a {noun} in PEM form")


def _problem_for_clients(context: ssl.SSLContext, certificate: Path, host: str) -> str | None:
    """Return a client's objection to the certificate, in OpenSSL's words, who signed it left aside; None without one.

    A handshake in memory, in which the client trusts the certificates of the file.
    """
    trusting = ssl.create_default_context(cafile=str(certificate))
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(_TURNS):
            if _step(client) and _step(server):
                return None
            _step(server)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message.rstrip(".")
    except ssl.SSLError as error:
        return _reason_of(error)
    return "the handshake does not end"


def _step(end: ssl.SSLObject) -> bool:
    """Take one end of a handshake as far as it goes; True once it is done."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _reason_of(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).lower().replace("_", " ")
