"""Version 7: Prefect's id of each run, in the view of the newest attempts too."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_PAID = " OR ".join(f"each.state = '{state}'" for state in ("completed", "failed", "held", "submitted", "unknown"))


def upgrade() -> None:
    """Add the column, and make the view anew."""
    db = op.get_bind()
    db.exec_driver_sql("DROP VIEW newest_attempt")
    op.add_column("run", sa.Column("flow_run_id", sa.Text))
    of_all = f"FROM attempt AS each WHERE each.fingerprint = attempt.fingerprint AND ({_PAID})"
    db.exec_driver_sql(
        "CREATE VIEW newest_attempt AS SELECT attempt.*, "
        f"(SELECT count(*) {of_all}) AS attempts, "
        "(SELECT CASE WHEN count(*) = count(each.quoted_microusd) "
        f"THEN coalesce(sum(each.quoted_microusd), 0) END {of_all}) AS cost_microusd, "
        "(SELECT run.flow_run_id FROM run WHERE run.run_id = attempt.run_id) AS flow_run_id "
        "FROM attempt WHERE NOT EXISTS (SELECT * FROM attempt AS later "
        "WHERE later.fingerprint = attempt.fingerprint AND later.attempt_no > attempt.attempt_no)"
    )
    db.exec_driver_sql("UPDATE meta SET value = '7' WHERE name = 'schema_version'")
