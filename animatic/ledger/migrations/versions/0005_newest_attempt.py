"""Version 5: the view of the newest attempts; slots by their name."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_PAID = " OR ".join(f"each.state = '{state}'" for state in ("completed", "failed", "held", "submitted", "unknown"))


def upgrade() -> None:
    """Make the view, and the table of slots anew under its name."""
    db = op.get_bind()
    op.create_table(
        "slots",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("provider", "run_id", name="pk_slots"),
    )
    db.exec_driver_sql("INSERT INTO slots SELECT * FROM places")
    op.drop_table("places")
    of_all = f"FROM attempt AS each WHERE each.fingerprint = attempt.fingerprint AND ({_PAID})"
    db.exec_driver_sql(
        "CREATE VIEW newest_attempt AS SELECT attempt.*, "
        f"(SELECT count(*) {of_all}) AS attempts, "
        "(SELECT CASE WHEN count(*) = count(each.quoted_microusd) "
        f"THEN coalesce(sum(each.quoted_microusd), 0) END {of_all}) AS cost_microusd "
        "FROM attempt WHERE NOT EXISTS (SELECT * FROM attempt AS later "
        "WHERE later.fingerprint = attempt.fingerprint AND later.attempt_no > attempt.attempt_no)"
    )
    db.exec_driver_sql("UPDATE meta SET value = '5' WHERE name = 'schema_version'")
