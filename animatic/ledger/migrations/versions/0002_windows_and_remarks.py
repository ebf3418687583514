"""Version 2: windows and nonces of intents, what settled an attempt, remarks, orphans, the ledger's own id."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_UNCLEAR = sa.text("state IN ('held', 'submitting', 'unknown')")


def upgrade() -> None:
    """Add columns and tables."""
    op.drop_index("submitting_now", "attempt", if_exists=True)
    for column in (
        sa.Column("nonce", sa.Text, nullable=False, server_default=""),
        sa.Column("window_from", sa.DateTime),
        sa.Column("window_to", sa.DateTime),
        sa.Column("absent_since", sa.DateTime),
        sa.Column("candidates", sa.Text),
        sa.Column("settled_by", sa.Text),
    ):
        op.add_column("attempt", column)
    op.create_index("unclear_now", "attempt", ["state", "run_id"], sqlite_where=_UNCLEAR, postgresql_where=_UNCLEAR)
    op.create_table(
        "remark",
        sa.Column("remark_id", sa.Integer, primary_key=True),
        sa.Column("attempt_id", sa.Integer, sa.ForeignKey("attempt.attempt_id"), nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "orphan",
        sa.Column("prediction_id", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime),
        sa.Column("found_at", sa.DateTime, nullable=False),
    )
    named = sa.text("INSERT INTO meta (name, value) VALUES ('ledger_id', :value) ON CONFLICT (name) DO NOTHING")
    op.get_bind().execute(named, {"value": secrets.token_hex(16)})
    op.execute("UPDATE meta SET value = '2' WHERE name = 'schema_version'")
