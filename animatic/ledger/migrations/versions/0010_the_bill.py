"""Version 10: the items of WaveSpeed's bill, and the sums of each take's."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_PAID = " OR ".join(f"each.state = '{state}'" for state in ("completed", "failed", "held", "submitted", "unknown"))


def upgrade() -> None:
    """Make the table, and the view anew."""
    db = op.get_bind()
    op.create_table(
        "charge",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("prediction_id", sa.Text),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("microusd", sa.BigInteger),
        sa.Column("charged_at", sa.DateTime),
        sa.Column("order_state", sa.Text, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("provider", "item", name="pk_charge"),
    )
    op.create_index("ix_charge_prediction_id", "charge", ["prediction_id"])
    db.exec_driver_sql("DROP VIEW newest_attempt")
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
        "FROM attempt WHERE NOT EXISTS (SELECT * FROM attempt AS later "
        "WHERE later.fingerprint = attempt.fingerprint AND later.attempt_no > attempt.attempt_no)"
    )
    db.exec_driver_sql("UPDATE meta SET value = '10' WHERE name = 'schema_version'")
