"""An S3 server (moto's) on loopback, with a bucket named `bucket` for each test."""

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, ClassVar

import moto.server as moto
import pytest
import s3fs
from werkzeug import serving


class Store:
    """Moto's S3. It notes the requests that write and the objects that are read.

    It refuses the second part of an upload when it is asked to.
    """

    writes: ClassVar[list[str]] = []
    reads: ClassVar[list[str]] = []
    refuses: ClassVar[bool] = False

    def __init__(self) -> None:
        self._app = moto.DomainDispatcherApplication(moto.create_backend_app)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        query = environ["QUERY_STRING"]
        if environ["REQUEST_METHOD"] in {"PUT", "POST", "DELETE"}:
            self.writes.append(f"{environ['REQUEST_METHOD']} {query.partition('=')[0]}".strip())
        if environ["REQUEST_METHOD"] == "GET" and not query:
            self.reads.append(environ["PATH_INFO"].removeprefix("/bucket/"))
        if self.refuses and "partNumber=2" in query:
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"]
        return self._app(environ, start)


class _Quiet(serving.WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """A line for each request is noise."""


@contextmanager
def serving_s3() -> Generator[str]:
    """Serve for the length of the block; its URL."""
    server = serving.make_server("127.0.0.1", 0, Store(), threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(url: str) -> dict[str, str]:
    """Return variables that lead clients of S3 to the server."""
    return {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
    }


@contextmanager
def emptied_bucket(url: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """Make the bucket, and s3fs find it; at the end it is gone."""
    for name, value in environment(url).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("bucket")
    Store.writes.clear()
    Store.reads.clear()
    yield system
    Store.refuses = False
    system.invalidate_cache()
    system.rm("bucket", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()
