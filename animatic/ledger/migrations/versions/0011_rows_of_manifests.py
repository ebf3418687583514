"""Version 11: how many rows a manifest had when it was last planned."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column; for manifests of before it is not known."""
    with op.batch_alter_table("manifest") as batch:
        batch.add_column(sa.Column("num_rows", sa.Integer))
    op.get_bind().exec_driver_sql("UPDATE meta SET value = '11' WHERE name = 'schema_version'")
