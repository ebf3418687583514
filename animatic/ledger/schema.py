"""The tables of the ledger, and its one view. One schema for every database.

`take` says what is asked; it is written with the first intent. `attempt` holds each try to buy it, and the view
`newest_attempt` the newest of each take. `run` holds the runs, and how much each has reserved. `alias` leads from a
older fingerprint to the take that it is now. `remark` keeps what contradicts an attempt's state instead of changing
it, `orphan` the predictions of the account that belong to no take. `manifest` and `planned` hold which shots asked for
which takes, `upload` where stills were uploaded, `clip` where clips are kept. `starts`, `pace` and `slots` keep the
account's limits for all runs together. Nothing here decides anything: the rules are in `animatic.takes.states`,
`animatic.takes.evidence` and `animatic.pace.limits`. `ledger.opening` makes the tables, `ledger.migrations` brings
older ones up to date.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateView

from animatic.takes.states import LIVE, PAID

SCHEMA_VERSION = 8
REVISION = "0008"
"""Alembic's name for the newest schema; `meta` says the version too, for versions from before there were revisions."""

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

META = sa.Table(
    "meta",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

ALEMBIC_VERSION = sa.Table(
    "alembic_version",
    METADATA,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),  # as Alembic itself names it
)

RUN = sa.Table(
    "run",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("run_no", sa.Integer, nullable=False, unique=True),  # in the order in which runs began
    sa.Column("manifest", sa.Text, nullable=False),  # absolute URI
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("committed_microusd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unpriced", sa.Integer, nullable=False, server_default="0"),  # submissions without a known price
    sa.Column("flow_run_id", sa.Text),  # Prefect's
)

TAKE = sa.Table(
    "take",
    METADATA,
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("duration", sa.Text, nullable=False),  # the latency class; of veo2-i2v that is the duration
    sa.Column("request", sa.Text, nullable=False),  # canonical JSON of what was asked
)

ATTEMPT = sa.Table(
    "attempt",
    METADATA,
    sa.Column("attempt_id", sa.Integer, primary_key=True),
    sa.Column("fingerprint", sa.Text, sa.ForeignKey("take.fingerprint"), nullable=False),
    sa.Column("attempt_no", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, sa.ForeignKey("run.run_id"), nullable=False),
    sa.Column("allowed_by", sa.Text, nullable=False),
    sa.Column("quoted_microusd", sa.BigInteger),  # the price that was reserved; null where none could be had
    sa.Column("intent_at", sa.DateTime, nullable=False),
    sa.Column("nonce", sa.Text, nullable=False, server_default=""),  # of the intent; a receipt names it
    sa.Column("window_from", sa.DateTime),  # the API may have accepted it from here
    sa.Column("window_to", sa.DateTime),  # to here, by its own clock
    sa.Column("submitted_at", sa.DateTime),
    sa.Column("completed_at", sa.DateTime),
    sa.Column("created_at", sa.DateTime),
    sa.Column("prediction_id", sa.Text, unique=True),
    sa.Column("prediction_status", sa.Text),
    sa.Column("prediction_model", sa.Text),  # `data.model`, verbatim
    sa.Column("outputs", sa.Text),  # JSON
    sa.Column("has_nsfw_contents", sa.Text),  # JSON
    sa.Column("inference_ms", sa.BigInteger),
    sa.Column("error_code", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.Column("polls", sa.Integer, nullable=False, server_default="0"),
    sa.Column("absent_since", sa.DateTime),  # end of the first complete scan of the list without it, by the API's clock
    sa.Column("candidates", sa.Text),  # JSON list of prediction ids that it may be; not null: held by reconciling
    sa.Column("settled_by", sa.Text),  # what an unknown attempt was settled by: receipt, inputs, window, operator
    sa.Column("held_for", sa.Text),  # why it is held: stuck, lost, conflict, evidence
    sa.Column("ended_run_no", sa.Integer),  # the newest run there was when it became failed or rejected
    sa.Column("uploads", sa.Text),  # JSON: the URLs of its local files, by what identifies them in the request
    sa.UniqueConstraint("fingerprint", "attempt_no"),
)

ALIAS = sa.Table(
    "alias",
    METADATA,
    sa.Column("fingerprint", sa.Text, primary_key=True),  # from before there was a canonical form
    sa.Column("take", sa.Text, nullable=False, index=True),  # the fingerprint that it has now
    sa.Column("is_apart", sa.Integer, nullable=False, server_default="0"),  # 1: it has attempts of its own
)
_APART_SQL = sa.text("is_apart = 1")
sa.Index("apart_now", ALIAS.c.take, ALIAS.c.fingerprint, sqlite_where=_APART_SQL, postgresql_where=_APART_SQL)

MANIFEST = sa.Table(
    "manifest",
    METADATA,
    sa.Column("manifest_id", sa.Integer, primary_key=True),
    sa.Column("uri", sa.Text, nullable=False, unique=True),
    sa.Column("content", sa.Text, nullable=False),  # of the file and its stills, as last planned
)

PLANNED = sa.Table(
    "planned",
    METADATA,
    sa.Column("planned_id", sa.Integer, primary_key=True),
    sa.Column("manifest_id", sa.Integer, sa.ForeignKey("manifest.manifest_id"), nullable=False),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Column("take", sa.Integer, nullable=False),
    sa.Column("storyboard", sa.Text, nullable=False),
    sa.Column("shot_id", sa.Text, nullable=False, index=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("planned_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("manifest_id", "row", "take", "fingerprint", "shot_id", "storyboard", name="uq_planned_once"),
)

UPLOAD = sa.Table(
    "upload",
    METADATA,
    sa.Column("account", sa.Text, primary_key=True),  # whose uploads they are: a digest, never a key
    sa.Column("still", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("uploaded_at", sa.DateTime, nullable=False),
)

CLIP = sa.Table(
    "clip",
    METADATA,
    sa.Column("clip_id", sa.Integer, primary_key=True),
    sa.Column("attempt_id", sa.Integer, sa.ForeignKey("attempt.attempt_id"), nullable=False),
    sa.Column("output", sa.Integer, nullable=False),  # which of the attempt's outputs, from 1
    sa.Column("archive", sa.Text, nullable=False),  # absolute URI of a folder
    sa.Column("name", sa.Text, nullable=False),  # of the file in it, without the suffix
    sa.Column("name_key", sa.Text, nullable=False),  # the same for names that are one file on some disks
    sa.Column("run_id", sa.Text, nullable=False),  # the run that fetches it, or that fetched it
    sa.Column("file", sa.Text),  # the name with its suffix; not null: the clip was put there
    sa.Column("sha256", sa.Text),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("container", sa.Text),
    sa.Column("codec", sa.Text),
    sa.Column("duration_s", sa.Float),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("fps", sa.Float),
    sa.Column("frames", sa.Integer),
    sa.Column("archived_at", sa.DateTime),
    sa.Column("error", sa.Text),  # why it is not archived, or what is wrong with it
    sa.UniqueConstraint("archive", "name_key"),
    sa.Index("clip_by_attempt", "attempt_id", "output"),
)

REMARK = sa.Table(
    "remark",
    METADATA,
    sa.Column("remark_id", sa.Integer, primary_key=True),
    sa.Column("attempt_id", sa.Integer, sa.ForeignKey("attempt.attempt_id"), nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("made_at", sa.DateTime, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

ORPHAN = sa.Table(
    "orphan",
    METADATA,
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime),
    sa.Column("found_at", sa.DateTime, nullable=False),
)

STARTS = sa.Table(
    "starts",
    METADATA,
    sa.Column("block_id", sa.Integer, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("starts", sa.Integer, nullable=False),
    sa.Column("until", sa.Float, nullable=False),  # they count until then; seconds of the machine's monotonic clock
    sa.Index("starts_by_provider", "provider", "until", "starts"),
)

PACE = sa.Table(
    "pace",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("not_before", sa.Float, nullable=False),  # after a 429
    sa.Column("refusals", sa.Integer, nullable=False),  # 429s in a row
)

SLOTS = sa.Table(
    "slots",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("held", sa.Integer, nullable=False),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),  # seconds of the machine's monotonic clock
)


def is_paid(attempts: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that an attempt was, or may have been, paid for."""
    return sa.or_(*(attempts.c.state == sa.literal_column(f"'{state}'") for state in sorted(PAID)))


def _of_all_paid(value: sa.ColumnElement[Any]) -> Any:
    """Return a value over all paid attempts at the take of an attempt."""
    return sa.select(value).where(_EACH.c.fingerprint == ATTEMPT.c.fingerprint, is_paid(_EACH)).scalar_subquery()


_EACH, _LATER = ATTEMPT.alias("each"), ATTEMPT.alias("later")
_ZERO = sa.literal_column("0")
_PRICE = _EACH.c.quoted_microusd
NEWEST = CreateView(
    sa.select(
        *ATTEMPT.c,
        _of_all_paid(sa.func.count()).label("attempts"),
        _of_all_paid(
            sa.case((sa.func.count() == sa.func.count(_PRICE), sa.func.coalesce(sa.func.sum(_PRICE), _ZERO)))
        ).label("cost_microusd"),
        sa.select(RUN.c.flow_run_id).where(RUN.c.run_id == ATTEMPT.c.run_id).scalar_subquery().label("flow_run_id"),
    ).where(
        ~sa.exists().where(_LATER.c.fingerprint == ATTEMPT.c.fingerprint, _LATER.c.attempt_no > ATTEMPT.c.attempt_no)
    ),
    "newest_attempt",
    metadata=METADATA,
).table
"""The newest attempt of each take; how many of its attempts were paid for, and their cost if every price is known."""

_LIVE_SQL = sa.text("state IN (" + ", ".join(f"'{state}'" for state in sorted(LIVE)) + ")")
ONE_LIVE = sa.Index("one_live", ATTEMPT.c.fingerprint, unique=True, sqlite_where=_LIVE_SQL, postgresql_where=_LIVE_SQL)
_UNCLEAR_SQL = sa.text("state IN ('held', 'submitting', 'unknown')")
sa.Index("unclear_now", ATTEMPT.c.state, ATTEMPT.c.run_id, sqlite_where=_UNCLEAR_SQL, postgresql_where=_UNCLEAR_SQL)
