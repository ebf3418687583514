"""Prefect's SQLite database, ready made: an empty home need not go through years of migrations, which take seconds.

`prefect-schema.sql` is what the migrations of one version of Prefect make of an empty file, the mark of the last one
included, and nothing else. A database that is there is never written to, one of another version is left to Prefect's
migrations, and so is anything that is not as expected. `python -m flows.server.prefect_database` writes the file for
the Prefect that is installed; a test holds the two together.
"""

import asyncio
import os
import re
import sqlite3
import sys
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp

SCHEMA = Path(__file__).with_name("prefect-schema.sql")

_URL = re.compile(r"sqlite\+aiosqlite:///(?P<path>[^?:]+)")
_REVISION = "SELECT version_num FROM alembic_version"


def is_migrated(url: str) -> bool:
    """Tell if the database behind Prefect's URL needs no migration. It is made first if there is no file yet."""
    found, schema = _URL.fullmatch(url), SCHEMA.read_text(encoding="utf-8")
    if found is None or not schema.startswith(_head(version("prefect"))):
        return False
    path = Path(found["path"])
    with suppress(OSError, sqlite3.Error):
        if not path.exists():
            _make(path, schema)
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            return [f"VALUES('{revision}')" in schema for (revision,) in database.execute(_REVISION)] == [True]
    return False


def _make(path: Path, schema: str) -> None:
    """Make a database in one step. If another process was faster, its database stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file, name = mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(file)
    try:
        with closing(sqlite3.connect(name)) as database:
            database.executescript(schema)
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()


def dumped() -> str:
    """Return the SQL of a database that Prefect's migrations have just made; takes seconds, and imports its server."""
    from prefect.server.database import provide_database_interface  # noqa: PLC0415 - only where a dump is made
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings  # noqa: PLC0415

    with TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.db"
        with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{path}"}):
            asyncio.run(provide_database_interface().create_db())
        with closing(sqlite3.connect(path)) as database:
            return "\n".join((_head(version("prefect")), *database.iterdump(), ""))


def _head(prefect: str) -> str:
    return f"-- What the migrations of Prefect {prefect} make of an empty file: python -m flows.server.prefect_database"


def main() -> int:
    """Write the file anew."""
    SCHEMA.write_text(dumped(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
