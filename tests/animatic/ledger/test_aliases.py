"""Takes of an old ledger that are one in canonical form become one, and nothing is bought for what is open."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asked import inputs_of

from animatic.errors import TakenError
from animatic.ledger import aliases, by_hand, operations
from animatic.takes.fingerprints import digests_of
from animatic.takes.shots import digest, fingerprint, verbatim
from animatic.takes.states import LIVE, BuyingPolicy, State, TakeStatus
from tests.animatic.ledger.conftest import Shorthand, Sqlite
from tests.animatic.ledger.old_ledgers import OLD, write

MODEL = "wavespeed-ai/veo2-i2v"
PAIRS = {
    "a blank at the end": ("push in", "push in "),
    "line ends": ("push in\nslowly", "push in\r\nslowly"),
    "the form of an accent": ("the caf\u00e9", "the cafe\u0301"),
}
"""The first of each is canonical, and so its old fingerprint is that of the take; the other is not."""


def old_of(prompt: str, provider: str = "sandbox") -> str:
    return digest(verbatim(provider, MODEL, inputs_of(prompt)), 1).hex()


def take_of(prompt: str, provider: str = "sandbox") -> str:
    return fingerprint(provider=provider, model=MODEL, inputs=inputs_of(prompt), take=1)


def quoted(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


class Old:
    """A ledger of version 3 that knows some takes; each is a prompt, and the states of its attempts in order."""

    def __init__(self, path: Path, *takes: tuple[str, list[State]], provider: str = "sandbox") -> None:
        script = ["INSERT INTO run VALUES ('old', 'shots.csv', '2026-03-01 12:00:00.000000', 'h', 1, 0);"]
        number = 0
        for prompt, states in takes:
            reported = {"aspect_ratio": "16:9", "duration": "5s", "image": "https://stills.example/a.png"}
            request = json.dumps({**reported, "prompt": prompt, "take": 1}, sort_keys=True, ensure_ascii=False)
            parts = (old_of(prompt, provider), provider, MODEL, "5s", request)
            script.append(f"INSERT INTO take VALUES ({', '.join(map(quoted, parts))});")
            for attempt_no, state in enumerate(states, 1):
                number += 1
                prediction = f"p{number}" if state in {State.SUBMITTED, State.COMPLETED, State.FAILED} else None
                script.append(
                    "INSERT INTO attempt (attempt_id, fingerprint, attempt_no, state, run_id, allowed_by, image_url, "
                    "cost_usd, intent_at, prediction_id) VALUES "
                    f"({number}, {quoted(parts[0])}, {attempt_no}, {quoted(state)}, 'old', 'plan', "
                    f"'https://stills.example/a.png', {number}.1, '2026-03-01 12:00:0{number}.000000', "
                    f"{quoted(prediction)});"
                )
        write(path, OLD["3"], "\n".join(script))
        self.ledger = Shorthand(Sqlite(path.parent))

    async def begin(self) -> Shorthand:
        await self.ledger.begin()
        return self.ledger


@pytest.fixture
def old(path: Path) -> Iterator[Any]:
    made: list[Old] = []

    async def make(*takes: tuple[str, list[State]], **more: Any) -> Shorthand:
        made.append(Old(path, *takes, **more))
        return await made[-1].begin()

    yield make
    for each in made:
        each.ledger.opened.close()


def attempts(ledger: Shorthand) -> dict[int, tuple[str, int, str]]:
    found = ledger.rows("SELECT attempt_id, fingerprint, attempt_no, state FROM attempt")
    return {attempt_id: (name, number, state) for attempt_id, name, number, state in found}


async def standing_in_bulk(ledger: Shorthand, take: str, run_id: str = "run-1") -> tuple[TakeStatus, int]:
    """Return the status that a snapshot shows."""
    snapshot = await ledger.opened.snapshot(digests_of([take]), {}, run_id)
    return snapshot.statuses[int(snapshot.status_of[0])], int(snapshot.attempt_id[0])


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_pairs_are_two_takes_of_before_and_one_now(pair: tuple[str, str]) -> None:
    plain, odd = pair
    assert old_of(plain) == take_of(plain) == take_of(odd) != old_of(odd)


OPEN_PAIRS = [
    (first, second) for name in PAIRS for first, second in (PAIRS[name], PAIRS[name][::-1])
]  # which of the two is unknown matters: the other ranks higher
BOTH_ODD = ("push in ", "push in  ")


@pytest.mark.parametrize(("unsure", "sent"), [*OPEN_PAIRS, BOTH_ODD])
async def test_while_two_are_open_nothing_is_bought_for_either(old: Any, unsure: str, sent: str) -> None:
    ledger = await old((unsure, [State.UNKNOWN]), (sent, [State.SUBMITTED]))
    take = take_of(unsure)
    for policy in (BuyingPolicy(), BuyingPolicy(retry_failed=True, attempts=9)):
        with pytest.raises(TakenError):
            await ledger.intend(take, policy=policy)
    assert len(ledger.rows("SELECT * FROM attempt")) == 2
    assert await ledger.committed_usd() == 0.0
    assert (await ledger.find(take)).state in LIVE
    take_status, _ = await standing_in_bulk(ledger, take)
    assert take_status.state in LIVE
    assert take_status.state is (await ledger.find(take)).state


@pytest.mark.parametrize(("unsure", "sent"), [*OPEN_PAIRS, BOTH_ODD])
async def test_the_second_open_one_keeps_its_attempt_until_it_is_settled(old: Any, unsure: str, sent: str) -> None:
    ledger = await old((unsure, [State.UNKNOWN]), (sent, [State.SUBMITTED]))
    take = take_of(unsure)
    names = {1: old_of(unsure), 2: old_of(sent)}
    if take not in names.values() or names[2] == take:
        names[2] = take  # the one that is known to be bought is the take
    kept = attempts(ledger)
    assert kept == {1: (names[1], 1, "unknown"), 2: (names[2], 1, "submitted")}
    assert await ledger.opened.join_aliases() == 0
    assert attempts(ledger) == kept
    await ledger.opened.transactions.do(0.0, operations.move, 1, State.ABSENT, {"settled_by": "window"})
    assert await ledger.opened.join_aliases() == 2
    assert attempts(ledger) == {1: (take, 1, "absent"), 2: (take, 2, "submitted")}
    assert await ledger.opened.transactions.do(0.0, aliases.apart) == {}
    record = await ledger.find(take)
    assert (record.state, record.attempt_id, record.attempts) == (State.SUBMITTED, 2, 1)
    with pytest.raises(TakenError, match="it is submitted by now"):
        await ledger.intend(take)


@pytest.mark.parametrize("settled", [State.SUBMITTED, State.HELD])
async def test_two_that_were_both_bought_stay_two_attempts(old: Any, settled: State) -> None:
    plain, odd = PAIRS["a blank at the end"]
    ledger = await old((odd, [State.UNKNOWN]), (plain, [State.SUBMITTED]))
    values = {"prediction_id": "p9"} if settled is State.SUBMITTED else {"held_for": "evidence"}
    await ledger.opened.transactions.do(0.0, operations.move, 1, settled, values)
    await ledger.finish(2)
    await ledger.opened.join_aliases()
    take = take_of(plain)
    assert attempts(ledger) == {1: (old_of(odd), 1, settled), 2: (take, 1, "completed")}
    with pytest.raises(TakenError, match="it is completed by now"):
        await ledger.intend(take)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("odd_first", [False, True])
@pytest.mark.parametrize("failed_first", [False, True])
async def test_one_completed_and_one_failed_become_one_completed(
    old: Any, pair: tuple[str, str], odd_first: bool, failed_first: bool
) -> None:
    prompts = pair[::-1] if odd_first else pair
    states = (State.FAILED, State.COMPLETED) if failed_first else (State.COMPLETED, State.FAILED)
    ledger = await old((prompts[0], [states[0]]), (prompts[1], [states[1]]))
    take = take_of(prompts[0])
    record = await ledger.find(take)
    assert (record.state, record.attempts, record.attempt_no) == (State.COMPLETED, 2, 2)
    assert record.cost_microusd == 1_100_000 + 2_100_000
    assert {name for name, _, _ in attempts(ledger).values()} == {take}
    assert ledger.rows("SELECT fingerprint, take FROM alias") == [(old_of(pair[1]), take)]
    assert await ledger.opened.transactions.do(0.0, aliases.apart) == {}
    with pytest.raises(TakenError, match="it is completed by now"):
        await ledger.intend(take, policy=BuyingPolicy(retry_failed=True, attempts=9))
    take_status, attempt_id = await standing_in_bulk(ledger, take)
    assert (take_status, attempt_id) == (record.take_status, record.attempt_id)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
async def test_a_failed_one_alone_moves_and_leaves_an_alias(old: Any, pair: tuple[str, str]) -> None:
    plain, odd = pair
    ledger = await old((odd, [State.FAILED]))
    take = take_of(plain)
    assert attempts(ledger) == {1: (take, 1, "failed")}
    assert ledger.rows("SELECT fingerprint, take FROM alias") == [(old_of(odd), take)]
    assert await ledger.opened.transactions.do(0.0, aliases.take_of, old_of(odd)) == take
    assert await ledger.opened.takes_of([old_of(odd), take]) == {old_of(odd): take}
    assert await ledger.opened.transactions.do(0.0, aliases.beginning_with, old_of(odd)[:8]) == [take]
    assert ledger.rows("SELECT provider, model, duration FROM take WHERE fingerprint = ?", take) == [
        ("sandbox", MODEL, "5s")
    ]
    record = await ledger.find(take)
    assert (record.state, record.cost_microusd, record.is_left) == (State.FAILED, 1_100_000, True)
    with pytest.raises(TakenError, match="it is failed by now"):
        await ledger.intend(take)
    assert await ledger.intend(take, policy=BuyingPolicy(retry_failed=True)) != 1
    assert attempts(ledger)[2] == (take, 2, "submitting")


async def test_attempts_of_three_takes_are_numbered_anew_the_live_one_last(old: Any) -> None:
    plain, odd = PAIRS["a blank at the end"]
    ledger = await old(
        (odd, [State.FAILED, State.COMPLETED]),
        (plain, [State.FAILED, State.REJECTED]),
        ("push in  ", [State.FAILED]),
    )
    take = take_of(plain)
    numbered = {number: attempt_id for attempt_id, (_, number, _) in attempts(ledger).items()}
    assert numbered == {1: 1, 2: 3, 3: 4, 4: 5, 5: 2}
    record = await ledger.find(take)
    assert (record.state, record.attempts) == (State.COMPLETED, 4)
    assert record.cost_microusd == 1_100_000 + 2_100_000 + 3_100_000 + 5_100_000


@pytest.mark.parametrize("failed_first", [True, False])
@pytest.mark.parametrize("nothing", [State.ABSENT, State.UNSENT])
async def test_a_failed_take_needs_a_policy_whatever_joins_it(old: Any, nothing: State, failed_first: bool) -> None:
    takes = [("push in", [State.FAILED]), ("push in ", [nothing])]
    ledger = await old(*(takes if failed_first else takes[::-1]))
    with pytest.raises(TakenError, match="it is failed by now"):
        await ledger.intend(take_of("push in"))


async def test_a_canonical_take_needs_no_alias(old: Any) -> None:
    plain, _ = PAIRS["a blank at the end"]
    ledger = await old((plain, [State.SUBMITTED]))
    assert attempts(ledger) == {1: (take_of(plain), 1, "submitted")}
    assert ledger.rows("SELECT * FROM alias") == []


async def test_other_spellings_of_a_provider_are_the_same_provider(old: Any) -> None:
    spelled = "HTTPS://API.wavespeed.ai:443/"
    ledger = await old(("push in", [State.UNKNOWN]), provider=spelled)
    take = take_of("push in", "https://api.wavespeed.ai")
    assert old_of("push in", spelled) != take
    assert attempts(ledger) == {1: (take, 1, "unknown")}
    (claim,) = await ledger.opened.claims("https://api.wavespeed.ai")
    assert claim.attempt_id == 1
    with pytest.raises(TakenError, match="it is unknown by now"):
        await ledger.intend(take)


async def test_old_names_that_a_manifest_brings_are_learnt_later(old: Any) -> None:
    ledger = await old(("push in", [State.COMPLETED]))
    take, name = "e" * 64, take_of("push in")
    await ledger.opened.know_aliases({take: [name, "d" * 64]})
    assert attempts(ledger) == {1: (take, 1, "completed")}
    assert ledger.rows("SELECT fingerprint, take FROM alias") == [(name, take)], "only what the ledger holds"


@pytest.mark.parametrize("shown", ["what the ledger lists", "the old name"])
@pytest.mark.parametrize("said", ["adopt", "absent", "abandon"])
async def test_a_person_can_settle_what_stays_under_its_old_name(old: Any, said: str, shown: str) -> None:
    plain, odd = PAIRS["a blank at the end"]
    ledger = await old((odd, [State.UNKNOWN]), (plain, [State.SUBMITTED]))
    (reported,) = await ledger.opened.open_takes("sandbox")
    name = (reported.fingerprint if shown == "what the ledger lists" else old_of(odd))[:12]
    match said:
        case "adopt":
            await ledger.opened.transactions.do(0.0, by_hand.adopt_by_hand, "sandbox", name, "p9")
        case "absent":
            await ledger.opened.transactions.do(0.0, by_hand.absent_by_hand, "sandbox", name)
        case _:
            await ledger.opened.transactions.do(0.0, by_hand.abandon_by_hand, "sandbox", name)
    states = {attempt_id: state for attempt_id, (_, _, state) in attempts(ledger).items()}
    became = {"adopt": "submitted", "absent": "absent", "abandon": "failed"}
    assert states == {1: became[said], 2: "submitted"}


async def test_an_open_alias_forbids_to_buy_after_a_failure(old: Any) -> None:
    ledger = await old(("push in ", [State.SUBMITTED]), ("push in  ", [State.UNKNOWN]))
    take = take_of("push in")
    await ledger.finish(1, state=State.FAILED, outputs=(), error_code=5003, error="it failed")
    assert (await ledger.find(take)).state is State.UNKNOWN
    with pytest.raises(TakenError):
        await ledger.intend(take, policy=BuyingPolicy(retry_failed=True, attempts=9))


async def test_an_open_alias_says_nothing_about_other_takes(old: Any) -> None:
    ledger = await old(("push in ", [State.SUBMITTED]), ("push in  ", [State.UNKNOWN]))
    take_status, attempt_id = await standing_in_bulk(ledger, take_of("pull back"))
    assert (take_status.state, attempt_id) == (None, 0)
