"""Public addresses: none through which a private one can be reached."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.web.addresses import is_public, refusal_of

PUBLIC = ["1.1.1.1", "93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001::200e", "::ffff:1.1.1.1"]
PRIVATE = [
    *(
        "127.0.0.1",
        "10.1.2.3",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "100.127.1.1",
        "0.0.0.0",
        "224.0.0.1",
    ),
    *("192.0.0.8", "192.88.99.1", "198.19.0.1", "240.0.0.1", "255.255.255.255", "203.0.113.1", "198.51.100.1"),
    *(
        "::1",
        "::",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "::ffff:0:7f00:1",
        "1::1",
        "4000::1",
        "2002:7f00:1::",
        "2001:0:1::1",
    ),
    *("fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "3fff::1"),
    *("", "localhost", "1.1.1", "0x7f000001", "1.1.1.1.1"),
]


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_public(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize("text", PRIVATE)
def test_a_private_reserved_or_disguised_address_is_not(text: str) -> None:
    assert not is_public(text)


@given(st.ip_addresses(v=4))
def test_an_address_is_no_more_public_for_being_spelled_as_ipv6(address: ipaddress.IPv4Address) -> None:
    if not is_public(str(address)):
        assert not is_public(f"::ffff:{address}")
        assert not is_public(f"64:ff9b::{address}")
        assert not is_public(str(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80))))


@pytest.mark.parametrize(
    "url", ["https://cdn.example/a.mp4?x=1", "https://cdn.example:8443/a", "https://1.1.1.1/a", "HTTPS://CDN.example/"]
)
def test_an_ordinary_url_may_be_fetched(url: str) -> None:
    assert refusal_of(url) is None


def test_an_origin_of_the_operators_may_be_private_and_that_alone() -> None:
    assert refusal_of("http://127.0.0.1:8787/a.mp4", "http://127.0.0.1:8787") is None
    for url in (
        "http://127.0.0.1:8788/a",
        "http://127.0.0.2:8787/a",
        "https://127.0.0.1:8787/a",
        "http://x@127.0.0.1:8787/a",
    ):
        assert refusal_of(url, "http://127.0.0.1:8787")


@given(st.text(max_size=50))
def test_there_is_always_an_answer(text: str) -> None:
    for url in (text, f"https://{text}", f"https://e.com/{text}"):
        assert refusal_of(url) is None or refusal_of(url)


@pytest.mark.parametrize("host", ["0xA.0x0.0x0.0x1.", "0xa000001", "0x7f.1.", "012.0.0.1.", "10.1"])
def test_an_address_in_any_spelling_is_judged_as_an_address(host: str) -> None:
    assert refusal_of(f"https://{host}/a.png") is not None
