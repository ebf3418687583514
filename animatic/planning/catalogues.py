"""The models that a manifest may name: built in, in a folder of files, listed by WaveSpeed, or as it listed them last.

WaveSpeed's list is kept beside the ledger, so that a manifest can be planned without it. A model that was in it and is
no more was retired, which a fault can say.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from animatic.errors import AccountRefusedError, KeyRefusedError, NeverAgainError, SettingsError, TryLaterError
from animatic.errors.text import one_line
from animatic.ledger import files_of
from animatic.machine.durability import replacement
from animatic.machine.start_folder import from_start
from animatic.takes.models import BUILT_IN, Catalogue, read_catalogue

MOST_FILE_BYTES = 4 << 20
MOST_FILES = 2_000
MOST_KEPT_BYTES = 64 << 20
MOST_RETIRED = 10_000

AskForList = Callable[[], Awaitable[Sequence[Any]]]
"""Asks WaveSpeed for the entries of its list of models."""


@dataclass(frozen=True, slots=True)
class KeptList:
    """WaveSpeed's list of models as it was read last, in a file beside the ledger.

    Attributes:
        path: of the file; one for each provider.
    """

    path: Path

    def read(self) -> tuple[list[Any], list[str]]:
        """Return the entries, and the ids of models that are listed no more; nothing where none can be read."""
        try:
            if self.path.stat().st_size > MOST_KEPT_BYTES:
                return [], []
            found: Any = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return [], []
        kept: dict[str, Any] = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        entries, retired = kept.get("models"), kept.get("retired")
        return (
            cast("list[Any]", entries) if isinstance(entries, list) else [],
            [each for each in cast("list[Any]", retired) if isinstance(each, str)] if isinstance(retired, list) else [],
        )

    def write(self, entries: Sequence[Any]) -> list[str]:
        """Keep a list that was just read; return the ids of models that are listed no more.

        A disk that is full keeps the list as it was: it is only for when WaveSpeed cannot be asked.
        """
        before, retired = self.read()
        listed = set(_ids_of(entries))
        retired = [each for each in dict.fromkeys([*retired, *_ids_of(before)]) if each not in listed][-MOST_RETIRED:]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with replacement(self.path) as file:
                file.write(json.dumps({"models": list(entries), "retired": retired}).encode())
        except OSError:
            pass
        return retired


def kept_list(ledger_url: str, provider: str) -> KeptList:
    """Return the list of a provider that is kept beside a ledger."""
    path, _ = files_of(ledger_url)
    return KeptList(path.with_name(f"{path.name}.models-{hashlib.sha256(provider.encode()).hexdigest()[:8]}.json"))


async def find_catalogue(
    named: Collection[str], kept: KeptList, folder: str | None = None, ask: AskForList | None = None
) -> Catalogue:
    """Return the models that a manifest may name, given the ids that are in it.

    Nothing is read or asked where it names none but veo2-i2v. Without `ask` the list that is kept has to do.

    Raises:
        SettingsError: the folder cannot be read, or no list can be had. KeyRefusedError is one: WaveSpeed refuses the
            key.
    """
    if folder is not None:
        return read_catalogue(read_folder(Path(from_start(folder))))
    if all(each in BUILT_IN for each in named):
        return BUILT_IN
    why = "WAVESPEED_API_KEY is not set"
    if ask is not None:
        try:
            entries = await ask()
        except AccountRefusedError as error:
            raise KeyRefusedError(f"{error} Nothing was bought.") from None
        except (TryLaterError, NeverAgainError) as error:
            why = str(error)
        else:
            return replace(read_catalogue(entries), retired=frozenset(kept.write(entries)))
    entries, retired = kept.read()
    if entries:
        return replace(read_catalogue(entries), retired=frozenset(retired))
    unknown = ", ".join(one_line(each, 100) for each in named if each not in BUILT_IN)
    raise SettingsError(
        f"model: found {one_line(unknown, 300)}: what it takes is not known, since the list of models cannot be had "
        f"({why}); run again when it can, or give --models DIR, a folder of JSON files as `/models` lists them"
    )


def read_folder(folder: Path) -> list[Any]:
    """Return the entries in the JSON files of a folder: one each, or a list of them.

    Raises:
        SettingsError: there is no such folder, or a file in it is no JSON.
    """
    if not folder.is_dir():
        raise SettingsError(
            f"--models {folder}: found no folder; allowed: a folder of JSON files, as `/models` lists them"
        )
    entries: list[Any] = []
    for path in sorted(folder.glob("*.json"))[:MOST_FILES]:
        try:
            if path.stat().st_size > MOST_FILE_BYTES:
                raise SettingsError(f"--models {path}: found more than {MOST_FILE_BYTES:,} bytes; allowed: up to that")
            found: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise SettingsError(
                f"--models {path}: cannot be read as JSON ({type(error).__name__}); correct it"
            ) from None
        found = found.get("data", found) if isinstance(found, dict) and "model_id" not in found else found
        entries += found if isinstance(found, list) else [found]
    return entries


def _ids_of(entries: Iterable[Any]) -> list[str]:
    found = [cast("dict[str, Any]", each).get("model_id") for each in entries if isinstance(each, dict)]
    return [each for each in found if isinstance(each, str)]
