"""Version 1: takes, the attempts to buy them, and the runs that made them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LIVE = sa.text("state IN ('completed', 'held', 'submitted', 'submitting', 'unknown')")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "run",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("committed_usd", sa.Float, nullable=False, server_default="0"),
    )
    op.create_table(
        "take",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("duration", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
    )
    op.create_table(
        "attempt",
        sa.Column("attempt_id", sa.Integer, primary_key=True),
        sa.Column("fingerprint", sa.Text, sa.ForeignKey("take.fingerprint"), nullable=False),
        sa.Column("attempt_no", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, sa.ForeignKey("run.run_id"), nullable=False),
        sa.Column("allowed_by", sa.Text, nullable=False),
        sa.Column("image_url", sa.Text, nullable=False),
        sa.Column("cost_usd", sa.Float),
        sa.Column("intent_at", sa.DateTime, nullable=False),
        sa.Column("submitted_at", sa.DateTime),
        sa.Column("completed_at", sa.DateTime),
        sa.Column("created_at", sa.DateTime),
        sa.Column("prediction_id", sa.Text, unique=True),
        sa.Column("prediction_status", sa.Text),
        sa.Column("outputs", sa.Text),
        sa.Column("has_nsfw_contents", sa.Text),
        sa.Column("inference_ms", sa.BigInteger),
        sa.Column("error_code", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.Column("polls", sa.Integer, nullable=False, server_default="0"),
        sa.UniqueConstraint("fingerprint", "attempt_no"),
    )
    op.create_index("one_live", "attempt", ["fingerprint"], unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)
    submitting = sa.text("state = 'submitting'")
    op.create_index("submitting_now", "attempt", ["run_id"], sqlite_where=submitting, postgresql_where=submitting)
    op.execute("INSERT INTO meta (name, value) VALUES ('schema_version', '1')")
