"""Version 3: the account's limits, kept for all runs on the ledger together."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add three tables."""
    op.create_table(
        "starts",
        sa.Column("block_id", sa.Integer, primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("starts", sa.Integer, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )
    op.create_index("starts_by_provider", "starts", ["provider", "until", "starts"])
    op.create_table(
        "pace",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("refusals", sa.Integer, nullable=False),
    )
    op.create_table(
        "places",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
    )
    op.execute("UPDATE meta SET value = '3' WHERE name = 'schema_version'")
