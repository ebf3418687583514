"""The canonical form: what two rows may differ in and still be the same take, and everything that they may not."""

import re
import string
import unicodedata
from hashlib import sha256

import pytest
from asked import inputs_of
from examples import examples
from hypothesis import assume, example, given
from hypothesis import strategies as st

from animatic.takes.canonical import (
    SIGNATURES,
    Signature,
    canonical_provider,
    canonical_still,
    canonical_text,
    canonical_url,
    is_here,
    is_loopback,
    is_signed_by_path,
    provider_in_words,
    provider_of,
)
from animatic.takes.shots import fingerprint, verbatim

unhurried = examples(150)

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u180e\u00ad"
HOST_OF = {
    "Azure Storage, shared access signature": "films.blob.core.windows.net",
    "Discord attachments": "cdn.discordapp.com",
}


# Texts


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("push in", "push in"),
        ("  push in\t", "push in"),
        ("push in\n", "push in"),
        ("\u00a0push in\u3000", "push in"),
        ("one\r\ntwo\rthree\nfour", "one\ntwo\nthree\nfour"),
        ("one\r\n\r\ntwo", "one\n\ntwo"),
        ("Ku\u0308ste", "K\u00fcste"),
        ("\ufeffpush in\u200b", "push in"),
        *((f"{char} push in {char}", "push in") for char in ZERO_WIDTH),
        (" \u200b \ufeff ", ""),
        ("", ""),
    ],
    ids=ascii,
)
def test_line_ends_normal_form_and_edges_do_not_count(written: str, canonical: str) -> None:
    assert canonical_text(written) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "push  in",
        "Push in",
        "push\tin",
        "push in.",
        "one\n\ntwo",
        "fam\u200dily",
        "a\u00adb",
        "\ufb01lm",  # a ligature: equal in NFKC only
        "x\u00b2",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    ],
    ids=ascii,
)
def test_everything_inside_a_text_counts(text: str) -> None:
    assert canonical_text(text) == text


@unhurried
@given(st.text(st.sampled_from("ab \t\r\n\u0308u\u00fc\u00a0" + ZERO_WIDTH) | st.characters(), max_size=20))
@example("\u200b\u0308x")
@example("\r\u0308")
@example("u\u200b\u0308 ")
@example("\u00ad\u0344")
def test_a_canonical_text_is_its_own_canonical_form(text: str) -> None:
    once = canonical_text(text)
    assert canonical_text(once) == once
    assert "\r" not in once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip()
    assert once == once.strip(ZERO_WIDTH)


@unhurried
@given(st.text(max_size=12), st.sampled_from(["", " ", "\n", "\u200b", "\ufeff \t"]))
def test_blanks_at_the_edges_never_make_another_text(text: str, edge: str) -> None:
    assume(unicodedata.combining(text[:1] or "x") == 0)
    assert canonical_text(edge + canonical_text(text) + edge) == canonical_text(text)


# URLs


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("https://e.com/a.png", "https://e.com/a.png"),
        ("HTTPS://E.COM/a.png", "https://e.com/a.png"),
        ("https://e.com:443/a.png", "https://e.com/a.png"),
        ("https://e.com:/a.png", "https://e.com/a.png"),
        ("http://e.com:80/a.png", "http://e.com/a.png"),
        ("https://e.com/a.png#top", "https://e.com/a.png"),
        ("https://e.com/a.png#a?b", "https://e.com/a.png"),
        ("https://e.com/a.png?w=1#top", "https://e.com/a.png?w=1"),
        ("https://E.com:443?w=1", "https://e.com?w=1"),
        ("https://[::1]:443/a.png", "https://[::1]/a.png"),
        ("https://[::1]:8443/A.png", "https://[::1]:8443/A.png"),
        ("https://Me:Pass@E.com:443/a.png", "https://Me:Pass@e.com/a.png"),
    ],
)
def test_scheme_host_default_port_and_fragment_do_not_count(written: str, canonical: str) -> None:
    assert canonical_url(written) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "https://e.com/A.png",
        "https://e.com/a.png?",
        "https://e.com/a.png?W=1&b=2",
        "https://e.com/a.png?b=2&W=1",
        "https://e.com/a%20b.png",
        "https://e.com/a%2fb.png",
        "https://e.com/a%2Fb.png",
        "https://e.com//a.png",
        "https://e.com/a.png/",
        "https://e.com:8443/a.png",
        "http://e.com/a.png",
        "http://e.com:443/a.png",
        "https://e.com./a.png",
        "https://www.e.com/a.png",
        "https://e.com/a.png?v=1",
        "https://e.com/a.png?version=2&size=large",
    ],
)
def test_everything_else_of_a_url_counts(url: str) -> None:
    assert canonical_url(url) == url


@pytest.mark.parametrize(
    "url", ["https://e.com:port/a.png", "https://e.com:99999/a.png", "https://[::1/a.png", "https:///a"]
)
def test_a_url_that_cannot_be_read_stays_as_it_is(url: str) -> None:
    assert canonical_url(url) == url


def signed(signature: Signature, value: str, names: frozenset[str] | None = None, rest: str = "w=1&e=2") -> str:
    host = HOST_OF.get(signature.name, "cdn.example.com")
    query = "&".join(f"{name}={value}" for name in sorted(signature.stripped if names is None else names))
    return f"https://{host}/films/a.png?{query}&{rest}"


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda each: each.name)
class TestSignatures:
    """Each row of the table."""

    def test_two_signatures_of_the_same_object_are_one(self, signature: Signature) -> None:
        plain = f"https://{HOST_OF.get(signature.name, 'cdn.example.com')}/films/a.png?w=1&e=2"
        assert canonical_url(signed(signature, "one")) == canonical_url(signed(signature, "two")) == plain

    def test_what_is_required_is_enough(self, signature: Signature) -> None:
        assert canonical_url(signed(signature, "one", signature.required)) == canonical_url(signed(signature, "two"))

    def test_without_other_parameters_the_question_mark_goes_too(self, signature: Signature) -> None:
        url = signed(signature, "one").removesuffix("&w=1&e=2")
        assert canonical_url(url) == url.partition("?")[0]

    def test_where_one_that_is_required_is_missing_nothing_is_stripped(self, signature: Signature) -> None:
        for missing in signature.required:
            url = signed(signature, "one", signature.stripped - {missing})
            assert canonical_url(url) == url

    def test_other_parameters_stay_in_their_order(self, signature: Signature) -> None:
        one, other = (canonical_url(signed(signature, "one", rest=rest)) for rest in ("w=1&e=2", "e=2&w=1"))
        assert one.endswith("?w=1&e=2")
        assert other.endswith("?e=2&w=1")

    def test_names_count_as_they_are_spelled(self, signature: Signature) -> None:
        spelled = {name.swapcase() for name in signature.required}
        url = signed(signature, "one", frozenset(spelled))
        assert canonical_url(url) == url

    def test_another_object_stays_another(self, signature: Signature) -> None:
        url = signed(signature, "one")
        assert canonical_url(url) != canonical_url(url.replace("a.png", "b.png"))
        assert canonical_url(url) != canonical_url(url.replace("w=1", "w=2"))

    def test_it_names_its_source_and_strips_what_it_requires(self, signature: Signature) -> None:
        assert signature.required <= signature.stripped
        assert signature.source
        assert len(signature.required) >= 2


@pytest.mark.parametrize("signature", [each for each in SIGNATURES if each.hosts], ids=lambda each: each.name)
def test_generic_names_are_believed_of_their_own_hosts_only(signature: Signature) -> None:
    own = HOST_OF[signature.name]
    for host in ("e.com", f"{own}.evil.example", f"evil-{own.partition('.')[2]}", own.replace(".", "-")):
        url = signed(signature, "one").replace(own, host)
        assert canonical_url(url) == url


def test_a_url_that_was_signed_twice_loses_both_signatures() -> None:
    stored = "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c"
    url = f"https://e.com/a.png?w=1&{stored}&Expires=1&Signature=2&Key-Pair-Id=3"
    assert canonical_url(url) == "https://e.com/a.png?w=1"


def test_hosts_are_named_where_a_name_could_mean_something_else() -> None:
    assert {each.name for each in SIGNATURES if each.hosts} == set(HOST_OF)


def test_the_table_knows_the_storages_that_it_should() -> None:
    assert {each.name.partition(",")[0] for each in SIGNATURES} == {
        "Amazon S3",
        "Google Cloud Storage",
        "Azure Storage",
        "Amazon CloudFront",
        "Discord attachments",
        "Alibaba Cloud OSS",
    }


@pytest.mark.parametrize(
    "host",
    [
        "films.blob.core.windows.net",
        "films.dfs.core.windows.net",
        "films.file.core.windows.net",
        "films-2.blob.core.chinacloudapi.cn",
        "films.blob.core.usgovcloudapi.net",
    ],
)
def test_azures_signature_is_believed_on_each_of_its_hosts(host: str) -> None:
    assert canonical_url(f"https://{host.upper()}/c/a.png?sv=2024&sig=x&se=1&w=1") == f"https://{host}/c/a.png?w=1"


@pytest.mark.parametrize("host", ["cdn.discordapp.com", "media.discordapp.net"])
def test_discords_signature_is_believed_on_both_of_its_hosts(host: str) -> None:
    assert canonical_url(f"https://{host}/attachments/a.png?ex=1&is=2&hm=3&width=9") == (
        f"https://{host}/attachments/a.png?width=9"
    )


@pytest.mark.parametrize(
    "query",
    [
        "sig=abc&sv=2",
        "ex=1&is=2&hm=3",
        "Expires=1",
        "token=abc&expires=1",
        "Signature=abc",
        "Policy=x&Signature=abc",
        "hmac=abc",
        "X-Amz-Signature=abc",
        "versionId=2",
        "auth_key=1-0-0-abc",
    ],
)
def test_names_that_can_choose_a_picture_stay(query: str) -> None:
    url = f"https://e.com/a.png?{query}"
    assert canonical_url(url) == url


def test_the_version_of_a_signed_object_still_counts() -> None:
    query = "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c"
    assert canonical_url(f"https://b.s3.amazonaws.com/a.png?versionId=1&{query}") == (
        "https://b.s3.amazonaws.com/a.png?versionId=1"
    )


def test_a_local_still_is_its_hash() -> None:
    still = "sha256:" + "0a" * 32
    assert canonical_still(still) == still
    assert canonical_still("https://E.com/a.png#x") == "https://e.com/a.png"


PARTS = st.sampled_from(
    [
        *("https", "HTTP", "://", "e.com", "E.com", "@", ":", "443", "80", "0443", "/", "a.png", "?", "#", "&", "="),
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "sig", "sv", "ex", "is", "hm", "Signature"),
        *(
            "Expires",
            "GoogleAccessId",
            "Key-Pair-Id",
            "Policy",
            "films.blob.core.windows.net",
            "[::1]",
            "w=1",
            "%20",
            " ",
        ),
    ]
)
URLS = st.lists(PARTS, max_size=14).map(lambda parts: "https://" + "".join(parts)) | st.text(max_size=30)


@unhurried
@given(URLS)
@example("https://e.com/a.png?&X-Amz-Algorithm=1&X-Amz-Credential=2&X-Amz-Signature=3")
@example("https://e.com?AWSAccessKeyId=1&Signature=2&Expires=3&Key-Pair-Id=4&Policy=5")
@example("https://e.com?AWSAccessKeyId=1&Signature=2&Expires=3&Signature=4")
@example("https://e.com?X-Amz-Algorithm=1&X-Amz-Credential=2&X-Amz-Signature=3&AWSAccessKeyId=1&Signature=2&Expires=3")
@example("https://e.com/a.png?Signature=1&Expires=2&Key-Pair-Id=3&Policy=4")
def test_a_canonical_still_is_its_own_canonical_form(url: str) -> None:
    once = canonical_still(url)
    assert canonical_still(once) == once


# Providers

WAVESPEED = "https://api.wavespeed.ai"


@pytest.mark.parametrize(
    "written",
    [
        WAVESPEED,
        "https://API.wavespeed.ai:443/",
        "https://api.wavespeed.ai.",
        "https://api.wavespeed.ai/",
        "https://api.wavespeed.ai.:443",
        "https://api.wavespeed.ai:0443",
        "https://api.wavespeed.ai:",
        "HTTPS://Api.WaveSpeed.AI",
    ],
)
def test_every_spelling_of_a_provider_is_one(written: str) -> None:
    assert canonical_provider(written) == WAVESPEED


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("http://localhost:8000", "http://127.0.0.1:8000"),
        ("http://LOCALHOST.:08000/", "http://127.0.0.1:8000"),
        ("http://localhost:80", "http://127.0.0.1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
        ("http://[::1]", "http://[::1]"),
        ("sandbox", "sandbox"),
        ("", ""),
    ],
)
def test_this_machine_has_one_name_for_each_address(written: str, canonical: str) -> None:
    assert canonical_provider(written) == canonical


@pytest.mark.parametrize(
    ("base_url", "account", "provider"),
    [
        (WAVESPEED, "", WAVESPEED),
        (WAVESPEED, "north", f"{WAVESPEED}#north"),
        ("HTTPS://api.wavespeed.ai:443/", "North", f"{WAVESPEED}#north"),
        ("http://localhost:80", "a.b-c_1", "http://127.0.0.1#a.b-c_1"),
    ],
)
def test_a_named_account_is_part_of_the_provider(base_url: str, account: str, provider: str) -> None:
    assert provider_of(base_url, account) == canonical_provider(provider) == provider
    assert is_here(provider) == is_here(base_url)


@pytest.mark.parametrize("host", ["", "example.com", "0.0.0.0", "128.0.0.1", "::", "localhost.example.com", "127.1"])
def test_everything_else_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_people_read_the_account_behind_the_address() -> None:
    assert provider_in_words(f"{WAVESPEED}#north") == f"{WAVESPEED} (account north)"
    assert provider_in_words("sandbox") == "sandbox"


def test_another_account_buys_other_takes() -> None:
    taken = {
        fingerprint(provider=provider_of(WAVESPEED, name), model=MODEL, inputs=inputs_of("pan"), take=1)
        for name in ("", "north", "NORTH", "south")
    }
    assert len(taken) == 3


def test_another_scheme_host_or_port_is_another_provider() -> None:
    others = [
        "http://api.wavespeed.ai",
        "https://api.wavespeed.ai:8443",
        "https://api.wavespeed.ai:80",
        "http://api.wavespeed.ai:443",
        "https://api2.wavespeed.ai",
        "https://wavespeed.ai",
        "http://127.0.0.1:8000",
        "http://127.0.0.2:8000",
        "http://[::1]:8000",
        "sandbox",
    ]
    assert len({canonical_provider(each) for each in [WAVESPEED, *others]}) == len(others) + 1


LABELS = st.text(st.sampled_from(string.ascii_letters + string.digits + "-"), min_size=1, max_size=8)
HOSTS = st.builds(
    "{}{}".format, st.lists(LABELS, min_size=1, max_size=3).map(".".join), st.sampled_from(["", "."])
) | st.sampled_from(["localhost", "127.0.0.1", "[::1]"])


@unhurried
@given(
    st.sampled_from(["https", "http", "HTTPS"]), HOSTS, st.none() | st.integers(1, 65_535), st.sampled_from(["", "/"])
)
def test_a_canonical_provider_is_its_own_canonical_form(scheme: str, host: str, port: int | None, end: str) -> None:
    once = canonical_provider(f"{scheme}://{host}{'' if port is None else f':{port:06d}'}{end}")
    assert canonical_provider(once) == once
    assert re.fullmatch(r"https?://[^/A-Z]+", once)


# Fingerprints

MODEL = "wavespeed-ai/veo2-i2v"


@unhurried
@given(st.text(max_size=30), URLS, st.sampled_from([WAVESPEED, "sandbox", "http://127.0.0.1:8000"]), st.integers(1, 16))
def test_what_is_canonical_already_keeps_its_fingerprint(prompt: str, still: str, provider: str, take: int) -> None:
    prompt, still = canonical_text(prompt), canonical_still(still)
    inputs = inputs_of(prompt, still)
    as_written = verbatim(provider, MODEL, inputs)
    expected = sha256(f"{as_written}{take}}}".encode("utf-8", "surrogatepass")).hexdigest()
    assert fingerprint(provider=provider, model=MODEL, inputs=inputs, take=take) == expected


@unhurried
@given(st.text(max_size=20), URLS)
def test_a_row_and_its_canonical_form_are_one_take(prompt: str, still: str) -> None:
    written = fingerprint(provider=f"{WAVESPEED}:443/", model=MODEL, inputs=inputs_of(prompt, still), take=1)
    inputs = inputs_of(canonical_text(prompt), canonical_still(still))
    canonical = fingerprint(provider=WAVESPEED, model=MODEL, inputs=inputs, take=1)
    assert written == canonical


@pytest.mark.parametrize(
    ("url", "is_signed"),
    [
        ("https://v5.airtableusercontent.com/v3/u/40/40/1790000000000/abc/def", True),
        ("https://V5.AirtableUserContent.com:443/v3/u", True),
        ("https://uc0ffee.dl.dropboxusercontent.com/cd/0/get/abc/file", True),
        ("https://lh3.googleusercontent.com/lr/AGWb", True),
        ("https://stills.example/v5.airtableusercontent.com/a.png", False),
        ("https://v5.airtableusercontent.com.evil.example/a.png", False),
        ("sha256:00", False),
    ],
)
def test_hosts_whose_addresses_carry_their_authorisation_in_the_path_are_known(url: str, is_signed: bool) -> None:
    assert is_signed_by_path(url) is is_signed


def test_a_url_with_a_control_character_in_its_beginning_stays_as_it_is() -> None:
    odd = "https:/\t/host/x#a://b"
    assert canonical_url(odd) == odd
