"""Look once at what an account has made lately, before a new ledger buys, or one that was restored. Buys nothing.

A new ledger knows of nothing; the account's own list does. Where the list echoes inputs, takes of the plan are found in
it; where it does not, how many predictions there are is all that can be said.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from animatic.errors import NeverAgainError, TryLaterError
from animatic.errors.text import command
from animatic.ledger import Ledger
from animatic.takes.evidence import LIST_REACHES, Candidate, echoed, is_same_model
from animatic.takes.inputs import Inputs, as_json
from animatic.takes.shots import Take
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.wire import ListedPrediction

PAGE_SIZE = 100
MOST_PAGES = 50
"""A look, not a scan: 5,000 predictions of each model."""

MOST_NAMED = 20


@dataclass(slots=True)
class Found:
    """Predictions in the list of the last 7 days.

    Attributes:
        made: predictions of the models of the plan.
        is_all: whether the list was read to its end.
        takes: names of takes of the plan that have been made already, by all that the list echoes.
        echoes: whether any prediction showed its inputs.
        problem: why it could not be read, if so.
        is_new: whether the ledger is new; else what belongs to its takes is left out.
    """

    made: int = 0
    is_all: bool = True
    takes: list[str] = field(default_factory=list[str])
    echoes: bool = False
    problem: str | None = None
    is_new: bool = True

    def lines(self) -> list[str]:
        """Return warnings that a person should read before anything is bought."""
        if self.problem is not None:
            return [
                f"the account's list of predictions cannot be read ({self.problem}), so what it has made is not known"
            ]
        if not self.made:
            return []
        least = "" if self.is_all else "at least "
        ours = "" if self.is_new else ", which belong to no take of this ledger"
        head = f"this account made {least}{self.made:,} predictions of these models in the last 7 days{ours}"
        if not self.echoes:
            return [f"{head}; the list does not say of what. If this plan is among them, it would be bought again"]
        if not self.takes:
            return [f"{head}; none of them is of this plan"]
        named = ", ".join(self.takes[:MOST_NAMED])
        more = f" and {len(self.takes) - MOST_NAMED:,} more" if len(self.takes) > MOST_NAMED else ""
        made = f"{len(self.takes):,} takes of this plan were made already: {named}{more}"
        advice = (
            f"take over what a results table (RESULTS) knows of them:\n      {command('ledger', 'import', 'RESULTS')}"
        )
        return [f"{head}; {made}. They would be bought again; {advice}"]


async def find_in_list(
    client: WaveSpeedClient, takes: Iterable[Take], models: Sequence[str], ledger: Ledger | None = None
) -> Found:
    """Read the list of each model, and find takes of the plan in it, one prediction for each.

    Predictions that belong to a take of the ledger are left out.
    """
    found = Found()
    listed = await read_account(client, models, found)
    if ledger is not None:
        free = {each.prediction_id for each in await ledger.unbound(candidates_of(listed))}
        listed = [each for each in listed if each.id in free]
    found.made = len(listed)
    found.echoes = any(each.inputs is not None for each in listed)
    if found.echoes:
        made = _Made(listed)
        found.takes += [take.name for take in takes if made.claim(take)]
    return found


class _Made:
    """Predictions that echo their inputs, found by those that a take names: the list may show defaults beside them."""

    def __init__(self, listed: Sequence[ListedPrediction]) -> None:
        self._listed = [(each.model, each.inputs) for each in listed if each.inputs is not None]
        self._counts: dict[tuple[str, tuple[str, ...]], Counter[Inputs]] = {}

    def claim(self, take: Take) -> bool:
        """Tell if one is a take's, and count it no more.

        An uploaded file has a URL of its own, so files do not count where a take has one.
        """
        inputs = take.shot.inputs
        files = {*take.shot.schema.media} if take.shot.paths else set[str]()
        names = tuple(sorted(name for name in inputs if name not in files))
        counts = self._counts.get((take.shot.model, names))
        if counts is None:
            counts = self._counts[take.shot.model, names] = Counter(
                _key(of, names) for model, of in self._listed if not model or is_same_model(model, take.shot.model)
            )
        key = _key(inputs, names)
        if counts[key] < 1:
            return False
        counts[key] -= 1
        return True


async def read_account(client: WaveSpeedClient, models: Sequence[str], found: Found) -> list[ListedPrediction]:
    """Read what the account made of these models in 7 days; nothing, and the problem noted, where it cannot be read."""
    listed: list[ListedPrediction] = []
    try:
        await client.learn_time()
        for model in models:
            listed += await _listed(client, model, found)
    except (TryLaterError, NeverAgainError) as error:
        found.problem = str(error)
        return []
    return listed


def candidates_of(listed: Iterable[ListedPrediction]) -> list[Candidate]:
    """Return predictions as evidence has them."""
    return [Candidate(each.id, each.model, each.created_at, echoed(each.inputs)) for each in listed]


async def _listed(client: WaveSpeedClient, model: str, found: Found) -> list[ListedPrediction]:
    after, before = client.clock.earliest() - LIST_REACHES, client.clock.latest() + timedelta(minutes=1)
    listed: dict[str, ListedPrediction] = {}
    for number in range(1, MOST_PAGES + 1):
        page = await client.list_predictions(
            page=number, page_size=PAGE_SIZE, model=model, created_after=after, created_before=before
        )
        new = {each.id: each for each in page.items if each.id not in listed}
        if not new:
            break
        listed |= new
    else:
        found.is_all = False
    return list(listed.values())


def _key(inputs: Mapping[str, Any], names: Sequence[str]) -> Inputs:
    found = Inputs({name: inputs[name] for name in names if name in inputs}).canonical()
    return Inputs({name: value if isinstance(value, str) else as_json(value) for name, value in found.items()})
