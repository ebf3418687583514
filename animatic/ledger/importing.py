"""Take over what results tables know: takes of another ledger, or of one that is lost. Overwrites nothing."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from animatic.ledger import aliases
from animatic.ledger.operations import HeldFor, naive, now
from animatic.ledger.schema import ATTEMPT, META, RUN
from animatic.money import microusd
from animatic.shots import digest as digest_of
from animatic.shots import fingerprint, verbatim
from animatic.takes import PAID, State

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
    """What became of the rows of a table.

    Attributes:
        counts: `taken over`, `known already`, `not bought` (nothing to know), `of another provider`, `in conflict`.
        conflicts: a sentence for each row whose prediction another take has.
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
    """Take over takes that the ledger has no attempt for."""
    done = Imported()
    for row in rows:
        done.counts[_take_over(db, provider, written_provider, uri, row, done)] += 1
    aliases.join(db)
    return done


def _take_over(  # noqa: PLR0913, PLR0917 - one return for each thing that a row can be
    db: sa.Connection, provider: str, written_provider: str, uri: str, row: Mapping[str, Any], done: Imported
) -> str:
    state, named = _STATE_OF.get(str(row["status"])), row["fingerprint"]
    attempts = int(row["attempts"] or 0)
    if (
        state is None
        or not isinstance(named, str)
        or len(named) != 64
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
    known = db.execute(sa.select(ATTEMPT.c.attempt_id).where(ATTEMPT.c.fingerprint.in_([take, named])).limit(1)).first()
    if known is not None:
        return "known already"
    owner = (
        row["prediction_id"]
        and db.execute(sa.select(ATTEMPT.c.fingerprint).where(ATTEMPT.c.prediction_id == row["prediction_id"])).scalar()
    )
    if owner:
        done.conflicts.append(f"take {take[:12]}: its prediction {row['prediction_id']} belongs to take {owner[:12]}")
        return "in conflict"
    _write(db, provider, uri, row, take, state, attempts)
    return "taken over"


def _fingerprint_of(row: Mapping[str, Any], provider: str, written_provider: str) -> str | None:
    """Return the take of a row for this provider, or None where the row names another provider's.

    A local still is known by its bytes, which the table does not hold: there the fingerprint that it names is believed.
    """
    image = str(row["image"] or "")
    if "://" not in image:
        return str(row["fingerprint"])
    parts = {
        "model": str(row["model"]),
        "still": image,
        "prompt": str(row["prompt"]),
        "aspect_ratio": str(row["aspect_ratio"]),
        "duration": str(row["duration"]),
    }
    number = int(row["take"])
    take = fingerprint(provider=provider, take=number, **parts)
    old = digest_of(verbatim(provider=written_provider, **parts), number).hex()
    return take if row["fingerprint"] in {take, old} else None


def _write(  # noqa: PLR0913, PLR0917 - a row, and what it comes to
    db: sa.Connection, provider: str, uri: str, row: Mapping[str, Any], take: str, state: State, attempts: int
) -> None:
    asked = {name: row[name] for name in ("aspect_ratio", "duration", "image", "prompt", "take")}
    db.execute(
        sa.text(
            "INSERT INTO take (fingerprint, provider, model, duration, request) "
            "VALUES (:fingerprint, :provider, :model, :duration, :request) ON CONFLICT (fingerprint) DO NOTHING"
        ),
        {
            "fingerprint": take,
            "provider": provider,
            "model": row["model"],
            "duration": row["duration"],
            "request": json.dumps(asked, sort_keys=True, ensure_ascii=False, default=str),
        },
    )
    quoted = row.get("quoted_usd")
    price = None if quoted is None else microusd(quoted)
    submitted_at = _moment(row["submitted_at"]) or _moment(row["completed_at"]) or datetime.now(UTC)
    made_at = _moment(row["created_at"]) or submitted_at
    db.execute(
        ATTEMPT.insert().values(
            fingerprint=take,
            attempt_no=max(attempts, 1),
            state=state.value,
            run_id=_run_of(db, row, uri, price if state in PAID else 0),
            allowed_by="import",
            image_url=row["image"],
            quoted_microusd=price,
            intent_at=naive(submitted_at),
            window_from=naive(made_at - WINDOW),
            window_to=naive(made_at + WINDOW),
            submitted_at=naive(submitted_at),
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


def declare_complete(db: sa.Connection, intents: int) -> int:
    """Let a restored ledger pass for complete: it counts as many intents as its runs folder has seen."""
    held = int(db.execute(sa.select(META.c.value).where(META.c.name == "intents")).scalar() or 0)
    db.execute(META.update().where(META.c.name == "intents").values(value=str(max(held, intents))))
    return max(held, intents) - held


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
