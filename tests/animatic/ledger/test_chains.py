"""Chained takes in the ledger: only after their source, and each shot keeps the source that it was bought with."""

from typing import Any

import pytest

from animatic.errors import SourceError
from animatic.takes.chains import Origin
from animatic.takes.states import State

A1, A2, B1, B2 = (letter * 64 for letter in "abcd")
KEY = "k" * 64


async def completed(ledger: Any, fingerprint: str, **changes: Any) -> None:
    await ledger.finish(await ledger.buy(fingerprint, **changes))


def origin(source: str, instead_of: str | None = None) -> Origin:
    return Origin(source, KEY, instead_of)


@pytest.mark.parametrize("state", [None, State.SUBMITTED, State.FAILED, State.REJECTED, State.UNKNOWN])
async def test_a_take_is_only_bought_after_its_source_is_completed(ledger: Any, state: State | None) -> None:
    if state in {State.SUBMITTED, State.FAILED}:
        attempt_id = await ledger.buy(A1)
        if state is State.FAILED:
            await ledger.finish(attempt_id, state=State.FAILED, outputs=())
    elif state is not None:
        await ledger.conclude(await ledger.intend(A1), state)
    with pytest.raises(SourceError, match=f"{state or 'not bought'}, not completed; nothing was bought"):
        await ledger.intend(B1, origin=origin(A1))
    assert await ledger.find(B1) is None
    assert await ledger.committed_usd() == (2.5 if state in {State.SUBMITTED, State.FAILED, State.UNKNOWN} else 0)


async def test_a_bought_shot_is_known_by_its_source(ledger: Any) -> None:
    await completed(ledger, A1)
    assert await ledger.opened.sources_of([KEY]) == {}
    await ledger.intend(B1, origin=origin(A1))
    assert await ledger.opened.sources_of([KEY, "other"]) == {KEY: A1}
    assert await ledger.opened.takes_starting_from([A1, A2]) == [B1]


async def test_what_was_never_bought_fixes_nothing(ledger: Any) -> None:
    await completed(ledger, A1)
    await ledger.conclude(await ledger.intend(B1, origin=origin(A1)), State.UNSENT)
    assert await ledger.opened.sources_of([KEY]) == {}
    assert await ledger.opened.takes_starting_from([A1]) == []


async def test_two_runs_cannot_buy_one_shot_with_two_sources(ledger: Any) -> None:
    await completed(ledger, A1)
    await completed(ledger, A2)
    await ledger.intend(B1, origin=origin(A1))
    with pytest.raises(SourceError, match="another run has bought this shot since"):
        await ledger.intend(B2, origin=origin(A2))
    assert await ledger.find(B2) is None


async def test_a_source_that_is_followed_takes_the_place_of_the_one_before(ledger: Any) -> None:
    await completed(ledger, A1)
    await completed(ledger, A2)
    await completed(ledger, B1, origin=origin(A1))
    await completed(ledger, B2, origin=origin(A2, instead_of=A1))
    assert await ledger.opened.sources_of([KEY]) == {KEY: A2}
