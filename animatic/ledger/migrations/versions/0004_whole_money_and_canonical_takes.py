"""Version 4: named constraints, money in whole millionths of a dollar, takes in canonical form with their aliases.

Every table is made anew, because SQLite cannot name a constraint that is there. What an older ledger did not record
stays empty: the model of a prediction, what was planned, where stills were uploaded.
"""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from animatic.ledger import aliases
from animatic.takes.canonical import canonical_provider
from animatic.takes.inputs import Inputs
from animatic.takes.shots import fingerprint

revision = "0004"
down_revision = "0003"

_LIVE = sa.text("state IN ('completed', 'held', 'submitted', 'submitting', 'unknown')")
_UNCLEAR = sa.text("state IN ('held', 'submitting', 'unknown')")
_PAID = "('submitting', 'submitted', 'completed', 'failed', 'unknown', 'held')"

_OLD = ("meta", "run", "take", "attempt", "remark", "orphan", "starts", "pace", "places")


def upgrade() -> None:
    """Make the tables anew, copy what there is, then join takes that are one."""
    db = op.get_bind()
    for name in ("one_live", "unclear_now", "submitting_now", "starts_by_provider"):
        db.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
    for name in _OLD:
        op.rename_table(name, f"old_{name}")
    _make_tables()
    for name in ("meta", "remark", "orphan", "starts", "pace", "places", "take"):
        db.exec_driver_sql(f"INSERT INTO {name} SELECT * FROM old_{name}")
    _copy_runs(db)
    _copy_attempts(db)
    for name in reversed(_OLD):
        op.drop_table(f"old_{name}")
    attempts = db.exec_driver_sql("SELECT count(*) FROM attempt").scalar_one()
    db.exec_driver_sql("INSERT INTO meta (name, value) VALUES ('intents', ?)", (str(attempts),))
    _join_takes(db)
    db.exec_driver_sql("UPDATE meta SET value = '4' WHERE name = 'schema_version'")


def _copy_runs(db: sa.Connection) -> None:
    """Give runs numbers in the order in which they began. The sum that each has reserved follows from its attempts."""
    db.exec_driver_sql(
        "INSERT INTO run (run_id, run_no, manifest, started_at, host, pid, committed_microusd, unpriced) "
        "SELECT run_id, row_number() OVER (ORDER BY started_at, run_id), manifest, started_at, host, pid, "
        f"(SELECT coalesce(sum(CAST(round(cost_usd * 1000000) AS INTEGER)), 0) FROM old_attempt a "
        f"WHERE a.run_id = r.run_id AND a.state IN {_PAID}), "
        f"(SELECT count(*) FROM old_attempt a "
        f"WHERE a.run_id = r.run_id AND a.state IN {_PAID} AND a.cost_usd IS NULL) FROM old_run r"
    )


def _copy_attempts(db: sa.Connection) -> None:
    same = (
        "attempt_id, fingerprint, attempt_no, state, run_id, allowed_by, image_url, intent_at, nonce, window_from, "
        "window_to, submitted_at, completed_at, created_at, prediction_id, prediction_status, outputs, "
        "has_nsfw_contents, inference_ms, error_code, error, polls, absent_since, candidates, settled_by"
    )
    db.exec_driver_sql(
        f"INSERT INTO attempt ({same}, quoted_microusd, held_for, ended_run_no) SELECT {same}, "
        "CAST(round(cost_usd * 1000000) AS INTEGER), "
        "CASE WHEN state <> 'held' THEN NULL WHEN candidates IS NOT NULL THEN 'evidence' "
        "WHEN error_code = 404 THEN 'lost' ELSE 'conflict' END, "
        "CASE WHEN state IN ('failed', 'rejected') THEN 0 END FROM old_attempt"
    )


def _join_takes(db: sa.Connection) -> None:
    """Give every take the fingerprint of its canonical form; takes that share one become one."""
    for row in db.exec_driver_sql("SELECT fingerprint, provider, model, duration, request FROM take").fetchall():
        canonical = _canonical(row)
        if canonical is not None and canonical != row[0]:
            aliases.add(db, row[0], canonical)
    for table in ("take", "orphan", "starts", "pace", "places"):
        providers = db.exec_driver_sql(f"SELECT DISTINCT provider FROM {table}").scalars().all()
        for name in providers:
            db.exec_driver_sql(
                f"UPDATE OR REPLACE {table} SET provider = ? WHERE provider = ?",
                (canonical_provider(name), name),
            )
    aliases.join(db)


def _canonical(row: Sequence[Any]) -> str | None:
    """Return the fingerprint of a take's canonical form; None where what it asked for was not recorded."""
    _, provider, model, duration, request = row
    try:
        asked = json.loads(request)
        inputs = {name: asked[name] for name in ("image", "prompt", "aspect_ratio")}
        inputs["duration"] = asked.get("duration", duration)
        return fingerprint(provider=provider, model=model, inputs=Inputs(inputs), take=asked["take"])
    except (ValueError, KeyError, TypeError):
        return None


def _make_tables() -> None:
    text, whole, moment = sa.Text, sa.Integer, sa.DateTime
    op.create_table(
        "meta",
        sa.Column("name", text, nullable=False),
        sa.Column("value", text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.create_table(
        "run",
        sa.Column("run_id", text, nullable=False),
        sa.Column("run_no", whole, nullable=False),
        sa.Column("manifest", text, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("host", text, nullable=False),
        sa.Column("pid", whole, nullable=False),
        sa.Column("committed_microusd", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("unpriced", whole, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("run_id", name="pk_run"),
        sa.UniqueConstraint("run_no", name="uq_run_run_no"),
    )
    op.create_table(
        "take",
        sa.Column("fingerprint", text, nullable=False),
        sa.Column("provider", text, nullable=False),
        sa.Column("model", text, nullable=False),
        sa.Column("duration", text, nullable=False),
        sa.Column("request", text, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_take"),
    )
    op.create_table(
        "attempt",
        sa.Column("attempt_id", whole, nullable=False),
        sa.Column("fingerprint", text, nullable=False),
        sa.Column("attempt_no", whole, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("run_id", text, nullable=False),
        sa.Column("allowed_by", text, nullable=False),
        sa.Column("image_url", text, nullable=False),
        sa.Column("quoted_microusd", sa.BigInteger),
        sa.Column("intent_at", moment, nullable=False),
        sa.Column("nonce", text, nullable=False, server_default=""),
        sa.Column("window_from", moment),
        sa.Column("window_to", moment),
        sa.Column("submitted_at", moment),
        sa.Column("completed_at", moment),
        sa.Column("created_at", moment),
        sa.Column("prediction_id", text),
        sa.Column("prediction_status", text),
        sa.Column("prediction_model", text),
        sa.Column("outputs", text),
        sa.Column("has_nsfw_contents", text),
        sa.Column("inference_ms", sa.BigInteger),
        sa.Column("error_code", sa.BigInteger),
        sa.Column("error", text),
        sa.Column("polls", whole, nullable=False, server_default="0"),
        sa.Column("absent_since", moment),
        sa.Column("candidates", text),
        sa.Column("settled_by", text),
        sa.Column("held_for", text),
        sa.Column("ended_run_no", whole),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_attempt"),
        sa.ForeignKeyConstraint(["fingerprint"], ["take.fingerprint"], name="fk_attempt_fingerprint_take"),
        sa.ForeignKeyConstraint(["run_id"], ["run.run_id"], name="fk_attempt_run_id_run"),
        sa.UniqueConstraint("prediction_id", name="uq_attempt_prediction_id"),
        sa.UniqueConstraint("fingerprint", "attempt_no", name="uq_attempt_fingerprint_attempt_no"),
    )
    op.create_index("one_live", "attempt", ["fingerprint"], unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)
    op.create_index("unclear_now", "attempt", ["state", "run_id"], sqlite_where=_UNCLEAR, postgresql_where=_UNCLEAR)
    _make_small_tables(text, whole, moment)


def _make_small_tables(text: Any, whole: Any, moment: Any) -> None:
    op.create_table(
        "alias",
        sa.Column("fingerprint", text, nullable=False),
        sa.Column("take", text, nullable=False),
        sa.Column("is_apart", whole, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_alias"),
    )
    op.create_index("ix_alias_take", "alias", ["take"])
    apart = sa.text("is_apart = 1")
    op.create_index("apart_now", "alias", ["take", "fingerprint"], sqlite_where=apart, postgresql_where=apart)
    op.create_table(
        "remark",
        sa.Column("remark_id", whole, nullable=False),
        sa.Column("attempt_id", whole, nullable=False),
        sa.Column("run_id", text, nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("text", text, nullable=False),
        sa.PrimaryKeyConstraint("remark_id", name="pk_remark"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.attempt_id"], name="fk_remark_attempt_id_attempt"),
    )
    op.create_table(
        "orphan",
        sa.Column("prediction_id", text, nullable=False),
        sa.Column("provider", text, nullable=False),
        sa.Column("model", text, nullable=False),
        sa.Column("created_at", moment),
        sa.Column("found_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", name="pk_orphan"),
    )
    op.create_table(
        "manifest",
        sa.Column("manifest_id", whole, nullable=False),
        sa.Column("uri", text, nullable=False),
        sa.Column("content", text, nullable=False),
        sa.PrimaryKeyConstraint("manifest_id", name="pk_manifest"),
        sa.UniqueConstraint("uri", name="uq_manifest_uri"),
    )
    op.create_table(
        "planned",
        sa.Column("planned_id", whole, nullable=False),
        sa.Column("manifest_id", whole, nullable=False),
        sa.Column("row", whole, nullable=False),
        sa.Column("take", whole, nullable=False),
        sa.Column("storyboard", text, nullable=False),
        sa.Column("shot_id", text, nullable=False),
        sa.Column("fingerprint", text, nullable=False),
        sa.Column("planned_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("planned_id", name="pk_planned"),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifest.manifest_id"], name="fk_planned_manifest_id_manifest"),
        sa.UniqueConstraint(
            "manifest_id", "row", "take", "fingerprint", "shot_id", "storyboard", name="uq_planned_once"
        ),
    )
    op.create_index("ix_planned_shot_id", "planned", ["shot_id"])
    op.create_table(
        "upload",
        sa.Column("account", text, nullable=False),
        sa.Column("still", text, nullable=False),
        sa.Column("url", text, nullable=False),
        sa.Column("uploaded_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("account", "still", name="pk_upload"),
    )
    op.create_table(
        "starts",
        sa.Column("block_id", whole, nullable=False),
        sa.Column("provider", text, nullable=False),
        sa.Column("starts", whole, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("block_id", name="pk_starts"),
    )
    op.create_index("starts_by_provider", "starts", ["provider", "until", "starts"])
    op.create_table(
        "pace",
        sa.Column("provider", text, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("refusals", whole, nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_pace"),
    )
    op.create_table(
        "places",
        sa.Column("provider", text, nullable=False),
        sa.Column("run_id", text, nullable=False),
        sa.Column("held", whole, nullable=False),
        sa.Column("wanted", whole, nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("provider", "run_id", name="pk_places"),
    )
