"""Allowed places of a ledger, and that one which was there is never made anew in silence."""

import shutil
from pathlib import Path

import pytest

from animatic.errors import LedgerRestoredError, LedgerUnusableError, SettingsError
from animatic.ledger.liveness import runs_folder
from animatic.ledger.location import (
    file_system_of,
    note_intents,
    noted_intents,
    remember,
    require_local,
    require_not_lost,
    require_not_restored,
)
from animatic.ledger.opening import find_database, open_database

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /mnt/nas rw shared:1 - nfs4 server:/export rw
31 22 0:41 / /mnt/with\\040blank rw - cifs //server/share rw
32 30 0:42 / /mnt/nas/local rw - xfs /dev/vdb rw
33 22 0:43 / /home/me/remote rw - fuse.sshfs me@host:/ rw
34 22 0:44 / /media/stick rw - fuseblk /dev/sdb1 rw
35 22 0:45 / /over rw - ext4 /dev/vdc rw
36 22 0:46 / /over rw - nfs server:/x rw
nonsense
1 2 3
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    {
        "/var/lib/ledger.sqlite": "ext4",
        "/mnt/nas/ledger.sqlite": "nfs4",
        "/mnt/nasty/ledger.sqlite": "ext4",
        "/mnt/nas/local/ledger.sqlite": "xfs",
        "/mnt/with blank/ledger.sqlite": "cifs",
        "/home/me/remote/a/ledger.sqlite": "fuse.sshfs",
        "/over/ledger.sqlite": "nfs",
    }.items(),
)
def test_the_mount_that_covers_a_path_is_the_longest_and_the_latest(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("path", ["/mnt/nas/l", "/mnt/with blank/l", "/home/me/remote/l", "/over/l"])
def test_a_ledger_over_a_network_is_refused(path: str) -> None:
    with pytest.raises(SettingsError, match="allowed: a local disk"):
        require_local(Path(path), MOUNTS)


@pytest.mark.parametrize("path", ["/l", "/mnt/nas/local/l", "/media/stick/l"])
def test_a_ledger_on_a_local_disk_is_fine(path: str) -> None:
    require_local(Path(path), MOUNTS)


def test_where_mounts_say_nothing_nothing_is_refused(tmp_path: Path) -> None:
    require_local(tmp_path / "l", "")
    require_local(tmp_path / "l")


def opened(path: Path) -> None:
    open_database(find_database(f"sqlite:///{path}")).engine.dispose()


def test_a_ledger_that_is_gone_or_empty_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    require_not_lost(path)
    opened(path)
    whole = path.read_bytes()
    path.unlink()
    for _ in range(2):
        with pytest.raises(LedgerUnusableError, match=r"it is gone.*Nothing was bought.*Restore it from a backup"):
            opened(path)
        path.touch()
    path.write_bytes(whole)
    opened(path)


def test_another_ledger_in_its_place_is_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "ledger.sqlite", tmp_path / "other.sqlite"
    opened(path)
    opened(other)
    shutil.copy(other, path)
    with pytest.raises(LedgerUnusableError, match="another ledger than the one"):
        opened(path)
    shutil.rmtree(runs_folder(path))
    opened(path)


def test_what_is_remembered_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    remember(path, "abc")
    remember(path, "abc")
    (found,) = runs_folder(path).iterdir()
    assert (found.read_text(), found.stat().st_mode & 0o777) == ("abc", 0o600)


def test_a_ledger_older_than_its_runs_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    opened(path)
    before = path.read_bytes()
    note_intents(path, 3)
    with pytest.raises(LedgerRestoredError, match=r"holds 0 submissions.*has seen 3.*Nothing was bought"):
        opened(path)
    open_database(find_database(f"sqlite:///{path}"), may_be_restored=True).engine.dispose()
    assert path.read_bytes() == before
    note_intents(path, 0)
    opened(path)


@pytest.mark.parametrize(("intents", "is_older"), [(9, True), (10, False), (11, False)])
def test_only_fewer_intents_than_were_seen_make_a_ledger_older(tmp_path: Path, intents: int, is_older: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    remember(path, "abc")
    note_intents(path, 10**6)
    note_intents(path, 10)
    assert noted_intents(path) == 10
    if is_older:
        with pytest.raises(LedgerRestoredError):
            require_not_restored(path, intents)
    else:
        require_not_restored(path, intents)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"many"])
def test_where_no_count_can_be_read_nothing_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ledger.sqlite"
    remember(path, "abc")
    if content is not None:
        note_intents(path, 5)
        (noted,) = runs_folder(path).glob("*intents*")
        noted.write_bytes(content)
    assert noted_intents(path) == 0
    require_not_restored(path, 0)
