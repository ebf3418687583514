"""Uploads to an S3 server (moto's) by way of s3fs: whole, or not at all."""

import os
from pathlib import Path
from typing import Any

import pytest
from s3_server import Store

from animatic import storage
from animatic.errors import LocationError

pytestmark = pytest.mark.services
SMALL, LARGE = b"table" * 1_000, os.urandom(20 << 20)


def replace(uri: str, data: bytes, folder: Path) -> None:
    (folder / "source").write_bytes(data)
    with (folder / "source").open("rb") as file:
        storage.replace_with(uri, file)


def uploads_left(system: Any) -> list[Any]:
    return system.call_s3("list_multipart_uploads", Bucket="bucket").get("Uploads", [])


@pytest.mark.parametrize(("data", "first"), [(SMALL, "PUT"), (b"", "PUT"), (LARGE, "POST uploads")])
def test_a_table_is_one_put_or_a_completed_upload(data: bytes, first: str, bucket: Any, tmp_path: Path) -> None:
    replace("s3://bucket/new/results.csv", data, tmp_path)
    assert Store.writes[0] == first
    assert storage.read_bytes("s3://bucket/new/results.csv", max_bytes=len(LARGE)) == data
    assert bucket.find("bucket") == ["bucket/new/results.csv"]
    assert uploads_left(bucket) == []


def test_a_part_that_is_refused_leaves_the_old_table(bucket: Any, tmp_path: Path) -> None:
    replace("s3://bucket/results.csv", b"old", tmp_path)
    Store.refuses = True
    with pytest.raises(LocationError, match="cannot write it"):
        replace("s3://bucket/results.csv", LARGE, tmp_path)
    assert Store.writes[-1] == "DELETE uploadId"
    assert storage.read_bytes("s3://bucket/results.csv", max_bytes=100) == b"old"
    assert bucket.find("bucket") == ["bucket/results.csv"]
    assert uploads_left(bucket) == []


def test_a_source_that_cannot_be_read_leaves_the_old_table(bucket: Any, tmp_path: Path) -> None:
    replace("s3://bucket/results.csv", b"old", tmp_path)
    with Path("/proc/self/mem").open("rb") as broken, pytest.raises(LocationError, match="cannot write it"):
        storage.replace_with("s3://bucket/results.csv", broken)
    assert storage.read_bytes("s3://bucket/results.csv", max_bytes=100) == b"old"


def test_a_larger_object_than_allowed_is_refused(bucket: Any, tmp_path: Path) -> None:
    del bucket
    replace("s3://bucket/results.csv", LARGE, tmp_path)
    with pytest.raises(LocationError, match="found more than 1,000 bytes; allowed: up to 1,000"):
        storage.read_bytes("s3://bucket/results.csv", max_bytes=1_000)


def test_an_object_has_another_version_after_each_change(bucket: Any) -> None:
    bucket.pipe("bucket/stills/a.png", b"one")
    first = storage.version_of_still("s3://bucket/stills/x", "a.png")
    assert first is not None
    assert storage.version_of_still("s3://bucket/stills/x", "a.png") == first
    bucket.pipe("bucket/stills/a.png", b"two")
    assert storage.version_of_still("s3://bucket/stills/x", "a.png") not in {None, first}
    with pytest.raises(LocationError, match="there is no such file"):
        storage.version_of_still("s3://bucket/stills/x", "b.png")
