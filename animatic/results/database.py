"""A DuckDB database of a results table, with a view for each question that people ask of one.

DuckDB is an extra. Cells and the names of columns reach it as Arrow, never as SQL. The file is made elsewhere and
replaces the old one as a whole; a file that is no database of ours is refused.
"""

import importlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from animatic import storage
from animatic.errors import LocationError, SettingsError
from animatic.errors.text import escaped
from animatic.machine.extras import installs_extra
from animatic.results import reading
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.reading import MAX_RESULTS_BYTES

VERSION = 1
MAX_BYTES = 16 << 30
_ABOUT = "about_animatic"
_MAGIC_AT, _MAGIC = 8, b"DUCK"


@dataclass(frozen=True, slots=True)
class View:
    """A view: the question that it answers, and its query.

    Attributes:
        needs: columns without which there is no such view.
    """

    question: str
    query: str
    needs: tuple[str, ...] = ()


_COUNTED = """
SELECT storyboard, model, count(*) FILTER (status <> 'invalid') AS takes,
  count(*) FILTER (status = 'completed') AS completed,
  count(*) FILTER (status = 'failed') AS failed, count(*) FILTER (status = 'rejected') AS rejected,
  count(*) FILTER (status = 'failed') / nullif(count(*) FILTER (status IN ('completed', 'failed')), 0) AS failure_rate
FROM results GROUP BY ALL ORDER BY min("row")"""

VIEWS: Mapping[str, View] = {
    "not_done": View(
        "What is not done, and why?",
        """SELECT "row", storyboard, shot_id, take, status, error_code, error, prediction_id, fingerprint
FROM results WHERE status <> 'completed' ORDER BY "row", take""",
    ),
    "flagged": View(
        "What should be looked at before anybody else sees it? Not judged is not clean.",
        """SELECT "row", storyboard, shot_id, take, nsfw, prompt, output_url, clip_uri
FROM results WHERE status = 'completed' AND nsfw IS DISTINCT FROM false ORDER BY nsfw NULLS LAST, "row", take""",
    ),
    "inference_times": View(
        "How long does WaveSpeed work, by storyboard, model and duration?",
        """SELECT storyboard, model, duration, count(inference_ms) AS takes,
  quantile_cont(inference_ms / 1000, 0.5) AS inference_p50_s,
  quantile_cont(inference_ms / 1000, 0.95) AS inference_p95_s
FROM results WHERE status = 'completed' GROUP BY ALL ORDER BY min("row")""",
    ),
    "costs": View(
        "What does each storyboard cost? `quoted_usd` is what was reserved, the others are what a bill has shown.",
        """SELECT storyboard, model, count(take) AS takes, sum(quoted_usd) AS quoted_usd,
  sum(charged_usd) AS charged_usd, sum(refunded_usd) AS refunded_usd FROM results GROUP BY ALL ORDER BY min("row")""",
    ),
    "failure_rates": View("How many of the takes that WaveSpeed accepted did it fail?", _COUNTED),
    "newest_takes": View(
        "Which is the newest completed take of each shot?",
        """SELECT * FROM results WHERE status = 'completed'
QUALIFY row_number() OVER (PARTITION BY storyboard, shot_id ORDER BY take DESC, "row" DESC) = 1 ORDER BY "row\"""",
    ),
    "archive_gaps": View(
        "Which completed takes have no clip in the archive, or one with a fault?",
        """SELECT "row", storyboard, shot_id, take, archive_error, outputs_expire_at, output_url
FROM results WHERE status = 'completed' AND (clip_uri IS NULL OR archive_error IS NOT NULL) ORDER BY "row", take""",
    ),
    "qa_failures": View(
        "Which checks does which clip fail?",
        """SELECT * FROM (SELECT "row", storyboard, shot_id, take, unnest(qa) AS check_failed, clip_uri FROM results)
ORDER BY "row", take, check_failed""",
        ("qa",),
    ),
}
"""The views, by name."""


def as_markdown() -> str:
    """Return the table of the views for the docs."""
    rows = [f"| `{name}` | {view.question} |" for name, view in VIEWS.items()]
    return "\n".join(["| view | question |", "| --- | --- |", *rows])


def require_database_place(uri: str) -> None:
    """Refuse a place where no database can be put, before anything else is done.

    Raises:
        SettingsError: DuckDB is not installed.
        LocationError: there is something that is no database of ours, or nothing can be written there.
    """
    duckdb = _duckdb()
    storage.require_writable(uri)
    kind = storage.kind_of(uri)
    if kind is None:
        return
    path = storage.real_path(uri)
    if kind == "a file" and path is not None:
        is_ours = _is_ours(duckdb, uri, path)
    elif kind == "a file":
        with tempfile.TemporaryDirectory(prefix="animatic-duckdb-") as folder:
            copy = Path(folder) / "old.duckdb"
            with storage.open_copy(uri, max_bytes=MAX_BYTES) as file, copy.open("wb") as target:
                while chunk := file.read(1 << 20):
                    target.write(chunk)
            is_ours = _is_ours(duckdb, uri, copy)
    else:
        is_ours = False
    if not is_ours:
        raise LocationError(
            f"--duckdb {storage.name_of(uri)}: found {kind} that animatic did not make; allowed: a database that it "
            "made, or a name that nothing has yet"
        )


def write_database(results: str, uri: str) -> int:
    """Make the database of a results table, or replace the one that is there; return its number of rows.

    Raises:
        SettingsError: DuckDB is not installed.
        LocationError: the table cannot be read, or the database cannot be written.
    """
    duckdb = _duckdb()
    require_database_place(uri)
    name = storage.name_of(results)
    with tempfile.TemporaryDirectory(prefix="animatic-duckdb-") as folder:
        made = Path(folder) / "new.duckdb"
        with (
            storage.open_copy(results, max_bytes=MAX_RESULTS_BYTES) as file,
            closing(duckdb.connect(str(made), config={"enable_external_access": "false"})) as database,
        ):
            others = [each for each in reading.read_head(file, name).names if each not in RESULTS_SCHEMA.names]
            rows = fill(database, reading.read_cells(file, name, RESULTS_SCHEMA.names, others))
        with made.open("rb") as file:
            storage.replace_with(uri, file)
    return rows


def fill(database: Any, pieces: Iterator[pa.Table]) -> int:
    """Put the pieces of a results table into an empty database, with its views; return the number of rows."""
    rows = 0
    for number, piece in enumerate(pieces):
        database.register("piece", _plain(piece))
        database.execute(
            "CREATE TABLE results AS SELECT * FROM piece" if not number else "INSERT INTO results SELECT * FROM piece"
        )
        database.unregister("piece")
        rows += piece.num_rows
    if not rows:
        database.register("piece", RESULTS_SCHEMA.empty_table())
        database.execute("CREATE TABLE IF NOT EXISTS results AS SELECT * FROM piece")
        database.unregister("piece")
    there = {name for (name,) in database.execute("SELECT column_name FROM (DESCRIBE results)").fetchall()}
    for name, view in VIEWS.items():
        if there.issuperset(view.needs):
            database.execute(f"CREATE VIEW {name} AS {view.query}")
    database.execute("CREATE TABLE about_animatic AS SELECT ? AS version", [VERSION])
    return rows


def _plain(table: pa.Table) -> pa.Table:
    """Return a table whose names differ in more than case, as DuckDB wants them, and without Arrow's own types."""
    columns = [
        column.cast(pa.string()) if isinstance(column.type, pa.BaseExtensionType) else column
        for column in table.columns
    ]
    return pa.table(columns, names=_unlike(table.column_names))


def _unlike(names: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    found: list[str] = []
    for name in names:
        plain, number = name or "column", 1
        free = plain
        while free.casefold() in taken:
            number += 1
            free = f"{plain}_{number}"
        taken.add(free.casefold())
        found.append(free)
    return found


def _is_ours(duckdb: Any, uri: str, path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_MAGIC_AT + len(_MAGIC))
    if not head:
        return True  # an empty file holds nothing that could be lost
    if head[_MAGIC_AT:] != _MAGIC:
        return False
    try:
        with closing(duckdb.connect(str(path), read_only=True, config={"enable_external_access": "false"})) as database:
            query = "SELECT count(*) FROM duckdb_tables() WHERE table_name = ?"
            return database.execute(query, [_ABOUT]).fetchall() == [(1,)]
    except duckdb.Error as error:
        reason = escaped(str(error).partition("\n")[0], 200)
        raise LocationError(
            f"--duckdb {storage.name_of(uri)}: cannot be opened: {reason}; close it in other "
            "programs, or give another name"
        ) from None


def _duckdb() -> Any:
    try:
        return importlib.import_module("duckdb")
    except ImportError:
        raise SettingsError(
            f"--duckdb: DuckDB is not installed here; install the extra: {installs_extra('duckdb')}"
        ) from None
