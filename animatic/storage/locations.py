"""Locations: the URIs that operators give, judged before fsspec sees them. Cells never come here.

What an error shows of a URI leaves out user, password and query, which may be credentials.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from animatic.errors import LocationError
from animatic.errors.text import did_you_mean, escaped, nearest
from animatic.machine.start_folder import from_start, start_folder
from animatic.storage.sheets import Sheet, find_sheet

# What must be installed for a scheme; None where nothing more is needed.
_PACKAGES: Mapping[str, str | None] = {
    "file": None,
    "memory": None,
    "http": None,
    "https": None,
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "sftp": "paramiko",
}
_MEANT = {"azure": "az", "blob": "az", "wasb": "abfs", "wasbs": "abfss", "adl": "abfs", "ssh": "sftp", "scp": "sftp"}
"""Names that others have for schemes of ours, and that are spelled too differently to be found by likeness."""

_WEB = frozenset({"http", "https"})
_WITH_PASSWORD = frozenset({"http", "https", "sftp"})
_CREDENTIALS = re.compile(r"\A[^/@:]*:(?!\d*([/?#]|$)).*@")
"""User and password of a URI, also of one whose `/` and `@` are not written as %2F and %40. Not the port of a host."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?")


@dataclass(frozen=True, slots=True)
class Location:
    """A URI that was judged acceptable.

    Attributes:
        scheme: in lower case; `file` for anything on local disk.
        path: the path for local disk, else the whole URI.
        shown: the URI as messages may show it.
        sheet: the Google sheet that it is, if it is one; `path` is where its cells are.
    """

    scheme: str
    path: str
    shown: str
    sheet: Sheet | None = None

    @property
    def is_local(self) -> bool:
        """True if it is on this machine's disk."""
        return self.scheme == "file"

    @property
    def is_web(self) -> bool:
        """True if it can only be read, over http or https."""
        return self.scheme in _WEB

    @property
    def package(self) -> str | None:
        """Package to install for its scheme, None where none is needed."""
        return _PACKAGES[self.scheme]

    @property
    def name(self) -> str:
        """Its last segment, `shots.csv`; empty for a folder that ends in a slash, and for a bucket or host alone."""
        if self.sheet is not None:
            return self.sheet.name
        name = self._parts[2]
        return unquote(name) if self.is_web else name

    @property
    def folder(self) -> str:
        """The URI of the folder that it is in, without a slash at its end; of a web page without its query."""
        root, folder, _ = self._parts
        return f"{root}{folder}" or "."

    @property
    def _parts(self) -> tuple[str, str, str]:
        """Split it into the part that no folder goes above, the folder below that, and the file's name."""
        if self.is_local:
            root = "/" if self.path.startswith("/") else ""
            folder, _, name = self.path.removeprefix("/").rpartition("/")
            return root, folder, name
        path = re.split("[?#]", self.path, maxsplit=1)[0] if self.is_web else self.path
        place = path.partition("://")[2]
        if self.scheme != "memory" and "/" not in place:
            return f"{self.scheme}://", place, ""
        folder, _, name = place.rpartition("/")
        return f"{self.scheme}://", folder, name


def locate(uri: str) -> Location:
    """Return the location that an operator means by `uri`. Raises LocationError for any that we do not accept."""
    shown = _shown(uri)
    if not uri.strip() or not uri.isprintable():
        raise LocationError(f'found "{shown}" as a location; allowed: a path or URI without control characters')
    if "::" in uri:
        raise LocationError(f'{shown}: found a chain of file systems ("::"); allowed: one path or URI')
    match = _SCHEME.match(uri)
    if match is None or (match[2] is None and match[1].lower() not in _PACKAGES):
        return Location("file", _from_start(uri), shown)
    scheme = match[1].lower()
    if scheme not in _PACKAGES:
        near = _MEANT.get(scheme) or nearest(scheme, _PACKAGES, 0.6)
        hint = "" if near is None else f"; {did_you_mean(near + '://')}"
        known = ", ".join(f"{name}://" for name in _PACKAGES)
        raise LocationError(f"{shown}: found the scheme {escaped(scheme)}; allowed: a plain path, {known}{hint}")
    if match[2] is None:
        raise LocationError(f"{shown}: found {scheme}: without its two slashes; {did_you_mean(scheme + '://')}")
    if scheme not in _WITH_PASSWORD and _CREDENTIALS.match(uri.partition("://")[2]):
        raise LocationError(
            f"{shown}: found credentials in the URI, which are not shown; allowed: those of the environment, such as "
            "AWS_PROFILE, AZURE_STORAGE_CONNECTION_STRING or GOOGLE_APPLICATION_CREDENTIALS"
        )
    sheet = find_sheet(scheme + uri[len(scheme) :]) if scheme in _WEB else None
    if sheet is not None:
        return Location(scheme, sheet.url, sheet.uri, sheet)
    return _local(uri, shown) if scheme == "file" else Location(scheme, scheme + uri[len(scheme) :], shown)


def require_lasting(uri: str) -> None:
    """Raise LocationError for a place that is gone when this process ends, where something is to be kept."""
    location = locate(uri)
    if location.scheme == "memory":
        raise LocationError(
            f"{location.shown}: what is in memory is gone when this process ends; allowed: a path, or a URI such as s3://"
        )


def name_of(uri: str) -> str:
    """Return the file's name, `shots.csv`."""
    return locate(uri).name


def stem_of(uri: str) -> str:
    """Return the file's name without its last suffix, `shots`."""
    name = name_of(uri)
    return name.rpartition(".")[0] or name


def beside(uri: str, name: str) -> str:
    """Return the URI of what has this name and is in the same folder."""
    location = locate(uri)
    return f"{location.folder.removesuffix('/')}/{name}"


def anchor_in(folder: str) -> str:
    """Return the URI of a file in a folder. There need not be one: it stands for the folder."""
    bare = folder.rstrip("/")
    return f"{bare}/x" if bare and not bare.endswith(":") else f"{folder}x"


def absolute_uri(uri: str) -> str:
    """Return the URI of a place whatever folder it is looked at from: `file:///…` for a path; others as they are.

    Links are left alone: what a link leads to may change, and the name stays.
    """
    location = locate(uri)
    if location.sheet is not None:
        return location.sheet.uri
    if location.scheme in _WITH_PASSWORD:  # without what may be a credential, or another one every day
        place = re.split("[?#]", location.path, maxsplit=1)[0].partition("://")[2]
        host, slash, path = place.partition("/")
        return f"{location.scheme}://{host.rpartition('@')[2]}{slash}{path}"
    if not location.is_local:
        return location.path
    return f"file://{quote(from_start(location.path))}"


def uri_below(folder: str, path: str) -> str:
    """Return the URI of a file by its path below a folder; `folder` is an absolute URI.

    Raises LocationError for a path that no URI can name.
    """
    base = folder.rstrip("/")
    if not base.startswith("file://"):
        locate(uri := f"{base}/{path}")
        return uri
    try:
        return f"{base}/{quote(path)}"
    except UnicodeEncodeError:
        raise LocationError(f"{escaped(path)}: its name is not UTF-8; rename it") from None


def _from_start(path: str) -> str:
    """Return a path that means the same in the folder that this process works in; a slash at its end stays."""
    return os.path.join(start_folder(), path) if start_folder() != os.getcwd() else path  # noqa: PTH109, PTH118


def _local(uri: str, shown: str) -> Location:
    url = urlsplit(uri)
    if url.netloc not in ("", "localhost"):
        raise LocationError(f"{shown}: found the host {escaped(url.netloc)}; allowed: file:///path, on this machine")
    return Location("file", unquote(uri[len("file://") + len(url.netloc) :]), shown)


def _shown(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return escaped(uri, 200)
    if scheme.lower() not in _WITH_PASSWORD:
        return escaped(f"{scheme}://{_CREDENTIALS.sub('', rest)}", 200)
    place = _CREDENTIALS.sub("", re.split("[?#]", rest, maxsplit=1)[0])
    host, slash, path = place.partition("/")
    return escaped(f"{scheme.lower()}://{host.rpartition('@')[2]}{slash}{path}", 200)
