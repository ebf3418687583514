"""Connections that never come about, and an API that says no to all of us."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from animatic.errors import ApiUnreachableError
from animatic.ledger import open_ledger
from animatic.pace.limits import Limits
from torture.matrix.stage import PROVIDER, Setup, case, stats_of


@case("connection", "the API is away", "nothing is bought, and the next run completes it")
async def _away(setup: Setup) -> bool:
    takes = setup.takes("one", "two")
    setup.url = "http://127.0.0.1:9"
    ran = await setup.run(takes)
    assert ran.error is not None
    assert set(await setup.states(takes)) == {"unsent"}
    async with setup.sandbox():
        await setup.run(takes)
        assert await setup.states(takes) == ["completed"] * 2
        assert set(setup.bought.values()) == {1}
    return True


async def _cannot_connect(setup: Setup, url: str) -> bool:
    """A run at an address that no request can leave for, then one at the sandbox; True if the first reported it."""
    takes = setup.takes("one")
    setup.url = url
    ran = await setup.run(takes, client={"submit_deadline_s": 30.0, "read_deadline_s": 0.5})
    assert ran.error is not None
    assert set(await setup.states(takes)) == {"unsent"}
    async with setup.sandbox():
        await setup.run(takes)
        assert await setup.states(takes) == ["completed"]
        assert set(setup.bought.values()) == {1}
    return isinstance(ran.error, ApiUnreachableError)


UNSENT = "nothing was sent, so it may go again, and is bought once"


@case("connection", "the name does not resolve", UNSENT)
async def _no_name(setup: Setup) -> bool:
    return await _cannot_connect(setup, "https://nowhere.invalid")


@case("connection", "nobody takes the connection", UNSENT)
async def _no_answer(setup: Setup) -> bool:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as stack:
        for _ in range(4):  # these fill the queue; later connections get no answer
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        return await _cannot_connect(setup, f"http://127.0.0.1:{deaf.getsockname()[1]}")


@case("connection", "a certificate that nobody vouches for", UNSENT)
async def _bad_certificate(setup: Setup) -> bool:
    heard = 0

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += len(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(
        hear, "127.0.0.1", 0, ssl=await asyncio.to_thread(own_certificate, setup.folder)
    )
    async with server:
        fired = await _cannot_connect(setup, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert heard == 0, "something was said to a stranger"
    return fired


@case("connection", "plain HTTP where TLS should be", UNSENT)
async def _no_tls(setup: Setup) -> bool:
    async with setup.sandbox(folder=setup.folder / "plain"):
        plain = setup.url
        return await _cannot_connect(setup, plain.replace("http:", "https:"))


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime.now(UTC) - timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(begin).not_valid_after(begin + timedelta(days=9)).add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    both = folder / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


@case(
    "connection",
    "429 with all kinds of Retry-After",
    "everybody waits no longer than the clamp, then it is bought once",
)
async def _busy(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes(*(f"[sandbox:retry-after={value}] take" for value in ("1", "soon", "-5", "0.5")))
        from animatic.wavespeed import replies

        assert replies.LONGEST_RETRY_AFTER_S <= 120
        task = asyncio.ensure_future(setup.run(takes, take_deadline_s=60.0))
        await asyncio.wait_for(task, 60)
        assert await setup.states(takes) == ["completed"] * 4
        return (await stats_of(setup))["fired_retry-after"] >= 4


@case("reply", "401, 402, 403", "the run stops before more is sent, and nothing was bought")
async def _stop(setup: Setup) -> bool:
    fired = 0
    for token in ("unauthorised", "payment-required", "unpaid"):
        async with setup.sandbox():
            takes = setup.takes(f"[sandbox:{token}] first", *(f"{token} {number}" for number in range(20)))
            ran = await setup.run(takes, limits=Limits(1_000, 1))
            stats = await stats_of(setup)
            assert ran.shoot.stop_signal.reason
            assert stats["accepted"] == 0
            fired += stats[f"fired_{token}"]
    return fired == 3


@case("reply", "one id for two takes", "both are held, and a person settles them")
async def _same_id(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=5.0):
        takes = setup.takes("one", "[sandbox:same-id] two")
        ran = await setup.run(takes, limits=Limits(1_000, 2), take_deadline_s=1.0)
        assert ran.error is None
        assert await setup.states(takes) == ["held", "held"]
        ids = [each.id for each in setup.accepted]
        with open_ledger(setup.ledger.url) as opened:
            await opened.settle_by_hand(PROVIDER, [(takes[1].fingerprint, ids[1])], [])
            await opened.settle_by_hand(PROVIDER, [(takes[0].fingerprint, ids[0])], [])
        assert await setup.states(takes) == ["submitted", "submitted"]
        return (await stats_of(setup))["fired_same-id"] == 1
