"""Proxy that a URL is reached by: none for this machine, none for what NO_PROXY names, else that of its scheme."""

import base64
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.canonical import is_loopback
from animatic.web.network import DIRECT, Network, is_this_machine, read_network, read_proxy

HERE = [
    "localhost",
    "LOCALHOST.",
    "sandbox.localhost",
    "localhost.localdomain",
    "127.0.0.1",
    "127.200.3.4",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:127.0.0.1",
]
ELSEWHERE = ["api.wavespeed.ai", "localhost.example", "10.0.0.1", "128.0.0.1", "::2", "fe80::1%eth0", "mylocalhost", ""]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.3", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert is_this_machine(host)


@pytest.mark.parametrize("host", HERE)
def test_this_machine_never_goes_through_a_proxy(host: str) -> None:
    proxy = read_proxy("proxy.example:3128")
    shown = f"[{host}]" if ":" in host else host
    for scheme in ("https", "http"):
        assert Network(https=proxy, http=proxy).proxy_for(f"{scheme}://{shown}:8787/a") is None


@pytest.mark.parametrize("host", ELSEWHERE)
def test_any_other_host_is_not_this_machine(host: str) -> None:
    assert not is_this_machine(host)


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("", "https://api.example", False),
        ("*", "https://api.example", True),
        ("api.example", "https://api.example", True),
        ("example", "https://api.example", True),
        (".example", "https://api.example", True),
        ("*.example", "https://api.example", True),
        ("ample", "https://api.example", False),
        ("other, api.EXAMPLE", "https://API.example./a", True),
        ("other api.example", "https://api.example", True),
        ("api.example:443", "https://api.example", True),
        ("api.example:8443", "https://api.example", False),
        ("api.example:80", "http://api.example", True),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.1.2.3", "http://10.1.2.3:8080/", True),
        ("1.2.3", "http://10.1.2.3:8080/", False),
        ("[2001:db8::1]:8080", "http://[2001:db8:0::1]:8080/", True),
        ("2001:db8::/32", "http://[2001:db8::5]/", True),
        ("2001:db8::1", "http://[2001:db8::5]/", False),
        (".,:,[],/", "https://api.example", False),
    ],
)
def test_no_proxy_names_hosts_domains_networks_and_ports(no_proxy: str, url: str, *, is_direct: bool) -> None:
    proxy = read_proxy("proxy.example")
    assert (Network(https=proxy, http=proxy, no_proxy=no_proxy).proxy_for(url) is None) == is_direct


@given(st.text(max_size=30), st.text(max_size=20))
def test_any_no_proxy_can_be_read(no_proxy: str, host: str) -> None:
    proxy = read_proxy("proxy.example")
    assert Network(https=proxy, no_proxy=no_proxy).proxy_for("https://api.example") in {proxy, None}
    assert is_this_machine(host) in {True, False}


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128", None),
        ({"https_proxy": "proxy.example:3128"}, "http://proxy.example:3128", None),
        ({"HTTP_PROXY": "proxy.example"}, None, "http://proxy.example:80"),
        ({"http_proxy": "http://small:1", "HTTP_PROXY": "http://large:1"}, None, "http://small:1"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:1"}, "http://small:1", None),
        ({"ALL_PROXY": "https://all"}, "https://all:443", "https://all:443"),
        ({"all_proxy": "http://all:1", "HTTPS_PROXY": "http://one:1/"}, "http://one:1", "http://all:1"),
        ({"HTTPS_PROXY": "HTTP://[2001:DB8::1]:3128"}, "http://[2001:db8::1]:3128", None),
    ],
)
def test_the_environment_names_a_proxy_for_each_scheme(
    environ: dict[str, str], https: str | None, http: str | None
) -> None:
    network, faults = read_network(environ)
    assert faults == []
    assert (network.https and network.https.url, network.http and network.http.url) == (https, http)


def test_a_proxys_login_is_unquoted_and_kept_out_of_every_text() -> None:
    proxy = read_proxy("http://us%40er:pa%3Ass%20word@proxy:3128")
    assert proxy.url == "http://proxy:3128"
    login = base64.b64decode(proxy.headers["Proxy-Authorization"].removeprefix("Basic "))
    assert login == b"us@er:pa:ss word"
    for text in (repr(proxy), str(Network(https=proxy)), repr(Network(https=proxy).proxies)):
        assert "ss" not in text
    assert pickle.loads(pickle.dumps(proxy)) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "socks5://user:secret@proxy:1080",
        "socks5h://user:secret@proxy",
        "http://user:secret@proxy:0",
        "http://user:secret@proxy:x",
        "http://[secret",
        "http://user:secret@",
        "http://user:secret@pro xy",
        "ftp://user:secret@proxy",
    ],
)
def test_an_unusable_proxy_is_named_without_its_password(url: str) -> None:
    for variable, of_both in (("HTTPS_PROXY", False), ("http_proxy", False), ("ALL_PROXY", True)):
        network, faults = read_network({variable: url})
        assert network == DIRECT
        (fault,) = faults
        assert fault.startswith(f"{variable}: "), of_both
        assert "secret" not in fault


def test_a_socks_proxy_for_all_is_refused_beside_others_too() -> None:
    usual = {"HTTP_PROXY": "http://proxy:1", "HTTPS_PROXY": "http://proxy:1"}
    for name in ("ALL_PROXY", "all_proxy"):
        _, faults = read_network(usual | {name: "socks5://127.0.0.1:9"})
        assert faults == [f"{name}: found a proxy of type socks5; allowed: http:// or https://host:port"]
    assert read_network(usual | {"ALL_PROXY": "http://other:2"})[1] == []
