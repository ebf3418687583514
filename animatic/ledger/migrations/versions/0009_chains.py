"""Version 9: the takes whose last frames others start from."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "chain",
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_chain"),
    )
    op.create_index("ix_chain_key", "chain", ["key"])
    op.create_index("ix_chain_source", "chain", ["source"])
    op.get_bind().exec_driver_sql("UPDATE meta SET value = '9' WHERE name = 'schema_version'")
