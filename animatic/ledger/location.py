"""Location of a ledger: rules for the path, and checks that the ledger that was there still is.

The runs folder beside a ledger holds the ledger's own id, and how many intents it held when one was last written. A
folder that remembers a ledger which is not there any more, is another one, or is older than the folder, stops
everything: a new ledger in its place would buy all takes again, and an old one those that were bought since.
"""

import os
import re
from pathlib import Path

from animatic.errors import LedgerRestoredError, LedgerUnusableError, SettingsError
from animatic.errors.text import command, shell_line
from animatic.ledger.liveness import runs_folder
from animatic.machine.durability import replacement, sync_folder

_ID_FILE = "ledger-id"
_INTENTS_FILE = "ledger-intents"
_MOUNTS = Path("/proc/self/mountinfo")

_OVER_A_NETWORK = re.compile(
    r"(nfs\d*|cifs|smb\d?|smbfs|afs|ncpfs|9p|ceph|lustre|glusterfs|beegfs|gpfs|orangefs|ocfs2|gfs2|davfs|vboxsf|"
    r"vmhgfs|prl_fs|virtiofs|pvfs2|panfs|coda|wekafs|acfs|drvfs|fuse|fuse\..+|fuseblk\.sshfs)"
)
"""File systems whose locks or syncs SQLite cannot rely on; not `fuseblk`, which is NTFS or exFAT on a local disk."""


def require_local(ledger: Path, mounts: str | None = None) -> None:
    """Refuse a ledger on a network file system. `mounts` is the text of /proc/self/mountinfo.

    Raises:
        SettingsError: it lies on one.
    """
    if mounts is None:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace") if _MOUNTS.exists() else ""
    file_system = file_system_of(ledger.resolve(), mounts)
    if file_system is not None and _OVER_A_NETWORK.fullmatch(file_system):
        raise SettingsError(
            f"ANIMATIC_LEDGER: {ledger} lies on a file system of type {file_system}; allowed: a local disk, since "
            "SQLite cannot lock or sync reliably over a network and takes could be bought twice. Give it a local path."
        )


def file_system_of(path: Path, mounts: str) -> str | None:
    """Return the type of the file system that a path lies on, None if the mounts do not say."""
    best, file_system = -1, None
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        parts = fields.split()
        if len(parts) < 5 or not rest:
            continue
        point = Path(_unescaped(parts[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:  # of two on one point, the later covers the other
            best, file_system = len(point.parts), rest.split()[0]
    return file_system


def require_not_lost(ledger: Path) -> None:
    """Refuse to go on where a ledger was and is no more.

    Raises:
        LedgerUnusableError: it is gone, or empty.
    """
    remembered = _remembered(ledger)
    if remembered is not None and (not ledger.exists() or ledger.stat().st_size == 0):
        raise LedgerUnusableError(
            f"ledger {ledger}: it is gone, though {runs_folder(ledger)} says that it was there. Nothing was bought. "
            "It is the only record of what was paid for. Restore it from a backup. Or begin a new one, which buys "
            "again what no results table (RESULTS) knows; without a terminal the next run needs --new-ledger then:\n"
            f"    {_forgetting(ledger)}\n    {command('ledger', 'import', 'RESULTS')}"
        )


def remember(ledger: Path, ledger_id: str) -> None:
    """Write down which ledger lies here, or check that it is still the same.

    Raises:
        LedgerUnusableError: it is another one.
    """
    remembered = _remembered(ledger)
    if remembered == ledger_id:
        return
    if remembered is not None:
        raise LedgerUnusableError(
            f"ledger {ledger}: it is another ledger than the one that {runs_folder(ledger)} knows. Nothing was bought. "
            "Put the right one back. If this one is meant to replace it, and what the other knew may be bought again:\n"
            f"    {_forgetting(ledger)}"
        )
    folder = runs_folder(ledger)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacement(folder / _ID_FILE) as file:
        file.write(ledger_id.encode("ascii"))
    sync_folder(folder.parent)


def note_intents(ledger: Path, intents: int) -> None:
    """Write down, after the commit, how many intents the ledger holds now.

    Not synced: after a power cut the file may lag behind, which only makes it notice less; it is never ahead.
    """
    descriptor = os.open(runs_folder(ledger) / _INTENTS_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, f"{intents:020d}\n".encode(), 0)
    finally:
        os.close(descriptor)


def noted_intents(ledger: Path) -> int:
    """Return how many intents the runs folder knows of; 0 where it says nothing that can be read."""
    try:
        return int((runs_folder(ledger) / _INTENTS_FILE).read_text(encoding="ascii", errors="replace"))
    except (OSError, ValueError):
        return 0


def require_not_restored(ledger: Path, intents: int, name: str | None = None) -> None:
    """Refuse a ledger that holds fewer intents than its runs folder has seen; `name` is what messages call it.

    Raises:
        LedgerRestoredError: it does.
    """
    noted = noted_intents(ledger)
    if intents < noted:
        raise LedgerRestoredError(
            f"ledger {name or ledger}: it holds {intents:,} submissions, and {runs_folder(ledger)} has seen "
            f"{noted:,}: it was restored from a backup, and does not know what was bought since. Nothing was bought. "
            f"Take over what results tables (RESULTS) know, settle the rest, and declare it complete:\n{MENDING}"
        )


MENDING = "\n".join(
    f"    {command(*each)}" for each in (("ledger", "import", "RESULTS"), ("reconcile",), ("ledger", "accept"))
)
"""The commands that mend a restored ledger, in their order."""


def _forgetting(ledger: Path) -> str:
    """Return the command that lets another ledger take the place of the one that was here."""
    folder = str(runs_folder(ledger))
    return shell_line(["mv", folder, f"{folder}.old"])


def _remembered(ledger: Path) -> str | None:
    try:
        return (runs_folder(ledger) / _ID_FILE).read_text(encoding="ascii", errors="replace").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _unescaped(text: str) -> str:
    """Mountinfo writes blanks and backslashes as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
