"""Ends of signed URLs are read from the URL itself, for each signature of the table, and never guessed."""

import base64
import json
from datetime import UTC, datetime

import pytest

from animatic.takes.canonical import SIGNATURES
from animatic.takes.signed_urls import expires_at

END = datetime(2025, 1, 1, 1, tzinfo=UTC)
SECONDS = int(END.timestamp())
STORE = "https://store.example/a.png"
AZURE = "https://acct.blob.core.windows.net/a.png"
DISCORD = "https://cdn.discordapp.com/attachments/1/2/a.png"
POLICY = base64.b64encode(
    json.dumps(
        {"Statement": [{"Resource": "*", "Condition": {"DateLessThan": {"AWS:EpochTime": SECONDS}}}]}
    ).encode()
).decode().translate(str.maketrans("+=/", "-_~"))  # fmt: skip
SIGNED = {
    "Amazon S3, signature version 4": f"{STORE}?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c"
    "&X-Amz-Date=20250101T000000Z&X-Amz-Expires=3600",
    "Amazon S3, signature version 2": f"{STORE}?AWSAccessKeyId=a&Signature=b&Expires={SECONDS}",
    "Google Cloud Storage, V4": f"{STORE}?X-Goog-Algorithm=a&X-Goog-Credential=b&X-Goog-Signature=c"
    "&X-Goog-Date=20250101T000000Z&X-Goog-Expires=3600",
    "Google Cloud Storage, V2": f"{STORE}?GoogleAccessId=a&Signature=b&Expires={SECONDS}",
    "Azure Storage, shared access signature": f"{AZURE}?sv=2024-11-04&sig=a&se=2025-01-01T01%3A00%3A00Z",
    "Amazon CloudFront, canned policy": f"{STORE}?Key-Pair-Id=a&Signature=b&Expires={SECONDS}",
    "Amazon CloudFront, custom policy": f"{STORE}?Key-Pair-Id=a&Signature=b&Policy={POLICY}",
    "Discord attachments": f"{DISCORD}?ex={SECONDS:x}&is=1&hm=2",
    "Alibaba Cloud OSS, signature version 1": f"{STORE}?OSSAccessKeyId=a&Signature=b&Expires={SECONDS}",
    "Alibaba Cloud OSS, signature version 2": f"{STORE}?x-oss-signature-version=OSS2&x-oss-access-key-id=a"
    f"&x-oss-signature=b&x-oss-expires={SECONDS}",
    "Alibaba Cloud OSS, signature version 4": f"{STORE}?x-oss-signature-version=OSS4&x-oss-credential=a"
    "&x-oss-signature=b&x-oss-date=20250101T000000Z&x-oss-expires=3600",
}


def test_every_signature_of_the_table_has_an_example() -> None:
    assert SIGNED.keys() == {each.name for each in SIGNATURES}


@pytest.mark.parametrize("name", SIGNED)
def test_the_end_of_a_signature_is_read(name: str) -> None:
    assert expires_at(SIGNED[name]) == END


@pytest.mark.parametrize(
    "url",
    [
        STORE,
        f"{STORE}?Expires={SECONDS}",
        f"{STORE}?ex={SECONDS:x}&is=1&hm=2",
        f"{DISCORD}?ex=zz&is=1&hm=2",
        f"{STORE}?AWSAccessKeyId=a&Signature=b&Expires=999999999999",
        f"{STORE}?AWSAccessKeyId=a&Signature=b&Expires=",
        f"{AZURE}?sv=1&sig=a",
        f"{AZURE}?sv=1&sig=a&se=soon",
        f"{STORE}?Key-Pair-Id=a&Signature=b&Policy=bm8ganNvbg__",
        f"{STORE}?Key-Pair-Id=a&Signature=b&Policy={'A' * 9_000}",
        f"{STORE}?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=20250101T000000Z&X-Amz-Expires=-1",
        f"https://[bad?{'a=1&' * 300}sig=1",
    ],
)
def test_what_is_no_signature_or_cannot_be_read_has_no_end(url: str) -> None:
    assert expires_at(url) is None


def test_a_date_of_azure_without_a_time_is_its_midnight() -> None:
    assert expires_at(f"{AZURE}?sv=1&sig=a&se=2025-01-02") == datetime(2025, 1, 2, tzinfo=UTC)
