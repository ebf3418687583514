"""The form of a manifest whose URI does not say it: by what its server says of it, and by its first bytes. Pure."""

import re
from dataclasses import dataclass
from email.message import Message
from posixpath import basename
from urllib.parse import unquote

from animatic.errors import ManifestError
from animatic.manifest.faults import Problem
from animatic.manifest.tables import whole_file_error

SUFFIXES = (".csv", ".tsv", ".xlsx", ".jsonl", ".parquet")
SPREADSHEETS = frozenset({".xls", ".xlsm", ".xlsb", ".xltx", ".xml", ".ods", ".fods", ".numbers", ".gsheet"})
ALLOWED = "a table: CSV, TSV, JSON Lines, Parquet or an Excel workbook (.xlsx)"
MAX_NAME_CHARS = 200

_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BINARY = ((b"PAR1", ".parquet"), (b"PK\x03\x04", ".xlsx"))
_OTHERS = (
    (b"%PDF", "a PDF"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls), or one with a password"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
_PAGE = re.compile(
    rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body|script|meta)\b", re.IGNORECASE | re.DOTALL
)
_EXTENDED = re.compile(r"""\bfilename\*\s*=\s*"?utf-8'[\w-]*'([^\s;"]+)""", re.IGNORECASE)
"""RFC 6266: of two names this one counts. Others than those in UTF-8 are rare, and left to the plain one."""

_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_TABS = "text/tab-separated-values"


@dataclass(frozen=True, slots=True)
class Reply:
    """A web server's words about a file; empty for one from elsewhere.

    Attributes:
        content_type, disposition: the headers `Content-Type` and `Content-Disposition`.
    """

    content_type: str = ""
    disposition: str = ""

    @property
    def media_type(self) -> str:
        """Media type in lower case, without parameters."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def file_name(self) -> str | None:
        """Name of the file that the server proposes, without folders; None where it proposes none that can be one."""
        message, extended = Message(), _EXTENDED.search(self.disposition)
        message["Content-Disposition"] = self.disposition.encode(errors="surrogateescape").decode(errors="replace")
        proposed = (message.get_filename() or "") if extended is None else unquote(extended[1])
        name = basename(proposed.replace("\\", "/")).strip()
        is_name = name.strip(".") and name.isprintable() and len(name) <= MAX_NAME_CHARS
        return name if is_name else None


def says_form(name: str) -> bool:
    """Tell if a file's name says the form of what is in it, packed or not."""
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def is_page(start: bytes, reply: Reply) -> bool:
    """Tell if a file that should be a table is a web page."""
    return _PAGE.match(start.removeprefix(b"\xef\xbb\xbf")) is not None or (
        reply.media_type in _PAGE_TYPES and start.lstrip()[:1] in {b"", b"<"}
    )


def name_of_file(name: str, reply: Reply, start: bytes) -> str:
    """Return a name for a file that says its form: its own, the one its server proposes, or one by its first bytes.

    That of a packed file, or of one in UTF-16, says as much or nothing: what is in it must be asked again.

    Raises:
        ManifestError: it is no table.
    """
    proposed = reply.file_name
    if says_form(name) or f".{name.lower().rpartition('.')[2]}" in SPREADSHEETS:
        return name
    if proposed is not None and says_form(proposed):
        return proposed
    stem = proposed or name
    if start.startswith(_GZIP):
        return f"{stem}.gz"
    if start.startswith(_UTF16):
        return stem
    return f"{stem}{suffix_by(stem, start, reply.media_type)}"


def suffix_by(name: str, start: bytes, media_type: str = "") -> str:
    """Return the suffix that fits the first bytes of a file. Raises ManifestError where it is no table."""
    for signature, suffix in _BINARY:
        if start.startswith(signature):
            return suffix
    other = next((what for signature, what in _OTHERS if start.startswith(signature)), None)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if other is None and text.startswith(b"<"):
        other = "XML"
    hint = None
    if text.startswith(b"["):
        other, hint = "a JSON array", "one object a line"
    if other is not None:
        raise not_a_table(name, f"what seems to be {other}", hint)
    if text.startswith(b"{"):
        return ".jsonl"
    return ".tsv" if media_type == _TABS else ".csv"


def not_a_table(name: str, found: str, hint: str | None = None) -> ManifestError:
    """Return the error for a file that is something else."""
    return whole_file_error(name, Problem("no table", found, ALLOWED, hint))
