"""The tables of the ledger, and its one view. One schema for every database.

`take` says what is asked; it is written with the first intent. `attempt` holds each try to buy it, and the view
`newest_attempt` the newest of each take. `run` holds the runs, and how much each has reserved. `alias` leads from an
older fingerprint to the take that it is now. `remark` keeps what contradicts an attempt's state instead of changing
it, `orphan` the predictions of the account that belong to no take, `charge` the items of its bill. `manifest` and
`planned` hold which shots asked for which takes, `chain` which take a chained one starts from, `upload` where stills
were uploaded, `clip` where clips are kept, `quality` what checks of them found. `look` is what was seen of stills on
the web, `attempt_look` what an attempt was bought with. `inbox` holds the files of inboxes and the run that works on
each, `media` the batches of clips that runs hand to media workers. `last_commit` tells a connection to a server whether
its last transaction was committed. `starts`, `pace` and `slots` keep the account's
limits for all runs together, `spending` what was reserved on each UTC day. Nothing here decides anything: the rules are
in `animatic.takes.states`, `animatic.takes.evidence` and `animatic.pace.limits`.
`ledger.opening` makes the tables, `ledger.migrations` brings older ones up to date.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateView

from animatic.takes.money.bill_items import DEDUCT, REFUND
from animatic.takes.states import LIVE, PAID

SCHEMA_VERSION = 17
REVISION = "0017"
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
    sa.Column("renewal", sa.Integer, nullable=False, server_default="0"),  # how many changes of its stills before
    sa.Column("spent_on", sa.Date),  # the UTC day that its price was reserved on, by the API's clock; null: on none
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
    sa.Column("num_rows", sa.Integer),  # as last planned; null where that was before version 11
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

CHAIN = sa.Table(
    "chain",
    METADATA,
    sa.Column("fingerprint", sa.Text, primary_key=True),  # of a take that starts from the last frame of another
    sa.Column("key", sa.Text, nullable=False, index=True),  # what its shot asks for, without the still
    sa.Column("source", sa.Text, nullable=False, index=True),  # fingerprint of the other take
)

UPLOAD = sa.Table(
    "upload",
    METADATA,
    sa.Column("account", sa.Text, primary_key=True),  # whose uploads they are: a digest, never a key
    sa.Column("still", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("uploaded_at", sa.DateTime, nullable=False),
)

LOOK = sa.Table(
    "look",
    METADATA,
    sa.Column("look_id", sa.Integer, primary_key=True),
    sa.Column("still", sa.Text, nullable=False),  # canonical URL
    sa.Column("address", sa.Text, nullable=False, index=True),  # SHA-256 of the URL as it is sent
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text),  # null: not all of it was read
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),  # as the host wrote it
    sa.Column("looked_at", sa.DateTime, nullable=False, index=True),  # the last time that just this was seen
)

ATTEMPT_LOOK = sa.Table(
    "attempt_look",
    METADATA,
    sa.Column("attempt_id", sa.Integer, sa.ForeignKey("attempt.attempt_id"), primary_key=True),
    sa.Column("still", sa.Text, primary_key=True),  # canonical URL
    sa.Column("look_id", sa.Integer, sa.ForeignKey("look.look_id"), nullable=False),
    sa.Column("is_later", sa.Integer, nullable=False, server_default="0"),  # 1: the first look, after the purchase
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

QUALITY = sa.Table(
    "quality",
    METADATA,
    sa.Column("attempt_id", sa.Integer, sa.ForeignKey("attempt.attempt_id"), primary_key=True),
    sa.Column("output", sa.Integer, primary_key=True),  # which of the attempt's outputs, from 1
    sa.Column("sha256", sa.Text, nullable=False),  # of the file that was checked
    sa.Column("version", sa.Integer, nullable=False),  # of the checks
    sa.Column("failed", sa.Text, nullable=False),  # JSON list of the names of those that it fails
    sa.Column("first_frame_similarity", sa.Float),
    sa.Column("black_fraction", sa.Float),
    sa.Column("frozen_fraction", sa.Float),
    sa.Column("cuts", sa.Integer),
    sa.Column("motion", sa.Float),
    sa.Column("checked_at", sa.DateTime, nullable=False),
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

CHARGE = sa.Table(
    "charge",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("item", sa.Text, primary_key=True),  # what tells it from others on the bill
    sa.Column("kind", sa.Text, nullable=False),  # deduct, refund, or the bill's own word
    sa.Column("prediction_id", sa.Text, index=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("microusd", sa.BigInteger),  # never negative; null where the amount cannot be read
    sa.Column("charged_at", sa.DateTime),  # by the API's clock
    sa.Column("order_state", sa.Text, nullable=False),
    sa.Column("seen_at", sa.DateTime, nullable=False),  # ours, when it was last read
)

INBOX = sa.Table(
    "inbox",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("uri", sa.Text, primary_key=True),  # absolute, of a file in an inbox
    sa.Column("mark", sa.Text, nullable=False),  # another one after each change of the file, as its place lists it
    sa.Column("marked_at", sa.DateTime, nullable=False),  # when it was first listed so
    sa.Column("content", sa.Text),  # SHA-256 of the bytes that were worked on, or that are no manifest
    sa.Column("results", sa.Text, nullable=False, server_default=""),  # URI of its results table
    sa.Column("state", sa.Text, nullable=False),  # new, foreign, open, refused, done
    sa.Column("holder", sa.Text),  # the run that works on it; it counts for as long as that run is alive
    sa.Column("runs", sa.Integer, nullable=False, server_default="0"),  # how often a run has begun to work on it
    sa.Column("counts", sa.Text),  # JSON: rows of its results by status
    sa.Column("spent_microusd", sa.BigInteger),  # what its takes have cost so far; null where that is not known
    sa.Column("problem", sa.Text),  # the first line of why it is not done
    sa.Column("ended_at", sa.DateTime),  # when the newest run that worked on it ended
)

MEDIA = sa.Table(
    "media",
    METADATA,
    sa.Column("batch_id", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False),  # the run that handed it over
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("archive", sa.Text, nullable=False),  # absolute URI of a folder
    sa.Column("mark", sa.Text, nullable=False),  # what the folder is told by on another machine; empty: by its URI
    sa.Column("clip_name", sa.Text, nullable=False),
    sa.Column("stills", sa.Text, nullable=False),  # what paths of local stills start from
    sa.Column("takes", sa.Text, nullable=False),  # JSON; empty once the batch has ended
    sa.Column("state", sa.Text, nullable=False),  # waiting, taken, failed, done
    sa.Column("holder", sa.Text),  # the run that works on it, or that ended it
    sa.Column("times_taken", sa.Integer, nullable=False, server_default="0"),
    sa.Column("heard_at", sa.Float),  # when its holder last wrote; seconds, as of `slots.asked_at`
    sa.Column("counts", sa.Text, nullable=False, server_default="{}"),  # JSON: how far the holder is
    sa.Column("problem", sa.Text),  # why it failed, or why not all of it could be done
    sa.Column("handed_at", sa.DateTime, nullable=False),
    sa.Index("media_by_moment", "handed_at"),
)

SPENDING = sa.Table(
    "spending",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),  # UTC, by the API's clock
    sa.Column("reserved_microusd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unpriced", sa.Integer, nullable=False, server_default="0"),  # submissions without a known price
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

LAST_COMMIT = sa.Table(
    "last_commit",
    METADATA,
    sa.Column("connection", sa.Text, primary_key=True),  # a random name
    sa.Column("number", sa.BigInteger, nullable=False),  # of its transactions
    sa.Column("made_at", sa.DateTime, nullable=False),
)
"""Written by each transaction that changes a ledger on a server, and read where the reply to its COMMIT was lost."""


_ZERO = sa.literal_column("0")


def is_paid(attempts: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that an attempt was, or may have been, paid for."""
    return sa.or_(*(attempts.c.state == sa.literal_column(f"'{state}'") for state in sorted(PAID)))


def _of_all_paid(value: sa.ColumnElement[Any]) -> Any:
    """Return a value over all paid attempts at the take of an attempt."""
    return sa.select(value).where(_EACH.c.fingerprint == ATTEMPT.c.fingerprint, is_paid(_EACH)).scalar_subquery()


def of_bill(kind: str, attempts: sa.FromClause, of: sa.ColumnElement[bool]) -> Any:
    """Return the sum of charges or refunds over some attempts; null where the bill has not shown it.

    Refunds are zero, not null, where the bill shows a charge.
    """
    of_kind = CHARGE.c.kind == sa.literal_column(f"'{kind}'")
    amount = sa.case((of_kind, CHARGE.c.microusd), else_=_ZERO if kind == REFUND else None)
    provider = sa.select(TAKE.c.provider).where(TAKE.c.fingerprint == attempts.c.fingerprint)
    return (
        sa.select(sa.func.sum(amount))
        .select_from(attempts.join(CHARGE, CHARGE.c.prediction_id == attempts.c.prediction_id))
        .where(of, CHARGE.c.provider == provider.correlate(attempts).scalar_subquery())
        .correlate(ATTEMPT)
        .scalar_subquery()
    )


def bought_nothing_again(attempts: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that an attempt was to buy a take again whose still had changed, and bought nothing."""
    is_of_nothing = sa.or_(*(attempts.c.state == sa.literal_column(f"'{state}'") for state in ("absent", "unsent")))
    return sa.and_(attempts.c.allowed_by == sa.literal_column("'changed-still'"), is_of_nothing)


_EACH, _LATER = ATTEMPT.alias("each"), ATTEMPT.alias("later")
_PRICE = _EACH.c.quoted_microusd
NEWEST = CreateView(
    sa.select(
        *ATTEMPT.c,
        _of_all_paid(sa.func.count()).label("attempts"),
        _of_all_paid(
            sa.case((sa.func.count() == sa.func.count(_PRICE), sa.func.coalesce(sa.func.sum(_PRICE), _ZERO)))
        ).label("cost_microusd"),
        sa.select(RUN.c.flow_run_id).where(RUN.c.run_id == ATTEMPT.c.run_id).scalar_subquery().label("flow_run_id"),
        of_bill(DEDUCT, _EACH, _EACH.c.fingerprint == ATTEMPT.c.fingerprint).label("charged_microusd"),
        of_bill(REFUND, _EACH, _EACH.c.fingerprint == ATTEMPT.c.fingerprint).label("refunded_microusd"),
    ).where(
        ~bought_nothing_again(ATTEMPT),
        ~sa.exists().where(
            _LATER.c.fingerprint == ATTEMPT.c.fingerprint,
            _LATER.c.attempt_no > ATTEMPT.c.attempt_no,
            ~bought_nothing_again(_LATER),
        ),
    ),
    "newest_attempt",
    metadata=METADATA,
).table
"""The newest attempt of each take; how many of its attempts were paid for, their cost if every price is known, and what
the bill has charged and refunded for all of them.

An attempt to buy a take again whose still had changed leaves the one before as it is, until it has bought something.
"""

_LIVE_SQL = sa.text("state IN (" + ", ".join(f"'{state}'" for state in sorted(LIVE)) + ")")
_LIVE_OF = (ATTEMPT.c.fingerprint, ATTEMPT.c.renewal)
ONE_LIVE = sa.Index("one_live", *_LIVE_OF, unique=True, sqlite_where=_LIVE_SQL, postgresql_where=_LIVE_SQL)
_UNCLEAR_SQL = sa.text("state IN ('held', 'submitting', 'unknown')")
sa.Index("unclear_now", ATTEMPT.c.state, ATTEMPT.c.run_id, sqlite_where=_UNCLEAR_SQL, postgresql_where=_UNCLEAR_SQL)
