"""Version 13: what the quality checks of clips found."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the table; clips of earlier runs are checked by the next one."""
    op.create_table(
        "quality",
        sa.Column("attempt_id", sa.Integer, nullable=False),
        sa.Column("output", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("failed", sa.Text, nullable=False),
        sa.Column("first_frame_similarity", sa.Float),
        sa.Column("black_fraction", sa.Float),
        sa.Column("frozen_fraction", sa.Float),
        sa.Column("cuts", sa.Integer),
        sa.Column("motion", sa.Float),
        sa.Column("checked_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", "output", name="pk_quality"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.attempt_id"], name="fk_quality_attempt_id_attempt"),
    )
    op.get_bind().exec_driver_sql("UPDATE meta SET value = '13' WHERE name = 'schema_version'")
