"""All paid attempts: in order, a few thousand at a time, none twice and none left out."""

from datetime import UTC, datetime
from typing import Any

from animatic.ledger.history import COLUMNS, position_of
from animatic.takes.states import State


async def read(ledger: Any, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while rows := await ledger.opened.paid_attempts("sandbox", after, *more.values()):
        found += [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        after = position_of(rows[-1])
    return found


async def test_only_what_was_or_may_have_been_paid_is_there(ledger: Any) -> None:
    names = [digit * 64 for digit in "123456"]
    for name, state in zip(
        names, (None, State.REJECTED, State.UNSENT, State.UNKNOWN, State.HELD, State.FAILED), strict=True
    ):
        attempt_id = await ledger.intend(name)
        if state is None:
            await ledger.accept(attempt_id, f"p{name[0]}")
        elif state is not State.FAILED:
            await ledger.conclude(attempt_id, state)
        else:
            await ledger.accept(attempt_id, f"p{name[0]}")
            await ledger.finish(attempt_id, state=State.FAILED)
    assert [(row["fingerprint"][0], row["state"]) for row in await read(ledger)] == [
        ("1", "submitted"),
        ("4", "unknown"),
        ("5", "held"),
        ("6", "failed"),
    ]
    assert await ledger.opened.paid_attempts("another", None) == []


async def test_pages_follow_each_other(ledger: Any) -> None:
    for digit in "0123456789":
        await ledger.accept(await ledger.intend(digit * 64), f"p{digit}")
    assert [row["fingerprint"][0] for row in await read(ledger, since=None, most=3)] == list("0123456789")
    later = await read(ledger, since=datetime(2200, 1, 1, tzinfo=UTC))
    assert later == []


async def test_models_are_those_of_the_provider(ledger: Any) -> None:
    for digit, model in (("1", "b/two"), ("2", "a/one"), ("3", "b/two")):
        await ledger.intend(digit * 64, model=model)
    await ledger.intend("4" * 64, model="c/three", provider="another")
    assert await ledger.opened.models_bought("sandbox") == ["a/one", "b/two"]
