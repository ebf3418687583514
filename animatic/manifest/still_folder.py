"""The folder that relative paths of stills start from, and the cells that name a file in it in full. Opens nothing."""

from dataclasses import dataclass
from urllib.parse import unquote

from animatic.errors.text import escaped

NAMED_BY = "--stills"


@dataclass(frozen=True, slots=True)
class StillFolder:
    """Folder of stills: the manifest's own, or the one that `--stills` names.

    Attributes:
        uri: its absolute URI, without a slash at its end.
        is_named: `--stills` names it.
    """

    uri: str = ""
    is_named: bool = False

    def path_of(self, text: str) -> str:
        """Return the path below the folder, where `text` is the full path or URI of something in it; else `text`.

        The result is as hostile as the cell: `images.relative_path` judges it.
        """
        if not self.uri or self.uri.startswith(("http:", "https:")):  # a URL stays a URL, and is sent as it is
            return text
        if text.startswith(f"{self.uri}/"):
            below = text[len(self.uri) + 1 :]
            return unquote(below) if self._is_local else below
        return text[len(self.shown) + 1 :] if text.startswith(f"{self.shown}/") else text

    @property
    def shown(self) -> str:
        """The folder as a person writes it: a path where it is on this machine's disk, else the URI."""
        return unquote(self.uri.removeprefix("file://")) if self._is_local else self.uri

    def hint_for(self, text: str) -> str | None:
        """Return what to do about a full path or URI that is not in the folder; None where it is something else."""
        if not text.startswith(("/", "~")) and text.partition("://")[0].lower() not in _STORES:
            return None
        if self.is_named:
            return f"it is not inside {NAMED_BY} {escaped(self.shown, 200)}"
        return f"name the folder that the stills are in: {NAMED_BY} FOLDER"

    @property
    def _is_local(self) -> bool:
        return self.uri.startswith("file:")


_STORES = frozenset({"file", "s3", "gs", "gcs", "az", "abfs", "abfss", "sftp"})
