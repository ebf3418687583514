"""Version 6: where clips are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table of clips."""
    op.create_table(
        "clip",
        sa.Column("clip_id", sa.Integer, nullable=False),
        sa.Column("attempt_id", sa.Integer, nullable=False),
        sa.Column("output", sa.Integer, nullable=False),
        sa.Column("archive", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("file", sa.Text),
        sa.Column("sha256", sa.Text),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("container", sa.Text),
        sa.Column("codec", sa.Text),
        sa.Column("duration_s", sa.Float),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("fps", sa.Float),
        sa.Column("frames", sa.Integer),
        sa.Column("archived_at", sa.DateTime),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("clip_id", name="pk_clip"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.attempt_id"], name="fk_clip_attempt_id_attempt"),
        sa.UniqueConstraint("archive", "name_key", name="uq_clip_archive_name_key"),
    )
    op.create_index("clip_by_attempt", "clip", ["attempt_id", "output"])
    op.get_bind().exec_driver_sql("UPDATE meta SET value = '6' WHERE name = 'schema_version'")
