"""Uploads to an S3 server (moto's) by way of s3fs: whole, or not at all."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from animatic import storage
from animatic.errors import LocationError

pytestmark = pytest.mark.services
s3fs = pytest.importorskip("s3fs", reason="needs s3fs: pip install s3fs 'moto[server]'")
moto = pytest.importorskip("moto.server", reason="needs moto: pip install s3fs 'moto[server]'")
serving = pytest.importorskip("werkzeug.serving")

SMALL, LARGE = b"table" * 1_000, os.urandom(20 << 20)


class Store:
    """Moto's S3, which notes the requests that write, and refuses the second part of an upload when it is to."""

    writes: ClassVar[list[str]] = []
    refuses: ClassVar[bool] = False

    def __init__(self) -> None:
        self._app = moto.DomainDispatcherApplication(moto.create_backend_app)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        query = environ["QUERY_STRING"]
        if environ["REQUEST_METHOD"] in {"PUT", "POST", "DELETE"}:
            self.writes.append(f"{environ['REQUEST_METHOD']} {query.partition('=')[0]}".strip())
        if self.refuses and "partNumber=2" in query:
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"]
        return self._app(environ, start)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = serving.make_server("127.0.0.1", 0, Store(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    system = s3fs.S3FileSystem()
    system.mkdir("bucket")
    Store.writes.clear()
    yield system
    Store.refuses = False
    system.rm("bucket", recursive=True)


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
