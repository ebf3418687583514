"""The sandbox on other addresses than loopback: over TLS only, with files that clients can do with."""

import asyncio
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from animatic.errors import SettingsError
from animatic.sandbox.certificates import server_context
from animatic.sandbox.config import SandboxConfig
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.network import Network
from tools.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def _address_of_this_machine() -> str:
    """Return an address of this machine that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return asking.getsockname()[0]


async def test_another_address_is_served_over_tls_and_animatic_buys_there(
    open_sandbox: Callable[..., Any], authority: Authority, still: bytes
) -> None:
    address = _address_of_this_machine()
    pem = authority.certificate_for(address)
    caller = await open_sandbox(host=address, tls_cert=pem, tls_key=pem)
    assert caller.sandbox.url.startswith(f"https://{address}:")
    network = Network(ca_file=str(authority.file))
    async with WaveSpeedClient(caller.sandbox.url, "sandbox-key", network=network) as client:
        uploaded = await client.upload("a.png", still, "image/png")
    assert uploaded.startswith(f"{caller.sandbox.url}/uploads/")
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await asyncio.to_thread(urllib.request.urlopen, f"{caller.sandbox.url}/sandbox/health", timeout=5)


def test_the_process_prints_the_address_that_others_use(
    tmp_path: Path, authority: Authority, start_process: Callable[..., Any]
) -> None:
    pem = authority.certificate_for("127.0.0.1")
    server = start_process("--folder", str(tmp_path / "state"), "--tls-cert", str(pem), "--tls-key", str(pem))
    assert server.url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=authority.file)
    with urllib.request.urlopen(f"{server.url}/sandbox/health", timeout=5, context=trusting) as reply:
        assert reply.status == 200


@pytest.mark.parametrize("host", ["192.168.1.5", "10.0.0.2", "2001:db8::1"])
def test_other_machines_are_not_served_in_the_clear(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="give --tls-cert and --tls-key") as refused:
        SandboxConfig(folder=tmp_path, host=host)
    assert f'found "{host}"' in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org", "", "224.0.0.1", "fe80::1%eth0"])
def test_a_host_is_one_address(tmp_path: Path, host: str) -> None:
    pem = tmp_path / "both.pem"
    with pytest.raises(SettingsError, match="one address of this machine"):
        SandboxConfig(folder=tmp_path, host=host, tls_cert=pem, tls_key=pem)


@pytest.mark.parametrize(("given", "missing"), [("tls_cert", "--tls-key"), ("tls_key", "--tls-cert")])
def test_certificate_and_key_go_together(tmp_path: Path, given: str, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"was given without {missing}"):
        SandboxConfig(folder=tmp_path, **{given: tmp_path / "a.pem"})


def _refusal(certificate: Path, key: Path, host: str = "10.0.0.2") -> str:
    with pytest.raises(SettingsError) as refused:
        server_context(certificate, key, host)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path, authority: Authority) -> None:
    pem = authority.certificate_for("10.0.0.2")
    assert _refusal(tmp_path / "none.pem", pem).startswith(
        f'sandbox: --tls-cert: found "{tmp_path}/none.pem": there is no such file'
    )
    assert _refusal(pem, tmp_path).startswith(f'sandbox: --tls-key: found "{tmp_path}": Is a directory')


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, authority: Authority) -> None:
    pem = authority.certificate_for("10.0.0.2")
    closed = tmp_path / "closed.pem"
    closed.write_bytes(pem.read_bytes())
    closed.chmod(0)
    assert "Permission denied" in _refusal(pem, closed)


def test_a_file_without_a_certificate_or_key_is_named(authority: Authority, tmp_path: Path) -> None:
    pem = authority.certificate_for("10.0.0.2")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    assert "it holds no certificate" in _refusal(empty, pem)
    assert "it holds no private key" in _refusal(pem, authority.file)
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "OpenSSL cannot use it" in _refusal(broken, pem)


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    mine, other = authority.certificate_for("10.0.0.2"), authority.certificate_for("10.0.0.3")
    assert f'it is not the key of the certificate in "{mine}"' in _refusal(mine, other)


def test_a_locked_key_is_refused_without_asking_anybody(authority: Authority, tmp_path: Path) -> None:
    pem = authority.certificate_for("10.0.0.2")
    key = load_pem_private_key(pem.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary")))
    assert "locked with a passphrase" in _refusal(pem, locked)


def test_a_certificate_that_clients_refuse_is_refused_at_the_start(authority: Authority) -> None:
    pem = authority.certificate_for("10.0.0.2")
    assert "IP address mismatch" in _refusal(pem, pem, "10.0.0.9")
    past = authority.certificate_for("10.0.0.2", valid_for=timedelta(hours=-1))
    assert "certificate has expired" in _refusal(past, past)
    assert server_context(fresh := authority.certificate_for("10.0.0.2"), fresh, "10.0.0.2")


def test_a_refusal_ends_the_process_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from animatic.sandbox.__main__ import main  # noqa: PLC0415 - sets the umask

    umask = os.umask(0o022)
    try:
        assert main(["--folder", str(tmp_path), "--tls-cert", str(tmp_path / "no"), "--tls-key", "no"]) == 2
    finally:
        os.umask(umask)
    said = capsys.readouterr().err
    assert (said.count("\n"), said.startswith("sandbox: --tls-cert: found")) == (1, True)


@pytest.mark.parametrize("origin", ["https://10.0.0.2:8787", "http://127.0.0.1:8787", "https://[2001:db8::1]:8787"])
def test_an_upload_is_known_at_every_address(origin: str) -> None:
    from animatic.sandbox.uploads import uploaded_name  # noqa: PLC0415 - imports Pillow

    name = f"{'a' * 32}.png"
    assert uploaded_name(f"{origin}/uploads/{name}") == name
    assert uploaded_name(f"https://stills.example/uploads/{name}") is None
    assert uploaded_name("https://10.0.0.2/uploads/still.png") is None
