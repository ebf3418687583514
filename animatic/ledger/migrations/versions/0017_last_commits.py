"""Version 17: what tells a connection to a server whether its last transaction was committed."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make the table; transactions on a server fill it."""
    op.create_table(
        "last_commit",
        sa.Column("connection", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("made_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("connection", name="pk_last_commit"),
    )
    op.get_bind().exec_driver_sql("UPDATE meta SET value = '17' WHERE name = 'schema_version'")
