"""Version 12: looks at stills on the web, and takes that are bought again because their still has changed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_PAID = " OR ".join(f"each.state = '{state}'" for state in ("completed", "failed", "held", "submitted", "unknown"))
_LIVE = sa.text("state IN ('completed', 'held', 'submitted', 'submitting', 'unknown')")
_OF_NOTHING = "{0}.allowed_by = 'changed-still' AND ({0}.state = 'absent' OR {0}.state = 'unsent')"


def upgrade() -> None:
    """Make the tables; a take may have one live attempt for each change of its still."""
    db = op.get_bind()
    db.exec_driver_sql("DROP VIEW newest_attempt")
    op.add_column("attempt", sa.Column("renewal", sa.Integer, nullable=False, server_default="0"))
    op.drop_index("one_live", "attempt")
    op.create_index(
        "one_live", "attempt", ["fingerprint", "renewal"], unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE
    )
    op.create_table(
        "look",
        sa.Column("look_id", sa.Integer),
        sa.Column("still", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("etag", sa.Text),
        sa.Column("last_modified", sa.Text),
        sa.Column("looked_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("look_id", name="pk_look"),
    )
    op.create_index("ix_look_address", "look", ["address"])
    op.create_index("ix_look_looked_at", "look", ["looked_at"])
    op.create_table(
        "attempt_look",
        sa.Column("attempt_id", sa.Integer, nullable=False),
        sa.Column("still", sa.Text, nullable=False),
        sa.Column("look_id", sa.Integer, nullable=False),
        sa.Column("is_later", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("attempt_id", "still", name="pk_attempt_look"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.attempt_id"], name="fk_attempt_look_attempt_id_attempt"),
        sa.ForeignKeyConstraint(["look_id"], ["look.look_id"], name="fk_attempt_look_look_id_look"),
    )
    of_all = f"FROM attempt AS each WHERE each.fingerprint = attempt.fingerprint AND ({_PAID})"
    on_bill = (
        "FROM attempt AS each JOIN charge ON charge.prediction_id = each.prediction_id "
        "WHERE each.fingerprint = attempt.fingerprint AND charge.provider = "
        "(SELECT take.provider FROM take WHERE take.fingerprint = each.fingerprint)"
    )
    db.exec_driver_sql(
        "CREATE VIEW newest_attempt AS SELECT attempt.*, "
        f"(SELECT count(*) {of_all}) AS attempts, "
        "(SELECT CASE WHEN count(*) = count(each.quoted_microusd) "
        f"THEN coalesce(sum(each.quoted_microusd), 0) END {of_all}) AS cost_microusd, "
        "(SELECT run.flow_run_id FROM run WHERE run.run_id = attempt.run_id) AS flow_run_id, "
        f"(SELECT sum(CASE WHEN charge.kind = 'deduct' THEN charge.microusd END) {on_bill}) AS charged_microusd, "
        f"(SELECT sum(CASE WHEN charge.kind = 'refund' THEN charge.microusd ELSE 0 END) {on_bill}) "
        "AS refunded_microusd "
        f"FROM attempt WHERE NOT ({_OF_NOTHING.format('attempt')}) AND NOT EXISTS (SELECT * FROM attempt AS later "
        "WHERE later.fingerprint = attempt.fingerprint AND later.attempt_no > attempt.attempt_no "
        f"AND NOT ({_OF_NOTHING.format('later')}))"
    )
    db.exec_driver_sql("UPDATE meta SET value = '12' WHERE name = 'schema_version'")
