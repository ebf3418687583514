"""Lists that lie about what is in them, and what else can be known of a prediction that a take may have bought."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx

from animatic.buying.reconcile import Reconciled, reconcile
from animatic.ledger import open_ledger
from animatic.sandbox.witness import read_witness
from animatic.takes.shots import Take
from animatic.wavespeed.client import WaveSpeedClient
from torture.canary import KEY
from torture.matrix.lies import BILL, LIST, RESULT, Liar
from torture.matrix.stage import CASES, PROVIDER, Setup, case

LONG_AGO_S = 300.0
"""Age of a submission with its window behind it: nothing may still come of it."""

LOOKS = 3
SECOND_S = 1.1
"""`Date` has whole seconds."""

Pages = Callable[[dict[str, Any], int, str], dict[str, Any] | None]
"""Given an answer of the list, the page that was asked for, and the known prediction: the lie."""


async def read_list(setup: Setup, liar: Liar | None = None, *, adopts_by_window: bool = False) -> Reconciled:
    """Read the list once, with no settling time."""
    with open_ledger(setup.ledger.url) as opened:
        async with WaveSpeedClient(setup.url, KEY, transport=liar or Liar()) as client:
            return await reconcile(opened, client, PROVIDER, 0.0, adopts_by_window=adopts_by_window)


async def read_list_until(setup: Setup, takes: list[Take], states: list[str]) -> None:
    """Read an honest list until it says so; two scans, and one more where the seconds of `Date` came between."""
    for _ in range(LOOKS):
        await read_list(setup)
        if await setup.states(takes) == states:
            return
        await asyncio.sleep(SECOND_S)
    raise AssertionError(f"an honest list leaves them {await setup.states(takes)}, so the lie proves nothing")


def _list_case(name: str, promise: str, lie: Pages) -> None:
    """A take that was never accepted, and a list that lies: never absent, never bought; held, with the lie as reason."""

    async def work(setup: Setup) -> bool:
        takes = setup.takes("known", "[sandbox:reset-before] never accepted")
        async with setup.sandbox(clock_offset_s=-LONG_AGO_S):
            await setup.run(takes)
        (known,) = [each.id for each in setup.accepted]

        def reported(request: httpx.Request, answer: dict[str, Any]) -> dict[str, Any] | None:
            return lie(answer, _page_of(request), known)

        async with setup.sandbox():
            liar = Liar(after={LIST: reported})
            for _ in range(LOOKS):
                settled = await read_list(setup, liar)
                assert settled.problem, "the lie was believed"
                assert not settled.absent
                assert await setup.states(takes) == ["completed", "held"]
                await asyncio.sleep(SECOND_S)
            ran = await setup.run(takes, settle_s=0.0, client={"transport": liar})
            assert ran.progress.submissions == 0
            assert await setup.states(takes) == ["completed", "held"]
            await read_list_until(setup, takes, ["completed", "absent"])
        assert set(setup.bought) == {"known"}
        return liar.lied[LIST] > LOOKS

    CASES[name] = ("list", promise, work)


def _page_of(request: httpx.Request) -> int:
    return int(json.loads(request.content)["page"])


def _with(answer: dict[str, Any], **more: Any) -> dict[str, Any]:
    return answer | {"data": answer["data"] | more}


def _odd_item(answer: dict[str, Any], page: int, _: str) -> dict[str, Any] | None:
    return _with(answer, items=[*answer["data"]["items"], {"id": ["p1"], "status": "completed"}]) if page == 1 else None


def _null_items(answer: dict[str, Any], page: int, _: str) -> dict[str, Any] | None:
    return _with(answer, items=None) if page > 1 else None


def _below_its_total(answer: dict[str, Any], _page: int, _: str) -> dict[str, Any]:
    return _with(answer, total=2)


def _outside(answer: dict[str, Any], page: int, _: str) -> dict[str, Any] | None:
    items = answer["data"]["items"]
    if page != 1 or not items:
        return None
    moment = datetime.fromisoformat(items[0]["created_at"]) - timedelta(days=3)
    return _with(answer, items=[*items, items[0] | {"id": "elsewhere", "created_at": moment.isoformat()}])


def _without_the_known(answer: dict[str, Any], _page: int, known: str) -> dict[str, Any]:
    return _with(answer, items=[each for each in answer["data"]["items"] if each["id"] != known])


def _of_another_model(answer: dict[str, Any], _page: int, _: str) -> dict[str, Any]:
    return _with(answer, items=[each | {"model": "google/veo-2"} for each in answer["data"]["items"]])


def _above_its_total(answer: dict[str, Any], _page: int, _: str) -> dict[str, Any]:
    return _with(answer, total=0)


def _more_to_come(answer: dict[str, Any], page: int, _: str) -> dict[str, Any] | None:
    return _with(answer, has_more=True) if page > 1 else None


NEVER = "nothing is absent by it, nothing bought again; held, until an honest list says so twice"
_list_case("one item of the list cannot be read", NEVER, _odd_item)
_list_case("a page of the list whose items are null", NEVER, _null_items)
_list_case("a list that shows fewer than its own total", NEVER, _below_its_total)
_list_case("a list that shows what lies outside of the window", NEVER, _outside)
_list_case("a list that shows more than its own total", NEVER, _above_its_total)
_list_case("a list that ends, and says that there is more", NEVER, _more_to_come)
_list_case("a list that names another model than was asked for", NEVER, _of_another_model)
_list_case("a list without a prediction that is known to be there", NEVER, _without_the_known)


@case(
    "list", "an empty list of an account of which nothing is known", "it proves no absence; what is bought later does"
)
async def _nothing_known(setup: Setup) -> bool:
    takes = setup.takes("[sandbox:reset-before] never accepted")
    async with setup.sandbox(clock_offset_s=-LONG_AGO_S):
        await setup.run(takes)
    problems: list[str] = []
    async with setup.sandbox():
        for _ in range(LOOKS):
            problems.append((await read_list(setup)).problem or "")
            assert await setup.states(takes) == ["held"]
            await asyncio.sleep(SECOND_S)
        assert not setup.accepted
        await setup.run(setup.takes("known"))
        await asyncio.sleep(SECOND_S)
        await read_list_until(setup, takes, ["absent"])
    assert set(setup.bought) == {"known"}
    return all("no prediction is known" in problem for problem in problems)


@case("clock", "`Date` and created_at are 30 minutes apart", "a lost reply is found all the same, and not bought twice")
async def _two_clocks(setup: Setup) -> bool:
    fired = 0
    for offset_s in (-1_800.0, 1_800.0):
        async with setup.sandbox(clock_offset_s=offset_s, folder=setup.folder / f"sandbox{offset_s}"):
            liar = Liar(is_dated_by_us=True)
            takes = setup.takes(f"known {offset_s}", f"[sandbox:lost-reply] {offset_s}")
            await setup.run(takes[:1], client={"transport": liar})
            await setup.run(takes, client={"transport": liar})
            assert await setup.states(takes) == ["completed", "completed"]
            assert (await setup.run(takes, client={"transport": liar})).progress.submissions == 0
            (record,) = await setup.records(takes[1:])
            assert record is not None
            assert record.created_at is not None
            assert record.submitted_at is not None
            apart_s = (record.created_at - record.submitted_at).total_seconds() - offset_s
            assert abs(apart_s) < 120
            fired += liar.lied["date"] > 0
    accepted = [each.inputs["prompt"] for folder in setup.folder.glob("sandbox*") for each in read_witness(folder)]
    assert len(set(accepted)) == len(accepted) == 4, accepted
    return fired == 2


@case("list", "a prediction that only model and time speak for", "held and named, never adopted by itself")
async def _only_by_window(setup: Setup) -> bool:
    takes = setup.takes("known", "[sandbox:lost-reply] one")
    async with setup.sandbox(clock_offset_s=-LONG_AGO_S, list_inputs=False):
        await setup.run(takes[:1])
        await setup.run(takes[1:])
        assert await setup.states(takes) == ["completed", "unknown"]
    (mine,) = [each.id for each in setup.accepted if each.inputs["prompt"] != "known"]
    async with setup.sandbox(list_inputs=False):
        for _ in range(2):
            settled = await read_list(setup)
            assert settled.problem is None
            assert not settled.adopted
            (record,) = await setup.records(takes[1:])
            assert record is not None
            assert (record.state.value, record.prediction_id) == ("held", None)
            assert mine in (record.error or ""), record.error
            await asyncio.sleep(SECOND_S)
        assert (await setup.run(takes, settle_s=0.0)).progress.submissions == 0
        assert await setup.states(takes) == ["completed", "held"]
        adopted = await read_list(setup, adopts_by_window=True)  # the account's only user says that it is enough
        assert adopted.adopted == [takes[1].fingerprint]
        await setup.run(takes, settle_s=0.0)
        assert await setup.states(takes) == ["completed", "completed"]
    return set(setup.bought.values()) == {1}


@case("list", "only the result of a prediction says what it was made of", "it is asked, and adopted by that")
async def _inputs_in_the_result(setup: Setup) -> bool:
    async with setup.sandbox(list_inputs=False):

        def with_input(_: httpx.Request, reported: dict[str, Any]) -> dict[str, Any]:
            (inputs,) = [dict(each.inputs) for each in setup.accepted if each.id == reported["data"]["id"]]
            return reported | {"data": reported["data"] | {"input": inputs}}

        takes, liar = (
            setup.takes("[sandbox:lost-reply] one", "[sandbox:lost-reply] two"),
            Liar(after={RESULT: with_input}),
        )
        await setup.run(takes, client={"transport": liar})
        found = [record and record.prediction_id for record in await setup.records(takes)]
        assert await setup.states(takes) == ["completed"] * 2
        asked_for = {each.id: each.inputs["prompt"] for each in setup.accepted}
        assert [asked_for[each or ""] for each in found] == [take.shot.inputs["prompt"] for take in takes]
        return len(setup.accepted) == 2


@case("list", "the bill names a prediction that the list does not show", "never absent: held and named, like any other")
async def _only_on_the_bill(setup: Setup) -> bool:
    takes = setup.takes("known", "[sandbox:lost-reply] one")
    async with setup.sandbox(clock_offset_s=-LONG_AGO_S, list_inputs=False):
        await setup.run(takes[:1])
        await setup.run(takes[1:])
    (mine,) = [each.id for each in setup.accepted if each.inputs["prompt"] != "known"]

    def without(_: httpx.Request, reported: dict[str, Any]) -> dict[str, Any]:
        return _with(reported, items=[each for each in reported["data"]["items"] if each["id"] != mine])

    async with setup.sandbox(list_inputs=False):
        liar = Liar(after={LIST: without})
        for _ in range(LOOKS):
            assert not (await read_list(setup, liar)).absent
            (record,) = await setup.records(takes[1:])
            assert record is not None
            assert record.state == "held"
            assert mine in (record.error or ""), record.error
            await asyncio.sleep(SECOND_S)
        assert (await setup.run(takes, settle_s=0.0, client={"transport": liar})).progress.submissions == 0
    return liar.asked[BILL] >= LOOKS and set(setup.bought.values()) == {1}


@case("list", "another client buys on the account too", "what is theirs is an orphan, and settles nothing of ours")
async def _others(setup: Setup) -> bool:
    takes = setup.takes("known", "[sandbox:reset-before] never accepted")
    async with setup.sandbox(clock_offset_s=-LONG_AGO_S):
        await setup.run(takes)
        foreign = await setup.buy_elsewhere("theirs")
    async with setup.sandbox():
        for _ in range(2):
            await read_list(setup)
            await asyncio.sleep(SECOND_S)
        (record,) = await setup.records(takes[1:])
        assert record is not None
        assert record.state == "held"
        assert foreign in (record.error or "")
        assert (await setup.run(takes, settle_s=0.0)).progress.submissions == 0
        with open_ledger(setup.ledger.url) as opened:
            await opened.settle_by_hand(PROVIDER, [], [takes[1].fingerprint])
        await setup.run(takes[:1], settle_s=0.0)
    return setup.bought == {"known": 1, "theirs": 1}
