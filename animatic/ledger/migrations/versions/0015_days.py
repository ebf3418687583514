"""Version 15: the sums that each UTC day's purchases have reserved."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_PAID = " OR ".join(f"each.state = '{state}'" for state in ("completed", "failed", "held", "submitted", "unknown"))
_RESERVED = "'completed', 'failed', 'held', 'submitted', 'submitting', 'unknown'"
_OF_NOTHING = "{0}.allowed_by = 'changed-still' AND ({0}.state = 'absent' OR {0}.state = 'unsent')"


def upgrade() -> None:
    """Make the table; what was reserved since yesterday, by this machine's clock, counts for its day."""
    db = op.get_bind()
    db.exec_driver_sql("DROP VIEW newest_attempt")
    op.add_column("attempt", sa.Column("spent_on", sa.Date))
    spending = op.create_table(
        "spending",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("reserved_microusd", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("unpriced", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("provider", "day", name="pk_spending"),
    )
    since = datetime.combine(datetime.now(UTC).date() - timedelta(days=1), datetime.min.time())
    found = db.execute(
        sa.text(
            "SELECT attempt_id, take.provider, intent_at, quoted_microusd FROM attempt "
            "JOIN take ON take.fingerprint = attempt.fingerprint "
            f"WHERE intent_at >= :since AND state IN ({_RESERVED}) AND take.provider <> 'sandbox'"
        )
        .bindparams(sa.bindparam("since", since, sa.DateTime))
        .columns(attempt_id=sa.Integer, provider=sa.Text, intent_at=sa.DateTime, quoted_microusd=sa.BigInteger)
    ).all()
    reserved, unpriced = Counter[tuple[str, date]](), Counter[tuple[str, date]]()
    attempt = sa.table("attempt", sa.column("attempt_id", sa.Integer), sa.column("spent_on", sa.Date))
    for row in found:
        key = (row.provider, row.intent_at.date())
        reserved[key] += row.quoted_microusd or 0
        unpriced[key] += row.quoted_microusd is None
    if found:
        db.execute(
            attempt.update().where(attempt.c.attempt_id == sa.bindparam("at")).values(spent_on=sa.bindparam("on")),
            [{"at": row.attempt_id, "on": row.intent_at.date()} for row in found],
        )
        db.execute(
            spending.insert(),
            [
                {"provider": provider, "day": day, "reserved_microusd": amount, "unpriced": unpriced[provider, day]}
                for (provider, day), amount in reserved.items()
            ],
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
    db.exec_driver_sql("UPDATE meta SET value = '15' WHERE name = 'schema_version'")
