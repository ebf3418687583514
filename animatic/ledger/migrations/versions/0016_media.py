"""Version 16: batches of clips that runs hand to media workers."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make the table; runs that have media workers fill it."""
    op.create_table(
        "media",
        sa.Column("batch_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("archive", sa.Text, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("clip_name", sa.Text, nullable=False),
        sa.Column("stills", sa.Text, nullable=False),
        sa.Column("takes", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("times_taken", sa.Integer, nullable=False, server_default="0"),
        sa.Column("heard_at", sa.Float),
        sa.Column("counts", sa.Text, nullable=False, server_default="{}"),
        sa.Column("problem", sa.Text),
        sa.Column("handed_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name="pk_media"),
    )
    op.create_index("media_by_moment", "media", ["handed_at"])
    op.get_bind().exec_driver_sql("UPDATE meta SET value = '16' WHERE name = 'schema_version'")
