"""Version 8: the URLs of all local files that an attempt was sent with, instead of that of its still."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_PAID = " OR ".join(f"each.state = '{state}'" for state in ("completed", "failed", "held", "submitted", "unknown"))


def upgrade() -> None:
    """Move the URLs of uploaded stills, and make the view anew."""
    db = op.get_bind()
    db.exec_driver_sql("DROP VIEW newest_attempt")
    op.add_column("attempt", sa.Column("uploads", sa.Text))
    db.exec_driver_sql(
        "UPDATE attempt SET uploads = (SELECT json_object(json_extract(take.request, '$.image'), attempt.image_url) "
        "FROM take WHERE take.fingerprint = attempt.fingerprint AND json_valid(take.request) "
        "AND json_extract(take.request, '$.image') LIKE 'sha256:%') WHERE image_url LIKE 'http%'"
    )
    op.drop_column("attempt", "image_url")
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
    db.exec_driver_sql("UPDATE meta SET value = '8' WHERE name = 'schema_version'")
