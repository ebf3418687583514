"""Version 14: manifests of inboxes, which run works on each, and how far it is."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the table; the next round of each inbox fills it."""
    op.create_table(
        "inbox",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("marked_at", sa.DateTime, nullable=False),
        sa.Column("content", sa.Text),
        sa.Column("results", sa.Text, nullable=False, server_default=""),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("runs", sa.Integer, nullable=False, server_default="0"),
        sa.Column("counts", sa.Text),
        sa.Column("spent_microusd", sa.BigInteger),
        sa.Column("problem", sa.Text),
        sa.Column("ended_at", sa.DateTime),
        sa.PrimaryKeyConstraint("provider", "uri", name="pk_inbox"),
    )
    op.get_bind().exec_driver_sql("UPDATE meta SET value = '14' WHERE name = 'schema_version'")
