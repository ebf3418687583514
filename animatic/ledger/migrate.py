"""Bring a ledger of an older version up to date with Alembic, inside the transaction of its caller."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(db: sa.Connection, version: int) -> None:
    """Take a ledger from this schema version to the newest. Ledgers before version 4 do not know Alembic yet."""
    if not sa.inspect(db).has_table("alembic_version"):
        db.exec_driver_sql(
            "CREATE TABLE alembic_version "
            "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        db.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (f"{version:04}",))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = db
    command.upgrade(config, "head")
