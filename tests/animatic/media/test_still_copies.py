"""Copies of stills: each content once, within bounds, and good only while the store names the same version."""

import hashlib
import io

from animatic.media.still_copies import StillCopies
from animatic.takes.stills import MAX_STILL_BYTES, Still


def still_of(data: bytes) -> Still:
    return Still(hashlib.sha256(data).hexdigest(), len(data), 1280, 720, "PNG")


def copied(copies: StillCopies, still: Still) -> bytes | None:
    chunks = copies.chunks(still.sha256)
    return None if chunks is None else b"".join(chunks)


def test_a_copy_gives_the_bytes_that_were_read() -> None:
    copies, contents = StillCopies(), [b"one" * 700_000, b"two"]
    for number, data in enumerate(contents):
        copies.keep(f"{number}.png", "v1", still_of(data), io.BytesIO(data))
    assert [copied(copies, still_of(data)) for data in contents] == contents
    assert copied(copies, still_of(b"three")) is None


def test_a_still_is_known_only_while_its_version_is_the_same() -> None:
    copies, still = StillCopies(), still_of(b"one")
    copies.keep("a.png", "v1", still, io.BytesIO(b"one"))
    assert copies.find("a.png", "v1") == still
    assert copies.find("a.png", "v2") is None
    assert copies.find("b.png", "v1") is None


def test_a_still_of_the_manifest_is_kept_whatever_the_room() -> None:
    copies = StillCopies(most_bytes=0)
    names = [copies.embed(path, data) for path, data in (("a.png", b"one"), ("a.png", b"two"), (None, b"one"))]
    assert len({*names}) == 3
    assert [copies.embedded[name] for name in names] == [still_of(data).sha256 for data in (b"one", b"two", b"one")]
    assert copied(copies, still_of(b"two")) == b"two"
    large = copies.embed(None, bytes(MAX_STILL_BYTES + 1))
    assert copies.embedded[large] is None


def test_a_content_that_has_no_room_is_read_again() -> None:
    copies = StillCopies(most_bytes=4)
    for data in (b"one", b"two", b"1"):
        copies.keep(data.decode(), "v", still_of(data), io.BytesIO(data))
    assert [copied(copies, still_of(data)) for data in (b"one", b"two", b"1")] == [b"one", None, b"1"]
    assert copies.find("two", "v") == still_of(b"two")
