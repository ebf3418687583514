"""Plans for tests of files of plans: a manifest held against a ledger's snapshot, priced, and in bytes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from animatic.manifest import Manifest, Selection, check, find_links, read_table
from animatic.planning.chains import resolve_chains
from animatic.planning.plan import Plan, make_plan
from animatic.planning.plan_file import PlanFile, read, written
from animatic.planning.plan_form import HeadPart, ManifestPart, OptionsPart, PricePart, as_text, cost_of
from animatic.planning.planned_rows import models_and_asked, rows_of
from animatic.takes.chains import Chains
from animatic.takes.money.amounts import microusd
from animatic.takes.snapshot import LedgerSnapshot
from animatic.takes.states import BuyingPolicy, State, TakeStatus

PROVIDER = "https://api.wavespeed.ai"
STILL = "https://stills.example/a.png"
VEO2 = "wavespeed-ai/veo2-i2v"
MADE_AT = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
HEADER = "shot_id,image,prompt,duration,takes"
Row = tuple[str, str, str, int]
"""shot_id, prompt, duration and takes."""

THREE: tuple[Row, ...] = (("one", "push in", "5s", 1), ("two", "pan left", "6s", 2), ("three", "tilt up", "5s", 1))


def manifest_of(rows: Sequence[Row] = THREE, limit: int | None = None) -> Manifest:
    lines = [f"{shot},{STILL},{prompt},{duration},{takes}" for shot, prompt, duration, takes in rows]
    raw = read_table("shots.csv", "\n".join([HEADER, *lines]).encode())
    return check(raw, stills={}, storyboard_default="shots", provider=PROVIDER, selection=Selection({}, limit))


async def chain_of(*shots: str, upside_down: bool = False) -> Manifest:
    """Return a manifest of shots, each from the last frame of the one before; `upside_down`: the last row first."""
    lines = [f"{shot},{'' if before else STILL},pan {shot},{before}" for before, shot in pairwise(["", *shots])]
    lines = lines[::-1] if upside_down else lines
    raw = read_table("shots.csv", "\n".join(["shot_id,image,prompt,start_from", *lines]).encode())
    checked = check(raw, stills={}, storyboard_default="shots", provider=PROVIDER)
    return await resolve_chains(None, replace(checked, chains=Chains(find_links(checked)[0])))


def plan_of(
    manifest: Manifest | None = None,
    states: Mapping[int, State] | None = None,
    policy: BuyingPolicy = BuyingPolicy(),  # noqa: B008 - frozen
    attempts: Mapping[int, int] | None = None,
) -> Plan:
    """Plan a manifest; `states` are those of takes by their index, `attempts` the numbers of their newest attempts."""
    manifest = manifest_of() if manifest is None else manifest
    known = states or {}
    status_of = np.zeros(len(manifest.digests), np.int32)
    attempt_id = np.zeros(len(manifest.digests), np.int64)
    for number, at in enumerate(known, start=1):
        status_of[at] = number
        attempt_id[at] = (attempts or {}).get(at, at + 1)
    statuses = [TakeStatus(None), *(TakeStatus(state) for state in known.values())]
    snapshot = LedgerSnapshot(statuses, status_of, attempt_id, np.zeros(len(status_of), np.bool_))
    return make_plan(manifest, snapshot, policy)


def bytes_of(
    plan: Plan,
    prices: Mapping[str, float | None] | None = None,
    estimates: Mapping[str, float] | None = None,
    attempts: int = 1,
) -> bytes:
    """Return the file of a plan; prices and estimates by duration, $2.50 and $3.00 unless they say so."""
    usd = {"5s": 2.5, "6s": 3.0, "8s": 4.0} | dict(prices or {})
    parts: list[PricePart] = []
    for each, count in plan.price_classes.items():
        price, guess = usd[each.inputs["duration"]], (estimates or {}).get(each.inputs["duration"])
        parts.append(
            PricePart(
                model=each.model,
                inputs=dict(each.inputs),
                takes=count,
                usd=None if price is None else as_text(microusd(price)),
                source=None if price is None else "quote",
                from_usd=None,
                estimated_usd=None if guess is None else as_text(microusd(guess)),
                estimated_from=0 if guess is None else 3,
            )
        )
    rows = rows_of(plan)
    head = HeadPart(
        animatic_plan=1,
        made_at=MADE_AT,
        valid_until=MADE_AT + timedelta(hours=24),
        made_by="animatic 0.1.0",
        manifest=ManifestPart(uri="file:///film/shots.csv", sha256=plan.manifest.sha256, rows=plan.manifest.num_rows),
        provider=PROVIDER,
        ledger="/home/film/ledger.sqlite",
        options=OptionsPart(
            only=[],
            limit=None,
            map=[],
            models=None,
            stills=None,
            check_stills=False,
            decisions=None,
            follow_approved=False,
            changed_stills=False,
            skip_invalid=False,
            retry_failed=False,
            attempts=attempts,
        ),
        counts=rows.counts(),
        cost=cost_of(parts, attempts),
        time_s={"bronze": 60.0},
        prices=parts,
    )
    return b"".join(written(head, rows, models_and_asked(plan, rows)))


def file_of(data: bytes) -> PlanFile:
    return read(io.BytesIO(data), "plan.json")
