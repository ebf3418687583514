import functools
import os
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.registry import _registry
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from animatic import storage
from animatic.errors import LocationError
from animatic.storage import remote
from animatic.storage.failures import location_errors
from animatic.storage.folder import Folder
from animatic.storage.locations import locate


def read_still(manifest_uri: str, path: str, **options: Any) -> bytes:
    return b"".join(storage.still_chunks(manifest_uri, path, **options))


KEEP = 1_000


def refusal(deed: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(LocationError) as refused:
        deed(*arguments, **options)
    assert refused.value.__cause__ is None
    return str(refused.value)


class BreakingStore(AbstractFileSystem):
    """Files in a dictionary, written a piece at a time and seen at once; an upload fails half-way when it should."""

    cachable = False
    files: ClassVar[dict[str, bytes]] = {}
    breaks: ClassVar[bool] = False
    takes_objects_whole: ClassVar[bool] = False

    def _open(self, path: str, mode: str = "rb", **_: Any) -> "BreakingFile":
        return BreakingFile(self, path, mode, block_size=4, size=len(self.files.get(path, b"")))

    def put_file(self, lpath: str, rpath: str, *arguments: Any, **options: Any) -> None:
        if not self.takes_objects_whole:
            super().put_file(lpath, rpath, *arguments, **options)
            return
        if self.breaks:
            raise ConnectionResetError("the store went away half-way?X-Signature=canary")
        self.files[rpath] = Path(lpath).read_bytes()

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        if path not in self.files:
            raise FileNotFoundError(path)
        return {"name": path, "size": len(self.files[path]), "type": "file"}

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        del path, exist_ok

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.files[path2] = self.files.pop(path1)

    def rm_file(self, path: str) -> None:
        del self.files[path]


class BreakingFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.files[self.path][start:end]

    def _initiate_upload(self) -> None:
        self.fs.files[self.path] = b""

    def _upload_chunk(self, final: bool = False) -> bool:
        del final
        data = self.buffer.getvalue()
        if self.fs.breaks:
            self.fs.files[self.path] += data[: len(data) // 2]
            self.fs.__class__.breaks = False
            raise ConnectionResetError("the server went away half-way")
        self.fs.files[self.path] += data
        return True


@pytest.fixture(params=["s3", "sftp"])
def breaking(request: pytest.FixtureRequest) -> Iterator[type[BreakingStore]]:
    """A store behind a scheme that we accept, whose real package is not installed here."""

    class Store(BreakingStore):
        protocol = request.param
        files: ClassVar[dict[str, bytes]] = {}
        takes_objects_whole = request.param == "s3"

    fsspec.register_implementation(request.param, Store, clobber=True)
    yield Store
    _registry.pop(request.param)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("uri", "name", "stem"),
    [
        ("shots.csv", "shots.csv", "shots"),
        ("/shots.csv", "shots.csv", "shots"),
        ("a/b/shots.v2.csv", "shots.v2.csv", "shots.v2"),
        ("file:///a%20b/shots.csv", "shots.csv", "shots"),
        ("memory://shots.csv", "shots.csv", "shots"),
        ("S3://bucket/a/shots.csv", "shots.csv", "shots"),
        ("https://e.com/a/sh%20ots.csv?key=1/2", "sh ots.csv", "sh ots"),
        ("no/suffix", "suffix", "suffix"),
    ],
)
def test_the_parts_of_a_location(uri: str, name: str, stem: str) -> None:
    assert (storage.name_of(uri), storage.stem_of(uri)) == (name, stem)


@pytest.mark.parametrize(
    ("uri", "reported"),
    [
        ("simplecache::s3://bucket/a.csv", 'found a chain of file systems ("::")'),
        ("zip://a.csv::/tmp/b.zip", 'found a chain of file systems ("::")'),
        ("gopher://e.com/a.csv", "found the scheme gopher; allowed: a plain path, file://"),
        ("htps://e.com/a.csv", 'did you mean "https://"?'),
        ("s3:/bucket/a.csv", 'did you mean "s3://"?'),
        ("s3a://bucket/a.csv", 'did you mean "s3://"?'),
        ("gcs2://bucket/a.csv", 'did you mean "gcs://"?'),
        ("wasbs://container/a.csv", 'did you mean "abfss://"?'),
        ("file://elsewhere/a.csv", "found the host elsewhere; allowed: file:///path"),
        ("a\0b.csv", r"found \"a\x00b.csv\" as a location".replace('\\"', '"')),
        ("", 'found "" as a location'),
    ],
)
def test_other_locations_are_refused_before_fsspec_sees_them(uri: str, reported: str) -> None:
    assert reported in refusal(storage.read_bytes, uri, max_bytes=KEEP)
    assert reported in refusal(storage.replace_bytes, uri, b"x")


def test_a_missing_package_is_named() -> None:
    message = refusal(storage.read_bytes, "sftp://user:canary@host/a.csv", max_bytes=KEEP)
    assert "the package paramiko is missing" in message
    assert "pip install paramiko" in message
    assert "paramiko" in refusal(storage.require_writable, "sftp://user:canary@host/a.csv")
    assert "the package paramiko is missing" in refusal(Folder, "sftp://user:canary@host/clips")


@pytest.mark.parametrize(
    ("uri", "package", "extra"),
    [("s3://b/a", "s3fs", "s3"), ("gs://b/a", "gcsfs", "gcs"), ("az://c/a", "adlfs", "azure")],
)
def test_a_missing_store_is_an_extra_to_install(uri: str, package: str, extra: str) -> None:
    with pytest.raises(LocationError) as refused, location_errors(locate(uri), "read"):
        raise ImportError(package)
    scheme = uri.partition(":")[0]
    assert str(refused.value) == (
        f"{uri}: cannot read {scheme}:// here, the package {package} is missing; "
        f"install the extra: pip install 'animatic[{extra}]'"
    )


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:sec/ret@e.com:1/a@2x.png", "https://2x.png"),
        ("https://me:secret@e.com/a.csv", "https://e.com/a.csv"),
        ("sftp://me:sec@ret@e.com/a.csv", "sftp://e.com/a.csv"),
        ("https://e.com:8443/a@2x.png", "https://e.com:8443/a@2x.png"),
        ("abfs://film@account/a.csv", "abfs://film@account/a.csv"),
        ("s3://film/a:b@c.csv", "s3://film/a:b@c.csv"),
    ],
)
def test_what_is_shown_of_a_uri_holds_no_password(uri: str, shown: str) -> None:
    assert locate(uri).shown == shown


@pytest.mark.parametrize("uri", ["s3://key:secret@film/a.csv", "gs://key:sec/ret@film/a.csv", "az://me:secret@film/a"])
def test_credentials_in_the_uri_of_a_store_are_refused_and_not_shown(uri: str) -> None:
    said = refusal(locate, uri)
    assert "found credentials in the URI" in said
    assert "ret" not in said


@pytest.mark.sandbox
def test_no_message_shows_a_password_or_a_signature(web: str) -> None:
    for uri in (web.replace("//", "//me:canary@") + "/none.csv?sig=canary", "sftp://me:canary@host/a.csv"):
        message = refusal(storage.read_bytes, uri, max_bytes=KEEP)
        assert "canary" not in message
        assert "canary" not in refusal(storage.exists, uri + "::x")


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_what_is_written_is_read(scheme: str, tmp_path: Path) -> None:
    uri = f"{scheme}{tmp_path}/new/folder/a.bin"
    assert not storage.exists(uri)
    storage.require_writable(uri)
    storage.replace_bytes(uri, b"one")
    storage.replace_bytes(uri, b"two")
    assert storage.exists(uri)
    assert storage.read_bytes(uri, max_bytes=3) == b"two"
    assert "found more than 2 bytes; allowed: up to 2" in refusal(storage.read_bytes, uri, max_bytes=2)


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_a_local_file_is_put_in_place_whole(scheme: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"clip" * 1_000_000)
    uri = f"{scheme}{tmp_path}/out/clip.mp4"
    with source.open("rb") as file:
        storage.replace_with(uri, file)
    assert storage.read_bytes(uri, max_bytes=5_000_000) == source.read_bytes()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for uri in (f"{tmp_path}/none.csv", "memory://none.csv"):
        assert refusal(storage.read_bytes, uri, max_bytes=KEEP) == f"{uri}: there is no such file; check the path"


def test_only_regular_files_are_read_and_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path, "it is a folder; give a file"), (tmp_path / "pipe", "it is not a regular file")):
        assert what in refusal(storage.read_bytes, str(path), max_bytes=KEEP)
        assert "something that is not a file" in refusal(storage.replace_bytes, str(path), b"x")
        assert "something that is not a file" in refusal(storage.require_writable, str(path))
    assert "found a folder" in refusal(storage.replace_bytes, f"{tmp_path}/", b"x")


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    uri = f"{tmp_path}/file/results.csv"
    assert "is not a folder" in refusal(storage.require_writable, uri)
    assert "cannot write it" in refusal(storage.replace_bytes, uri, b"x")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_a_replaced_file_keeps_its_mode_and_leaves_nothing_behind(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "results.csv"
    target.write_bytes(b"old")
    target.chmod(mode)
    storage.replace_bytes(str(target), b"new")
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_file_behind_a_link_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_bytes(b"old")
    (tmp_path / "real.csv").chmod(0o640)
    (tmp_path / "latest.csv").symlink_to("real.csv")
    storage.replace_bytes(f"{tmp_path}/latest.csv", b"new")
    assert stat.S_IMODE((tmp_path / "real.csv").stat().st_mode) == 0o640


@pytest.mark.sandbox
@pytest.mark.parametrize(("umask", "mode", "folder"), [(0o022, 0o644, 0o755), (0o007, 0o660, 0o770)])
def test_new_files_and_folders_follow_the_umask_that_we_were_started_with(
    tmp_path: Path, umask: int, mode: int, folder: int
) -> None:
    code = (
        "import os, sys; from animatic import storage; from animatic.machine import privacy; "
        "os.umask(int(sys.argv[1])); privacy.keep_private(); "
        "open(f'{sys.argv[2]}/ours', 'w').close(); storage.replace_bytes(f'{sys.argv[2]}/new/out.csv', b'x'); "
        "import subprocess; subprocess.run([sys.executable, '-c', 'import sys; from animatic import storage; "
        "storage.replace_bytes(sys.argv[1] + chr(47) + str(2), bytes(1))', sys.argv[2] + '/new'], check=True)"
    )
    subprocess.run([sys.executable, "-c", code, str(umask), str(tmp_path)], check=True)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {"out.csv": mode, "2": mode}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == folder
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == 0o600


@pytest.mark.services
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_replaced_file_keeps_owner_and_group_where_we_may(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    target.write_bytes(b"old")
    os.chown(target, 12_345, 23_456)
    storage.replace_bytes(str(target), b"new")
    assert (target.stat().st_uid, target.stat().st_gid) == (12_345, 23_456)


def test_a_link_to_the_results_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_bytes(b"old")
    (tmp_path / "latest.csv").symlink_to("real.csv")
    storage.replace_bytes(f"{tmp_path}/latest.csv", b"new")
    assert (tmp_path / "latest.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == b"new"


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_a_copy_that_fails_leaves_the_old_file_and_no_other(scheme: str, tmp_path: Path) -> None:
    folder = f"{scheme}{tmp_path}/folder"
    storage.replace_bytes(f"{folder}/results.csv", b"old")
    # /proc/self/mem opens, and fails when it is read: a copy that breaks after its temporary file was made.
    with Path("/proc/self/mem").open("rb") as broken:
        assert "cannot write it" in refusal(storage.replace_with, f"{folder}/results.csv", broken)
    system, path = fsspec.url_to_fs(folder)
    assert [(Path(name).name, system.cat_file(name)) for name in system.ls(path, detail=False)] == [
        ("results.csv", b"old")
    ]


class Counted(BreakingStore):
    """Files of zeros, of which it keeps the size; everything passes through it in pieces."""

    protocol = "sftp"
    sizes: ClassVar[dict[str, int]] = {}

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_: Any) -> "CountedFile":
        return CountedFile(self, path, mode, block_size=block_size, size=self.sizes.get(path))

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.sizes[path2] = self.sizes.pop(path1)


class CountedFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(min(end, self.size) - start)

    def _upload_chunk(self, final: bool = False) -> bool:
        del final
        self.fs.sizes[self.path] = self.fs.sizes.get(self.path, 0) + self.buffer.tell()
        return True


def test_a_large_file_is_sent_and_read_in_pieces(tmp_path: Path) -> None:
    size = 100 << 20
    fsspec.register_implementation("sftp", Counted, clobber=True)
    with (tmp_path / "sparse").open("xb+") as file:
        file.truncate(size)
        tracemalloc.start()
        storage.replace_with("sftp://host/large.bin", file)
        with storage.open_copy("sftp://host/large.bin", max_bytes=size) as copy:
            assert copy.seek(0, os.SEEK_END) == size
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    _registry.pop("sftp")
    assert list(Counted.sizes.values()) == [size]
    assert peak < size // 2


def test_an_upload_that_fails_half_way_leaves_the_old_file(breaking: type[BreakingStore]) -> None:
    uri = f"{breaking.protocol}://place/results.csv"
    storage.replace_bytes(uri, b"the old table")
    breaking.breaks = True
    message = refusal(storage.replace_bytes, uri, b"a new table that is longer")
    breaking.breaks = False
    assert "ConnectionResetError" in message
    assert "canary" not in message
    assert list(breaking.files.values()) == [b"the old table"]
    storage.replace_bytes(uri, b"the next")
    assert storage.read_bytes(uri, max_bytes=KEEP) == b"the next"
    assert len(breaking.files) == 1


@pytest.mark.sandbox
def test_readers_see_whole_tables_only_during_replacements(tmp_path: Path) -> None:
    target = tmp_path / "results.parquet"
    scratch = tmp_path / "scratch.parquet"

    def replace(version: int) -> None:
        pq.write_table(pa.table({"version": [version] * 5_000, "text": [str(version) * 20] * 5_000}), scratch)
        with scratch.open("rb") as file:
            storage.replace_with(str(target), file)

    replace(0)
    done = threading.Event()
    seen: list[int] = []
    broken: list[object] = []

    def read() -> None:
        while not done.is_set():
            try:
                table = pq.read_table(pa.BufferReader(storage.read_bytes(str(target), max_bytes=10_000_000)))
                (version,) = set(table.column("version").to_pylist())
                seen.append(version)
            except Exception as error:  # noqa: BLE001 - any error at all is what must not be
                broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for version in range(1, 201):
        replace(version)
    done.set()
    reader.join()
    assert broken == []
    assert seen == sorted(seen)
    assert len(set(seen)) > 5


@pytest.mark.sandbox
def test_the_web_is_read_and_never_written(web: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "shots.csv").write_bytes(b"image,prompt\n" * 500_000)
    uri = f"{web}/set/shots.csv?signature=canary"
    assert storage.read_bytes(uri, max_bytes=6_500_000) == b"image,prompt\n" * 500_000
    assert "found more than 1,000 bytes" in refusal(storage.read_bytes, uri, max_bytes=KEEP)
    assert storage.exists(uri)
    assert not storage.exists(f"{web}/none.csv")
    assert "there is no such file" in refusal(storage.read_bytes, f"{web}/none.csv", max_bytes=KEEP)
    for deed in (storage.require_writable, functools.partial(storage.replace_bytes, data=b"x")):
        assert "cannot write to a web page" in refusal(deed, uri)


@pytest.mark.sandbox
def test_an_unreachable_server_is_named() -> None:
    message = refusal(storage.read_bytes, "http://127.0.0.1:9/a.csv?canary", max_bytes=KEEP)
    assert message.startswith("http://127.0.0.1:9/a.csv: ")
    assert "canary" not in message


@pytest.mark.sandbox
def test_a_still_is_read_from_the_folder_of_its_manifest(web: str, tmp_path: Path) -> None:
    (tmp_path / "stills").mkdir()
    (tmp_path / "stills" / "a #1?.png").write_bytes(b"still")
    storage.replace_bytes("memory://still-test/stills/a #1?.png", b"still")
    storage.replace_bytes("memory://still-test-root.png", b"still")
    for manifest in (f"{tmp_path}/shots.csv", f"file://{tmp_path}/shots.csv", f"{web}/shots.csv?x=1/2"):
        assert read_still(manifest, "./stills/a #1?.png") == b"still"
    assert read_still("memory://still-test/shots.csv", "stills/a #1?.png") == b"still"
    assert read_still("memory://shots.csv", "still-test-root.png") == b"still"
    assert "found more than 4 bytes" in refusal(read_still, f"{tmp_path}/shots.csv", "stills/a #1?.png", max_bytes=4)


@pytest.mark.parametrize("path", ["../a.png", "/etc/a.png", "s3://b/a.png", "a/../../b.png", "a::b.png", "~/a.png", ""])
def test_a_path_that_leads_elsewhere_is_refused_again(path: str, tmp_path: Path) -> None:
    assert "as a still; allowed:" in refusal(read_still, f"{tmp_path}/shots.csv", path)


def test_links_may_stay_in_the_folder_and_never_leave_it(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    (folder / "stills").mkdir(parents=True)
    (folder / "stills" / "a.png").write_bytes(b"inside")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "inside.png").symlink_to("stills/a.png")
    (folder / "outside.png").symlink_to("../secret.png")
    (folder / "absolute.png").symlink_to(tmp_path / "secret.png")
    (folder / "up").symlink_to("..")
    (folder / "loop.png").symlink_to("loop.png")
    manifest = f"{folder}/shots.csv"
    assert read_still(manifest, "inside.png") == b"inside"
    for path in ("outside.png", "absolute.png", "up/secret.png"):
        assert "a link that leads out of the folder of stills" in refusal(read_still, manifest, path)
    assert "cannot read it" in refusal(read_still, manifest, "loop.png")


def test_a_manifest_folder_that_is_itself_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"still")
    (tmp_path / "link").symlink_to("real")
    assert read_still(f"{tmp_path}/link/shots.csv", "a.png") == b"still"


def test_a_named_pipe_is_no_still(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert "it is not a regular file" in refusal(read_still, f"{tmp_path}/shots.csv", "a.png")


def test_a_place_has_one_absolute_uri_wherever_it_is_looked_at_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in here").mkdir()
    expected = (tmp_path / "in here" / "shots #1.csv").as_uri()
    for folder, uri in [
        (tmp_path, "in here/shots #1.csv"),
        (tmp_path / "in here", "shots #1.csv"),
        (tmp_path / "in here", "./../in here/shots #1.csv"),
        (Path("/"), str(tmp_path / "in here" / "shots #1.csv")),
        (Path("/"), expected),
    ]:
        monkeypatch.chdir(folder)
        assert storage.absolute_uri(uri) == expected


def test_an_absolute_uri_keeps_the_name_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("x")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert storage.absolute_uri(str(tmp_path / "link.csv")) == (tmp_path / "link.csv").as_uri()


def test_a_file_below_a_folder_keeps_its_name() -> None:
    below = storage.uri_below
    assert below("file:///in%20box", "..%2fa b#1.csv") == "file:///in%20box/..%252fa%20b%231.csv"
    assert locate(below("file:///in%20box/", "a::b\n.csv")).path == "/in box/a::b\n.csv"
    assert below("s3://film/inbox/", "a%20b.csv") == "s3://film/inbox/a%20b.csv"
    assert "not UTF-8" in refusal(below, "file:///inbox", "latin\udcff.csv")
    assert "chain" in refusal(below, "s3://film/inbox", "a::b.csv")


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("s3://bucket/a/shots.csv", "s3://bucket/a/shots.csv"),
        ("https://me:secret@e.com/a/shots.csv?X-Amz-Signature=secret#x", "https://e.com/a/shots.csv"),
    ],
)
def test_an_absolute_uri_holds_no_secret(uri: str, absolute: str) -> None:
    assert storage.absolute_uri(uri) == absolute


@pytest.mark.parametrize(
    ("uri", "pattern", "name", "found"),
    [
        ("s3://film/runs/*.parquet", "film/runs/*.parquet", "film/runs/1.parquet", "s3://film/runs/1.parquet"),
        ("memory://runs/*.csv", "/runs/*.csv", "/runs/1.csv", "memory://runs/1.csv"),
        ("sftp://render@host/runs/*.csv", "/runs/*.csv", "/runs/1.csv", "sftp://render@host/runs/1.csv"),
        (
            "abfs://film@account.dfs.core.windows.net/*.csv",
            "film/*.csv",
            "film/1.csv",
            "abfs://film@account.dfs.core.windows.net/1.csv",
        ),
    ],
)
def test_what_a_pattern_finds_has_the_account_host_and_user_of_the_pattern(
    uri: str, pattern: str, name: str, found: str
) -> None:
    assert remote._uri_of(locate(uri), pattern, name) == found
