"""Object stores that fail, by their real clients and emulators: whole files or none, bounded waits, clear errors."""

import os
from collections.abc import Generator
from typing import Any, NamedTuple

import pytest
from emulators import SERVERS, emulated
from troubled import CUT, Trouble

from animatic import storage
from animatic.errors import LocationError
from animatic.storage.folder import Folder

pytestmark = [
    pytest.mark.services,
    # Clients leave connections to the garbage collector, which may run in any test.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]
LARGE = os.urandom(17 << 20)
"""More than one request of each client."""


class Store(NamedTuple):
    scheme: str
    trouble: Trouble
    client: Any

    @property
    def table(self) -> str:
        return f"{self.scheme}://film-store/film/out.csv"

    def read(self) -> bytes:
        return storage.read_bytes(self.table, max_bytes=len(LARGE))


@pytest.fixture(scope="module", params=SERVERS)
def served(request: pytest.FixtureRequest) -> Generator[Store]:
    with emulated(request.param) as (trouble, client):
        yield Store(request.param, trouble, client)


@pytest.fixture
def store(served: Store) -> Generator[Store]:
    yield served
    served.trouble.clear()


def refusal(deed: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(LocationError) as refused:
        deed(*arguments, **options)
    return str(refused.value)


@pytest.mark.parametrize("data", [b"", b"table", LARGE], ids=["empty", "small", "large"])
def test_a_file_is_written_and_read_whole(store: Store, data: bytes) -> None:
    storage.replace_bytes(store.table, data)
    assert store.read() == data
    assert storage.files_in(f"{store.scheme}://film-store/film") == [store.table]


def test_a_listing_is_never_remembered(store: Store) -> None:
    folder = Folder(f"{store.scheme}://film-store/fresh")
    assert folder.sizes() == {}
    for number in (1, 2):
        store.client.pipe_file("film-store/fresh/a.mp4", b"x" * number)
        assert folder.sizes() == {"a.mp4": number}
    store.client.rm_file("film-store/fresh/a.mp4")
    assert folder.sizes() == {}


def test_a_version_changes_with_the_file(store: Store) -> None:
    storage.replace_bytes(store.table, b"one")
    first = storage.mark_of(store.table)
    storage.replace_bytes(store.table, b"two")
    assert "" != first != storage.mark_of(store.table)


@pytest.mark.parametrize("fault", [503, CUT])
def test_a_store_that_fails_once_is_tried_again(store: Store, fault: Any) -> None:
    if store.scheme == "az" and fault != CUT:
        pytest.skip("its client waits for 15 s and more")
    store.trouble.first(1, fault)
    storage.replace_bytes(store.table, b"new")
    assert store.trouble.failed
    store.trouble.first(1, fault)
    assert store.read() == b"new"
    assert len(store.trouble.failed) == 2


def test_a_store_that_refuses_is_asked_once(store: Store) -> None:
    storage.replace_bytes(store.table, b"old")
    store.trouble.first(9, 403)
    said = refusal(storage.replace_bytes, store.table, b"new")
    assert said.startswith(f"{store.table}: cannot write it: ")
    assert said.endswith("refuses these credentials: check them, and what they may do")
    assert len(store.trouble.failed) == 1
    store.trouble.clear()
    assert store.read() == b"old"


def test_a_bucket_that_is_not_there_is_named(store: Store) -> None:
    root = "container" if store.scheme == "az" else "bucket"
    nowhere = f"{store.scheme}://nowhere/out.csv"
    assert refusal(storage.replace_bytes, nowhere, b"x") == (
        f"{nowhere}: there is no such {root}; make it, or check its name"
    )
    with pytest.raises(FileNotFoundError, match=f"there is no such {root}"):
        Folder(f"{store.scheme}://nowhere/clips").sizes()
    assert "there is no such file" in refusal(storage.read_bytes, nowhere, max_bytes=9)


def test_a_store_that_stays_away_keeps_the_old_file(store: Store) -> None:
    if store.scheme != "s3":
        pytest.skip("half a minute of waiting for the same proof; docs/how-to/stores.md has the figures")
    storage.replace_bytes(store.table, b"old")
    store.trouble.first(99, 503, "PUT")
    said = refusal(storage.replace_bytes, store.table, LARGE)
    assert "it was tried several times: check the network and the store, and do the same again" in said
    assert len(store.trouble.failed) <= 25
    store.trouble.clear()
    assert store.read() == b"old"
    assert not store.client.call_s3("list_multipart_uploads", Bucket="film-store").get("Uploads")
