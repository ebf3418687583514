"""The canonical form of a request: what two rows may differ in and still ask for the same take. Pure.

What is sent is always the row as it is written; only fingerprints and comparisons use these forms.

    text        line ends, Unicode normal form (NFC), blanks and zero-width characters at the ends
    image URL   case of scheme and host, the default port, the fragment, query parameters that only authorise
    provider    case, default or empty port, leading zeros of the port, a final dot or slash, `localhost`;
                case of the account's name

Which query parameters only authorise is said by one table, `SIGNATURES`. A parameter that is not in it stays: to strip
one that chooses the picture would give one row the clip of another.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_ZERO_WIDTH = (
    "\u200b\u200c\u200d\u2060\ufeff\u180e\u00ad\u200e\u200f\u061c\u2061\u2062\u2063\u2064"
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_EDGES = re.compile(rf"\A[\s{_ZERO_WIDTH}]+|[\s{_ZERO_WIDTH}]+\Z")
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Signature:
    """Query parameters with which one kind of storage signs a URL.

    Attributes:
        required: all of them must be there; then `stripped` go. Names are compared as they are spelled.
        hosts: matches the hosts that it is believed of; empty: any host, where the names can mean nothing else.
        source: the page that names the parameters.
    """

    name: str
    required: frozenset[str]
    stripped: frozenset[str]
    source: str
    hosts: str = ""


SIGNATURES = (
    Signature(
        "Amazon S3, signature version 4",
        frozenset({"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"}),
        frozenset({
            "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
            "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256",
        }),
        "docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html",
    ),
    Signature(
        "Amazon S3, signature version 2",
        frozenset({"AWSAccessKeyId", "Signature", "Expires"}),
        frozenset({"AWSAccessKeyId", "Signature", "Expires", "x-amz-security-token"}),
        "docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html",
    ),
    Signature(
        "Google Cloud Storage, V4",
        frozenset({"X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Signature"}),
        frozenset({
            "X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires", "X-Goog-SignedHeaders",
            "X-Goog-Signature",
        }),
        "cloud.google.com/storage/docs/authentication/signatures",
    ),
    Signature(
        "Google Cloud Storage, V2",
        frozenset({"GoogleAccessId", "Signature", "Expires"}),
        frozenset({"GoogleAccessId", "Signature", "Expires"}),
        "cloud.google.com/storage/docs/access-control/signed-urls-v2",
    ),
    Signature(
        "Azure Storage, shared access signature",
        frozenset({"sig", "sv"}),
        frozenset({
            "sv", "ss", "srt", "sr", "sp", "st", "se", "sip", "spr", "si", "sig", "sdd", "saoid", "suoid", "scid",
            "skoid", "sktid", "skt", "ske", "sks", "skv", "ses",
        }),
        "learn.microsoft.com/rest/api/storageservices/create-service-sas",
        r"[a-z0-9-]+\.(?:blob|dfs|file)\.(?:core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net)",
    ),
    Signature(
        "Amazon CloudFront, canned policy",
        frozenset({"Key-Pair-Id", "Signature", "Expires"}),
        frozenset({"Key-Pair-Id", "Signature", "Expires", "Hash-Algorithm"}),
        "docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html",
    ),
    Signature(
        "Amazon CloudFront, custom policy",
        frozenset({"Key-Pair-Id", "Signature", "Policy"}),
        frozenset({"Key-Pair-Id", "Signature", "Policy", "Hash-Algorithm"}),
        "docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html",
    ),
    Signature(
        "Discord attachments",
        frozenset({"ex", "is", "hm"}),
        frozenset({"ex", "is", "hm"}),
        "discord.com/developers/docs/reference#signed-attachment-cdn-urls",
        r"(?:cdn\.discordapp\.com|media\.discordapp\.net)",
    ),
    Signature(
        "Alibaba Cloud OSS, signature version 1",
        frozenset({"OSSAccessKeyId", "Signature", "Expires"}),
        frozenset({"OSSAccessKeyId", "Signature", "Expires", "security-token"}),
        "www.alibabacloud.com/help/en/oss/developer-reference/ddd-signatures-to-urls",
    ),
    Signature(
        "Alibaba Cloud OSS, signature version 2",
        frozenset({"x-oss-signature-version", "x-oss-access-key-id", "x-oss-signature"}),
        frozenset({
            "x-oss-signature-version", "x-oss-access-key-id", "x-oss-expires", "x-oss-signature",
            "x-oss-security-token", "x-oss-additional-headers",
        }),
        "www.alibabacloud.com/help/en/oss/developer-reference/add-signatures-to-urls",
    ),
    Signature(
        "Alibaba Cloud OSS, signature version 4",
        frozenset({"x-oss-signature-version", "x-oss-credential", "x-oss-signature"}),
        frozenset({
            "x-oss-signature-version", "x-oss-credential", "x-oss-date", "x-oss-expires", "x-oss-signature",
            "x-oss-security-token", "x-oss-additional-headers",
        }),
        "www.alibabacloud.com/help/en/oss/developer-reference/add-signatures-to-urls",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SignedPath:
    """Addresses that carry their authorisation in the path: nothing in two of them tells that they show one picture.

    Attributes:
        hosts: matches the hosts that hand them out.
        source: the page that says that they expire.
    """

    name: str
    hosts: str
    source: str


SIGNED_PATHS = (
    SignedPath(
        "Airtable attachments",
        r"(?:v\d+\.airtableusercontent\.com|dl\.airtable\.com)",
        "support.airtable.com/docs/airtable-attachment-url-behavior",
    ),
    SignedPath(
        "Dropbox temporary links",
        r"uc[a-z0-9]+(?:\.dl|-dl)?\.dropboxusercontent\.com",
        "www.dropbox.com/developers/documentation/http/documentation#files-get_temporary_link",
    ),
    SignedPath(
        "Google Photos base URLs",
        r"lh\d+\.googleusercontent\.com",
        "developers.google.com/photos/library/guides/access-media-items",
    ),
)
_SIGNED_HOST = re.compile(rf"https?://(?:{'|'.join(each.hosts for each in SIGNED_PATHS)})(?::\d+)?/", re.IGNORECASE)

_SIGNED = re.compile(r"[?&](?:X-Amz-Signature|X-Goog-Signature|x-oss-signature|Signature|sig|hm)=")
_USUAL_URL = re.compile(r"https://[a-z0-9.-]+/[^?#]*")


def canonical_text(text: str) -> str:
    """Return a text without what two equal requests may differ in."""
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text and text[0] > " " and text[-1] > " ":
        return text
    return _EDGES.sub("", text)


def canonical_still(still: str) -> str:
    """Return what identifies a still: the canonical form of a URL; the hash of a local one as it is."""
    return canonical_url(still) if "://" in still else still


def is_signed_by_path(still: str) -> bool:
    """Tell if the address of a still carries its authorisation in the path, so that the next export has another."""
    return _SIGNED_HOST.match(still) is not None


def canonical_url(url: str) -> str:
    """Return a URL without what two addresses of the same picture may differ in; as it is where it cannot be read."""
    if _USUAL_URL.fullmatch(url):
        return url
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return url
    if not host:
        return url
    scheme = parts.scheme.lower()
    place = f"[{host}]" if ":" in host else host
    place = place if port is None or port == _DEFAULT_PORTS.get(scheme) else f"{place}:{port}"
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    before, _, _ = url.partition("#")
    address, mark, query = before.partition("?")
    begin = address.find("://")
    if begin < 0:
        return url  # control characters in it, which the parts are without
    path = address[begin + 3 + len(parts.netloc) :]
    if mark and _SIGNED.search(f"?{query}"):
        query = _without_signature(host, query)
        mark = mark if query else ""
    return f"{scheme}://{user}{place}{path}{mark}{query}"


def signatures_of(host: str, names: Iterable[str]) -> list[Signature]:
    """Return the signatures that query parameters of these names are, on that host."""
    given = set(names)
    return [
        each for each in SIGNATURES if each.required <= given and (not each.hosts or re.fullmatch(each.hosts, host))
    ]


def _without_signature(host: str, query: str) -> str:
    """Return the query without the parameters of every signature that fits; the others in their order."""
    pairs = query.split("&")
    names = {pair.partition("=")[0] for pair in pairs}
    stripped = frozenset[str]().union(*(each.stripped for each in signatures_of(host, names)))
    return "&".join(pair for pair in pairs if pair and pair.partition("=")[0] not in stripped)


EMBEDDED_SANDBOX = "sandbox"
"""The provider of takes made by the embedded sandbox, whatever port it has today."""


_ACCOUNT_MARK = "#"
"""Stands between a base URL and the name of an account; no base URL that is accepted has one."""

ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names that an account may have."""


def provider_of(base_url: str, account: str = "") -> str:
    """Return the provider behind a base URL and, where it is named, an account: case of its name does not count."""
    provider = canonical_provider(base_url)
    return f"{provider}{_ACCOUNT_MARK}{account.lower()}" if account else provider


def provider_in_words(provider: str) -> str:
    """Return a provider as people call it: `https://api.wavespeed.ai (account north)`."""
    base_url, _, account = provider.partition(_ACCOUNT_MARK)
    return f"{base_url} (account {account})" if account else base_url


def is_loopback(host: str) -> bool:
    """Tell a host that is safe without TLS: `localhost`, or a loopback address in the usual spelling."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_here(provider: str) -> bool:
    """Tell if a provider is on this machine: the embedded sandbox, or another server on loopback."""
    host = urlsplit(provider).hostname or ""
    return not host or is_loopback(host)


def canonical_provider(base_url: str) -> str:
    """Return the provider behind a base URL: `https://api.wavespeed.ai` for each of its spellings.

    The name of an account behind it stays. Anything that is no URL (the embedded sandbox has a name) stays as it is.
    """
    parts = urlsplit(base_url)
    if not parts.netloc:
        return base_url
    if parts.fragment:
        return provider_of(parts._replace(fragment="").geturl(), parts.fragment)
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        place = host
    else:
        place = f"[{address.compressed}]" if address.version == 6 else str(address)
    scheme = parts.scheme.lower()
    port = parts.port
    return f"{scheme}://{place}" if port in {None, _DEFAULT_PORTS.get(scheme)} else f"{scheme}://{place}:{port}"
