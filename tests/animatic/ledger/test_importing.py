"""Import of results tables, which never overrules what the ledger knows itself."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from asked import inputs_of

from animatic.errors import FixInputError, TakenError
from animatic.ledger import importing
from animatic.ledger.location import note_intents, noted_intents
from animatic.takes.chains import key_of, last_frame_of
from animatic.takes.inputs import Inputs
from animatic.takes.shots import canonical, digest, fingerprint, verbatim
from animatic.takes.states import State

PROVIDER = "https://api.wavespeed.ai"
WRITTEN = "https://API.wavespeed.ai"
STILL = "https://stills.example/a.png"
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = "wavespeed-ai/veo2-i2v"
URI = "file:///film/out.parquet"


def take_of(prompt: str = "push in", provider: str = PROVIDER) -> str:
    return fingerprint(provider=provider, model=MODEL, inputs=inputs_of(prompt), take=1)


def row(**changes: Any) -> dict[str, Any]:
    """A row of a results table: a completed take."""
    return {
        **inputs_of(),
        "row": 1,
        "model": MODEL,
        "take": 1,
        "status": "completed",
        "fingerprint": take_of(),
        "attempts": 1,
        "run_id": "run-9",
        "outputs": ["https://cdn.example/1.mp4"],
        "has_nsfw_contents": [False],
        "inference_ms": 4_000,
        "prediction_id": "p-1",
        "prediction_status": "completed",
        "prediction_model": None,
        "error_code": None,
        "error": None,
        "submitted_at": MOMENT,
        "completed_at": MOMENT,
        "created_at": MOMENT,
        "polls": 3,
        "quoted_usd": Decimal("2.500000"),
    } | changes


async def take_over(ledger: Any, *rows: dict[str, Any]) -> importing.Imported:
    return await ledger.opened.take_over(PROVIDER, WRITTEN, URI, rows)


async def counts(ledger: Any, *rows: dict[str, Any]) -> dict[str, int]:
    return dict((await take_over(ledger, *rows)).counts)


async def test_a_completed_take_is_known_with_all_that_the_table_says(ledger: Any) -> None:
    assert await counts(ledger, row()) == {"taken over": 1}
    found = await ledger.find(take_of())
    assert (found.take_status.state, found.prediction_id) == (State.COMPLETED, "p-1")
    assert await counts(ledger, row()) == {"known already": 1}
    assert await ledger.committed_usd("run-9") == 2.5


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"status": "failed", "outputs": None, "has_nsfw_contents": None, "error_code": 5003}, State.FAILED),
        ({"status": "rejected", "attempts": 0, "prediction_id": None, "outputs": None}, State.REJECTED),
        ({"status": "pending", "outputs": None}, State.SUBMITTED),
        ({"status": "unknown", "prediction_id": None, "outputs": None, "submitted_at": None}, State.UNKNOWN),
        ({"status": "held", "prediction_id": None, "outputs": None}, State.HELD),
        ({"status": "held", "error_code": 404, "outputs": None}, State.HELD),
        ({"status": "held", "outputs": None, "completed_at": None, "created_at": None}, State.HELD),
    ],
)
async def test_every_status_that_may_have_cost_money_is_taken_over(
    ledger: Any, changes: dict[str, Any], state: State
) -> None:
    assert await counts(ledger, row(**changes)) == {"taken over": 1}
    assert (await ledger.find(take_of())).take_status.state is state


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "invalid"},
        {"fingerprint": None},
        {"fingerprint": "short"},
        {"status": "pending", "attempts": 0},
        {"status": "pending", "prediction_id": None},
    ],
)
async def test_a_row_for_which_nothing_was_bought_says_nothing(ledger: Any, changes: dict[str, Any]) -> None:
    assert await counts(ledger, row(**changes)) == {"not bought": 1}


async def test_a_take_of_another_provider_is_passed_over(ledger: Any) -> None:
    other = row(fingerprint=take_of(provider="http://127.0.0.1:8787"))
    assert await counts(ledger, other) == {"of another provider": 1}


async def test_a_table_from_before_the_canonical_form_is_understood(ledger: Any) -> None:
    prompt = "push in\r\n"
    old = digest(verbatim(WRITTEN, MODEL, inputs_of(prompt)), 1).hex()
    assert await counts(ledger, row(prompt=prompt, fingerprint=old)) == {"taken over": 1}
    assert (await ledger.find(take_of())).take_status.state is State.COMPLETED
    assert ledger.rows("SELECT fingerprint, take FROM alias") == [(old, take_of())]


async def test_a_take_that_the_ledger_knows_by_its_old_name_is_known(ledger: Any) -> None:
    prompt = "push in\r\n"
    old = digest(verbatim(WRITTEN, MODEL, inputs_of(prompt)), 1).hex()
    await ledger.buy(old, provider=PROVIDER)
    ours = f"p-{old[:8]}-1"
    assert await counts(ledger, row(prompt=prompt, fingerprint=old, prediction_id=ours)) == {"known already": 1}
    assert (await ledger.find(take_of())).take_status.state is State.SUBMITTED
    with pytest.raises(TakenError):
        await ledger.intend(take_of())


async def test_a_local_still_is_known_by_the_fingerprint_that_the_table_names(ledger: Any) -> None:
    assert await counts(ledger, row(image="stills/a.png", fingerprint="e" * 64)) == {"taken over": 1}
    assert (await ledger.find("e" * 64)).take_status.state is State.COMPLETED


async def test_a_prediction_of_another_take_is_told_and_not_taken(ledger: Any) -> None:
    done = await take_over(ledger, row(), row(prompt="pull back", fingerprint=take_of("pull back")))
    assert dict(done.counts) == {"taken over": 1, "in conflict": 1}
    assert done.conflicts == [f"take {take_of('pull back')[:12]}: its prediction p-1 belongs to take {take_of()[:12]}"]
    both = importing.Imported()
    both.add(done)
    both.add(done)
    assert (both.counts["in conflict"], len(both.conflicts)) == (2, 2)


async def test_what_a_run_bought_counts_once_for_that_run(ledger: Any) -> None:
    await take_over(ledger, row(), row(prompt="pull back", fingerprint=take_of("pull back"), prediction_id="p-2"))
    await take_over(ledger, row())
    assert await ledger.committed_usd("run-9") == 5.0


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "nonsense"},
        {"take": None},
        {"image": None},
        {"prediction_id": "../../sandbox/stats?"},
        {"inference_ms": 2**63 - 1},
        {"inference_ms": -1},
        {"quoted_usd": Decimal(-5)},
        {"quoted_usd": Decimal(999_999)},
        {"created_at": MOMENT.replace(year=9999)},
    ],
)
async def test_a_row_that_animatic_never_wrote_is_refused_and_named(ledger: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(FixInputError, match=rf"out.parquet: row 1: {next(iter(changes))[:4]}"):
        await take_over(ledger, row(), row() | changes)
    assert ledger.rows("SELECT count(*) FROM attempt") == [(0,)]


FAILED = {"status": "failed", "outputs": None, "has_nsfw_contents": None, "error_code": 5003, "prediction_id": "p-0"}


async def test_a_later_attempt_is_taken_over_whichever_table_comes_first(ledger: Any) -> None:
    later = row(attempts=2, quoted_usd=Decimal(5))
    await take_over(ledger, row(**FAILED))
    assert await counts(ledger, later) == {"taken over": 1}
    assert await counts(ledger, row(**FAILED)) == {"known already": 1}
    found = await ledger.find(take_of())
    assert (found.take_status.state, found.prediction_id) == (State.COMPLETED, "p-1")
    assert await ledger.committed_usd("run-9") == 5.0


@pytest.mark.parametrize("state", [State.UNSENT, State.REJECTED])
async def test_a_purchase_after_attempts_that_bought_nothing_is_taken_over(ledger: Any, state: State) -> None:
    await ledger.conclude(await ledger.intend(take_of(), provider=PROVIDER), state)
    assert await counts(ledger, row()) == {"taken over": 1}
    found = await ledger.find(take_of())
    assert (found.state, found.attempts, found.prediction_id) == (State.COMPLETED, 1, "p-1")
    assert await counts(ledger, row()) == {"known already": 1}


@pytest.mark.parametrize("changes", [{}, FAILED])
async def test_a_renewal_that_is_not_known_leaves_the_completed_take_alone(
    ledger: Any, changes: dict[str, Any]
) -> None:
    await take_over(ledger, row())
    renewal = row(attempts=2, quoted_usd=Decimal(5)) | changes | {"prediction_id": "p-2"}
    assert await counts(ledger, renewal) == {"in conflict": 1}
    assert (await ledger.find(take_of())).state is State.COMPLETED


async def test_another_prediction_of_a_known_take_is_told(ledger: Any) -> None:
    await take_over(ledger, row())
    done = await take_over(ledger, row(prediction_id="p-2"))
    assert dict(done.counts) == {"in conflict": 1}
    assert "p-2, the ledger has prediction p-1: it was bought twice" in done.conflicts[0]


async def test_what_settles_an_unknown_take_is_told(ledger: Any) -> None:
    attempt_id = await ledger.intend(take_of(), provider=PROVIDER)
    await ledger.conclude(attempt_id, State.UNKNOWN)
    done = await take_over(ledger, row())
    assert f"reconcile --adopt {take_of()[:12]}=p-1" in done.conflicts[0]


async def test_an_unknown_take_without_a_time_has_its_whole_run(ledger: Any) -> None:
    nothing = {"prediction_id": None, "outputs": None, "submitted_at": None, "completed_at": None, "created_at": None}
    await take_over(ledger, row(status="unknown", run_id="20260301T120000Z-ab12", **nothing))
    await take_over(ledger, row(prompt="b", fingerprint=take_of("b"), status="unknown", run_id="x", **nothing))
    ((named, until), (unnamed, _)) = ledger.rows("SELECT window_from, window_to FROM attempt ORDER BY attempt_id")
    assert named.startswith("2026-03-01 11:00")
    assert datetime.fromisoformat(until) > datetime.now(UTC).replace(tzinfo=None)
    assert datetime.fromisoformat(unnamed) < datetime.now(UTC).replace(tzinfo=None) - importing.LIST_REACHES


async def test_a_local_still_that_is_there_tells_another_providers_take(ledger: Any) -> None:
    other = row(image="a.png", fingerprint="e" * 64, still="sha256:00")
    assert await counts(ledger, other) == {"of another provider": 1}


async def test_a_chained_take_keeps_the_take_that_it_started_from(ledger: Any) -> None:
    source = take_of()
    started = {"image": last_frame_of(source), "prompt": "then pan"}
    take = fingerprint(provider=PROVIDER, model=MODEL, inputs=Inputs(started), take=1)
    chained = row(
        image=None,
        inputs=json.dumps(started),
        start_from="pier",
        shot_id="halt",
        storyboard="harbour",
        fingerprint=take,
        prediction_id="p-2",
    )
    assert await counts(ledger, row(), chained) == {"taken over": 2}
    assert await ledger.opened.takes_starting_from([source]) == [take]
    key = key_of(canonical(PROVIDER, MODEL, Inputs(started).without("image")), "harbour", ("halt", "pier"))
    assert await ledger.opened.sources_of([key]) == {key: source}


KLING = "kwaivgi/kling-v2.1-i2v-standard"


def row_of_kling(inputs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    take = fingerprint(provider=PROVIDER, model=KLING, inputs=Inputs(inputs), take=1)
    return row(model=KLING, inputs=json.dumps(inputs), fingerprint=take, duration=None, aspect_ratio=None) | changes


async def test_a_take_of_another_model_is_known_by_its_inputs(ledger: Any) -> None:
    bought = row_of_kling({"prompt": "push in", "image": STILL, "loras": [{"path": "a/b", "scale": 0.5}]})
    assert await counts(ledger, bought) == {"taken over": 1}
    assert (await ledger.find(bought["fingerprint"])).take_status.state is State.COMPLETED
    other = row_of_kling({"prompt": "pull back", "image": STILL}, fingerprint="e" * 64)
    assert await counts(ledger, other) == {"of another provider": 1}


async def test_the_tables_fingerprint_identifies_a_take_with_a_second_local_file(ledger: Any) -> None:
    bought = row_of_kling({"image": STILL, "end_image": "stills/end.png"}, fingerprint="e" * 64)
    assert await counts(ledger, bought) == {"taken over": 1}
    assert (await ledger.find("e" * 64)).take_status.state is State.COMPLETED


@pytest.mark.parametrize("text", ['{"prompt": ', "[1, 2]", "[" * 100_000, "null"])
async def test_inputs_that_are_no_object_are_refused_and_named(ledger: Any, text: str) -> None:
    with pytest.raises(FixInputError, match=r'row 1: inputs: found ".*; allowed: a JSON object'):
        await take_over(ledger, row_of_kling({"image": STILL}) | {"inputs": text})
    assert ledger.rows("SELECT count(*) FROM attempt") == [(0,)]


async def test_a_price_that_the_table_does_not_know_is_not_nothing(ledger: Any) -> None:
    await take_over(ledger, row(quoted_usd=None, run_id=None))
    reserved = await ledger.do("reserved_by", "imported")
    assert (reserved.cost_microusd, reserved.unpriced, reserved.known_microusd) == (0, 1, None)


async def test_a_restored_ledger_is_complete_once_a_person_says_so(ledger: Any) -> None:
    await ledger.buy()
    note_intents(ledger.path, 7)
    assert await ledger.opened.lacking(7) == (6, False)
    await ledger.opened.note_looked_for(7)
    assert await ledger.opened.lacking(7) == (6, True)
    assert await ledger.opened.declare_complete(noted_intents(ledger.path)) == 6
    assert await ledger.opened.declare_complete(noted_intents(ledger.path)) == 0
    assert ledger.rows("SELECT value FROM meta WHERE name = 'intents'") == [("7",)]
