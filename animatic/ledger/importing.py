"""Take over what results tables know: takes of another ledger, or of one that is lost. Overwrites nothing."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from animatic.errors import FixInputError
from animatic.ledger import aliases, chains
from animatic.ledger.moments import naive, now
from animatic.ledger.opening import meta_value
from animatic.ledger.operations import reconcile_command
from animatic.ledger.records import HeldFor
from animatic.ledger.schema import ATTEMPT, META, RUN, TAKE
from animatic.ledger.statements import insert_missing
from animatic.takes.chains import key_of, source_of
from animatic.takes.evidence import LIST_REACHES
from animatic.takes.inputs import Inputs, request_of
from animatic.takes.models import DEFAULT_MODEL, INPUT_NAMES
from animatic.takes.money.amounts import MAX_PRICE_USD, microusd
from animatic.takes.schemas import latency_class_of
from animatic.takes.shots import canonical, fingerprint, verbatim
from animatic.takes.shots import digest as take_digest
from animatic.takes.states import LARGEST_MS, LIVE, PAID, PREDICTION_ID, State

WINDOW = timedelta(hours=1)
"""Around the moment at which a table says that a take was submitted."""

_STATE_OF = {
    "completed": State.COMPLETED,
    "failed": State.FAILED,
    "rejected": State.REJECTED,
    "unknown": State.UNKNOWN,
    "held": State.HELD,
    "pending": State.SUBMITTED,
}


@dataclass(slots=True)
class Imported:
    """Counts of the rows of an imported table, by what was done with them.

    Attributes:
        counts: `taken over`, `known already`, `not bought` (nothing to know), `of another provider`, `in conflict`.
        conflicts: a sentence for each row whose prediction is another take's, or is not the one that the ledger has.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    conflicts: list[str] = field(default_factory=list[str])

    def add(self, other: "Imported") -> None:
        """Count the rows of another part in."""
        self.counts += other.counts
        self.conflicts += other.conflicts


def take_over(
    db: sa.Connection, provider: str, written_provider: str, uri: str, rows: Sequence[Mapping[str, Any]]
) -> Imported:
    """Take over takes that the ledger has no attempt for.

    Raises:
        FixInputError: a row is none that animatic wrote; nothing of these rows was taken over.
    """
    done = Imported()
    for row in rows:
        _require_readable(uri, row)
        done.counts[_take_over(db, provider, written_provider, uri, row, done)] += 1
    aliases.join(db)
    _count(db, done.counts["taken over"])
    return done


def _count(db: sa.Connection, more: int) -> None:
    """Count takes that were taken over as intents, so that a backup from before is noticed."""
    held = int(meta_value(db, "intents") or 0)
    db.execute(META.update().where(META.c.name == "intents").values(value=str(held + more)))


def _require_readable(uri: str, row: Mapping[str, Any]) -> None:
    """Refuse a row with values that animatic never writes: the ledger could not be read again."""
    status, prediction_id, quoted = row["status"], row["prediction_id"], row.get("quoted_usd")
    most = MAX_PRICE_USD * max(int(row["attempts"] or 0), 1)
    rules: dict[str, tuple[bool, str]] = {
        "status": (status in _STATE_OF or status == "invalid", f"{', '.join(_STATE_OF)}, invalid"),
        "take": (status == "invalid" or isinstance(row["take"], int), "a whole number"),
        "image": (
            status == "invalid" or bool(row["image"] or row.get("inputs")),
            "the still's URL or path",
        ),
        "prediction_id": (
            prediction_id is None or re.fullmatch(PREDICTION_ID, str(prediction_id)) is not None,
            "letters, digits, _ and -",
        ),
        "inference_ms": (row["inference_ms"] is None or 0 <= row["inference_ms"] <= LARGEST_MS, "milliseconds"),
        "quoted_usd": (quoted is None or 0 <= quoted <= most, f"0 to {most:,}"),
    }
    moments = ("submitted_at", "completed_at", "created_at")
    rules |= {name: (_is_usual(row[name]), "a moment since 2000") for name in moments}
    for column, (is_right, allowed) in rules.items():
        if not is_right:
            raise FixInputError(
                f'{uri}: row {row["row"]}: {column}: found "{str(row[column])[:100]}"; allowed: {allowed}. Nothing of '
                "these rows was taken over; give a table as animatic wrote it"
            )


def _is_usual(moment: Any) -> bool:
    return not isinstance(moment, datetime) or 2000 <= moment.year <= 2200


def _take_over(  # noqa: PLR0913, PLR0917 - one return for each thing that a row can be
    db: sa.Connection, provider: str, written_provider: str, uri: str, row: Mapping[str, Any], done: Imported
) -> str:
    state, named = _STATE_OF.get(str(row["status"])), row["fingerprint"]
    attempts = int(row["attempts"] or 0)
    if (
        state is None
        or not isinstance(named, str)
        or not re.fullmatch("[0-9a-f]{64}", named)
        or (not attempts and state is not State.REJECTED)
    ):
        return "not bought"
    if state is State.SUBMITTED and not row["prediction_id"]:
        return "not bought"
    take = _fingerprint_of(row, provider, written_provider)
    if take is None:
        return "of another provider"
    if take != named:
        aliases.add(db, named, take)
    _link(db, provider, take, row)
    known = db.execute(
        sa.select(ATTEMPT.c.attempt_no, ATTEMPT.c.state, ATTEMPT.c.prediction_id, ATTEMPT.c.quoted_microusd)
        .where(ATTEMPT.c.fingerprint.in_([take, named]))
        .order_by(ATTEMPT.c.attempt_no.desc())
    ).all()
    if known and not _is_later(row, attempts, known):
        return _compare(provider, take, row, attempts, known, done)
    owner = (
        row["prediction_id"]
        and db.execute(sa.select(ATTEMPT.c.fingerprint).where(ATTEMPT.c.prediction_id == row["prediction_id"])).scalar()
    )
    if owner:
        done.conflicts.append(f"take {take[:12]}: its prediction {row['prediction_id']} belongs to take {owner[:12]}")
        return "in conflict"
    paid = sum(each.quoted_microusd or 0 for each in known if State(each.state) in PAID)
    number = max(attempts, 1 + max((each.attempt_no for each in known), default=0))
    _write(db, provider, uri, row, take, state, number, paid)
    return "taken over"


def _is_later(row: Mapping[str, Any], attempts: int, known: Sequence[sa.Row[*tuple[Any, ...]]]) -> bool:
    """Tell if a row is about an attempt that came after all that the ledger knows of its take.

    The ledger also counts attempts that bought nothing; a prediction that it does not know shows a purchase after them.
    """
    if any(State(each.state) in LIVE for each in known):
        return False
    is_new = row["prediction_id"] and row["prediction_id"] not in {each.prediction_id for each in known}
    paid = sum(State(each.state) in PAID for each in known)
    return attempts > known[0].attempt_no or bool(is_new and attempts > paid)


def _compare(  # noqa: PLR0913, PLR0917 - a row, what is known of its take, and who hears of it
    provider: str,
    take: str,
    row: Mapping[str, Any],
    attempts: int,
    known: Sequence[sa.Row[*tuple[Any, ...]]],
    done: Imported,
) -> str:
    """Hold a row against what the ledger knows of its take: another prediction means that it was bought twice."""
    prediction_id, ours = row["prediction_id"], [each.prediction_id for each in known if each.prediction_id]
    if not prediction_id or prediction_id in ours or attempts < known[0].attempt_no:
        return "known already"
    short = take[:12]
    if ours:
        what = f"the ledger has prediction {ours[0]}: it was bought twice, and the ledger counts it once"
    else:
        adopting = reconcile_command(provider, "--adopt", f"{short}={prediction_id}")
        what = f"the ledger has none; if it is that one: {adopting}"
    done.conflicts.append(f"take {short}: the table has prediction {prediction_id}, {what}")
    return "in conflict"


def _fingerprint_of(row: Mapping[str, Any], provider: str, written_provider: str) -> str | None:
    """Return the take of a row for this provider, or None where the row names another provider's.

    A local still is identified by its bytes, which the table does not hold. `still` of the row is their hash, if the
    file is still there; if it is not, the row's own fingerprint is returned.
    """
    image = str(row["image"] or "")
    still = image if "://" in image else row.get("still")
    if image and not still:
        return str(row["fingerprint"])
    model, inputs, number = str(row["model"]), _inputs_in(row).with_files({image: str(still)}), int(row["take"])
    if inputs.local_paths():
        return str(row["fingerprint"])
    take = fingerprint(provider=provider, model=model, inputs=inputs, take=number)
    old = take_digest(verbatim(written_provider, model, inputs), number).hex()
    return take if row["fingerprint"] in {take, old} else None


def _link(db: sa.Connection, provider: str, take: str, row: Mapping[str, Any]) -> None:
    """Write down which take a chained one starts from, so that its shot keeps it."""
    source = source_of(str(_object_in(row).get("image"))) if not row["image"] and row.get("inputs") else None
    if source is not None and row.get("start_from"):
        names = str(row["shot_id"]), str(row["start_from"])
        asked = canonical(provider, str(row["model"]), _inputs_in(row).without("image"))
        key = key_of(asked, str(row["storyboard"]), names)
        chains.remember(db, take, key, source)


def _inputs_in(row: Mapping[str, Any]) -> Inputs:
    """Return the inputs that a row shows; its files are those of the manifest.

    Raises:
        FixInputError: its column `inputs` holds no JSON object.
    """
    if row.get("inputs") and (row["model"] != DEFAULT_MODEL or not row["image"]):
        return Inputs(_object_in(row))
    return Inputs({name: row[name] for name in INPUT_NAMES if row[name] is not None})


def _object_in(row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found: Any = json.loads(row["inputs"])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FixInputError(
            f'row {row["row"]}: inputs: found "{str(row["inputs"])[:100]}"; allowed: a JSON object. Nothing of these '
            "rows was taken over; give a table as animatic wrote it"
        )
    return cast("dict[str, Any]", found)


def _write(  # noqa: PLR0913, PLR0917 - a row, and what it comes to
    db: sa.Connection,
    provider: str,
    uri: str,
    row: Mapping[str, Any],
    take: str,
    state: State,
    attempt_no: int,
    paid: int,
) -> None:
    inputs = _inputs_in(row)
    db.execute(
        insert_missing(TAKE, db.dialect.name),
        {
            "fingerprint": take,
            "provider": provider,
            "model": row["model"],
            "duration": latency_class_of(row["model"], inputs).values,
            "request": request_of(inputs, row["take"]),
        },
    )
    quoted = row.get("quoted_usd")
    price = None if quoted is None else max(microusd(quoted) - paid, 0)
    known_at = _moment(row["created_at"]) or _moment(row["submitted_at"]) or _moment(row["completed_at"])
    began_at, ended_at = (known_at, known_at) if known_at else (_began_at(row), datetime.now(UTC))
    db.execute(
        ATTEMPT.insert().values(
            fingerprint=take,
            attempt_no=attempt_no,
            state=state.value,
            run_id=_run_of(db, row, uri, price if state in PAID else 0),
            allowed_by="import",
            quoted_microusd=price,
            intent_at=naive(_moment(row["submitted_at"]) or began_at),
            window_from=naive(began_at - WINDOW),
            window_to=naive(ended_at + WINDOW),
            submitted_at=naive(_moment(row["submitted_at"])),
            completed_at=naive(_moment(row["completed_at"])),
            created_at=naive(_moment(row["created_at"])),
            prediction_id=row["prediction_id"],
            prediction_status=row["prediction_status"],
            prediction_model=row.get("prediction_model"),
            outputs=None if row["outputs"] is None else json.dumps(list(row["outputs"])),
            has_nsfw_contents=None if row["has_nsfw_contents"] is None else json.dumps(list(row["has_nsfw_contents"])),
            inference_ms=row["inference_ms"],
            error_code=row["error_code"],
            error=row["error"],
            polls=row["polls"] or 0,
            held_for=_held_for(row) if state is State.HELD else None,
            candidates="[]" if state is State.HELD and not row["prediction_id"] else None,
            ended_run_no=0 if state in {State.FAILED, State.REJECTED} else None,
        )
    )


def _held_for(row: Mapping[str, Any]) -> str:
    if not row["prediction_id"]:
        return HeldFor.EVIDENCE
    return HeldFor.LOST if row["error_code"] == 404 else HeldFor.STUCK


def _run_of(db: sa.Connection, row: Mapping[str, Any], uri: str, price: int | None) -> str:
    """Return the run that bought the take, made where this ledger does not know it; its price is reserved by it."""
    run_id = row["run_id"] or "imported"
    found = db.execute(sa.select(RUN.c.run_id).where(RUN.c.run_id == run_id)).first()
    if found is None:
        newest = sa.select(sa.func.coalesce(sa.func.max(RUN.c.run_no), 0) + 1).scalar_subquery()
        db.execute(RUN.insert().values(run_id=run_id, run_no=newest, manifest=uri, started_at=now(), host="", pid=0))
    values = {
        "committed_microusd": RUN.c.committed_microusd + (price or 0),
        "unpriced": RUN.c.unpriced + int(price is None),
    }
    db.execute(RUN.update().where(RUN.c.run_id == run_id).values(values))
    return str(run_id)


def note_looked_for(db: sa.Connection, intents: int) -> None:
    """Write down that the account was looked through for what a restored ledger lacks."""
    db.execute(META.delete().where(META.c.name == "looked_for"))
    db.execute(META.insert().values(name="looked_for", value=str(intents)))


def lacking(db: sa.Connection, intents: int) -> tuple[int, bool]:
    """Return how many submissions a restored ledger lacks, and whether the account was looked through for them."""
    found = {row.name: int(row.value) for row in db.execute(_COUNTERS)}
    return max(intents - found.get("intents", 0), 0), found.get("looked_for", -1) >= intents


_COUNTERS = sa.select(META.c.name, META.c.value).where(META.c.name.in_(["intents", "looked_for"]))


def declare_complete(db: sa.Connection, intents: int) -> int:
    """Let a restored ledger pass for complete: it counts as many intents as its runs folder has seen."""
    held = int(meta_value(db, "intents") or 0)
    db.execute(META.update().where(META.c.name == "intents").values(value=str(max(held, intents))))
    return max(held, intents) - held


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _began_at(row: Mapping[str, Any]) -> datetime:
    """Return when a row's run began, by its id; if the id has no time, the earliest that the list reaches back to."""
    found = re.match(r"\d{8}T\d{6}Z", str(row["run_id"] or ""))
    return datetime.fromisoformat(found[0]) if found else datetime.now(UTC) - LIST_REACHES
