"""Proof from WaveSpeed's list of predictions about takes that may or may not have been bought. Pure.

A claim is an attempt whose submission may have been accepted; a candidate is a prediction that belongs to no take. Both
are timed by the API's own clock. The verdicts, for each claim:

    the list echoes inputs, and as many candidates or fewer have exactly the claim's    adopt, at once
    none is echoed, and one candidate fits model and window, no other take's            hold, once it is settled
        the same, on an account with one user (ANIMATIC_ADOPT_BY_WINDOW)                adopt, once it is settled
    none, in two complete scans at least the settling time apart                        absent
    more than one; inputs that disagree; an incomplete scan; older than the list        hold, once it is settled
    one with exactly its inputs, and another model or time than it should have          hold, once it is settled
    it is too early to tell, or a live run is at it                                     wait

`settled` means that the scan began after the claim's window and the settling time: what there is must be in the list by
then. Claims that ask for exactly the same (two takes of a shot) are interchangeable, and share candidates one to one.

A scan that contradicts itself is not complete and proves no absence: `contradiction_in` says what contradicts itself.

Source: WaveSpeed's page on listing predictions (7 days, newest first); that the list may echo inputs was seen in its
own clients only, and is on no page any more. How late a prediction shows up is not documented, so it is a setting.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from animatic.takes.inputs import Inputs

LIST_REACHES = timedelta(days=7)
REACH_MARGIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that may have been accepted, by the API's clock somewhere in its window.

    Attributes:
        inputs: what was sent, in canonical form.
        window_to: where it is live, only what was planned: a run that is stopped sends later.
        is_live: a run is submitting it at this moment, so it must be left alone, but may own a candidate.
        absent_since: end of the first complete scan after its window that did not have it.
    """

    attempt_id: int
    model: str
    inputs: Inputs
    window_from: datetime
    window_to: datetime
    is_live: bool = False
    absent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed prediction that is bound to no attempt.

    Attributes:
        inputs: in canonical form; None where the list does not echo them.
    """

    prediction_id: str
    model: str
    created_at: datetime | None
    inputs: Inputs | None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the list of one model that must be read to judge the claims whose windows lie in it."""

    model: str
    window_from: datetime
    window_to: datetime

    def covers(self, claim: Claim, settle: timedelta) -> bool:
        """Tell if everything that may be the claim's lies in it."""
        is_inside = self.window_from <= claim.window_from and claim.window_to + settle <= self.window_to
        return claim.model == self.model and is_inside


@dataclass(frozen=True, slots=True)
class Scan:
    """A reading of a span of the list; moments by the API's clock.

    Attributes:
        is_complete: every page was read, and none was refused, broken or out of bounds.
    """

    span: Span
    began_at: datetime
    ended_at: datetime
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Adopt:
    """It is this prediction; `by` is `inputs` or `window`."""

    prediction_id: str
    by: str


@dataclass(frozen=True, slots=True)
class Absent:
    """It was never accepted."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A person must settle it: it may be one of these, or none."""

    candidates: tuple[Candidate, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is proven yet. `absent_since` as in Claim, from now on."""

    absent_since: datetime | None
    why: str


Verdict = Adopt | Absent | Hold | Wait


@dataclass(slots=True)
class Reading:
    """Record of reading a span, page by page, and of the predictions that must be in it.

    Attributes:
        after, before: the window that was asked for.
        seen: ids that were read.
        moments: when they were created.
        total: how many there are, by the list's own account; None where it does not say.
        unreadable: items of which not even the id could be read; a page whose `items` are null counts as one.
        other_models: models of items that are not the one that was asked for, or are named otherwise.
        known: ids that are known to be in the window.
        witness: an id that is known to be in the list outside of the window, and whether it was found there; None
            where nothing is known at all.
    """

    after: datetime
    before: datetime
    seen: set[str] = field(default_factory=set[str])
    moments: list[datetime] = field(default_factory=list[datetime])
    total: int | None = None
    unreadable: int = 0
    other_models: set[str] = field(default_factory=set[str])
    known: Collection[str] = ()
    witness: tuple[str, bool] | None = None


MOMENT_TOLERANCE = timedelta(seconds=1)
"""Lists may cut fractions of a second off the window that they are asked for."""


def echoed(inputs: Mapping[str, Any] | None) -> Inputs | None:
    """Return the inputs that a reply echoes in the form in which claims have them."""
    return None if inputs is None else Inputs(inputs).canonical()


def contradiction_in(reading: Reading) -> str | None:  # noqa: PLR0911 - one return a contradiction
    """Say why a reading that came to its end proves no absence all the same; None if it does."""
    shown = len(reading.seen) + reading.unreadable
    if reading.total is not None and shown != reading.total:
        return f"it shows {shown:,} predictions and says that there are {reading.total:,}"
    if reading.unreadable:
        return f"{reading.unreadable:,} of its items cannot be read"
    if reading.other_models:
        return f"it shows predictions of another model than was asked for, such as {min(reading.other_models)}"
    outside = [
        moment
        for moment in reading.moments
        if not reading.after - MOMENT_TOLERANCE <= moment <= reading.before + MOMENT_TOLERANCE
    ]
    if outside:
        return (
            f"it shows {len(outside):,} predictions from outside the window that was asked for, such as {min(outside)}"
        )
    missing = set(reading.known) - reading.seen
    if missing:
        count = f"{len(missing):,} of {len(reading.known):,} predictions"
        return f"it lacks {count} that are known to be there, such as {min(missing)}"
    if reading.known:
        return None
    if reading.witness is None:
        return "no prediction is known that it should show, so that it shows none proves nothing"
    name, is_found = reading.witness
    return None if is_found else f"it lacks prediction {name}, which is known to be there"


MOST_SHIFT = timedelta(days=1)


def shift_of(known: Iterable[tuple[datetime, datetime, datetime]]) -> tuple[timedelta, timedelta]:
    """Return by how much windows must be moved, at their beginning and at their end.

    Windows are dated by the `Date` of replies, predictions by `created_at`. For accepted submissions both are known
    (window from, window to, created at): where one lies outside of its own window, the two clocks differ by more than
    the margin, and by about as much for all. One by more than a day, where others are not, is a mistake in that
    prediction.
    """
    begin = end = timedelta(0)
    submissions = list(known)
    near = [each for each in submissions if min(abs(each[2] - each[0]), abs(each[2] - each[1])) <= MOST_SHIFT]
    for window_from, window_to, created_at in near or submissions:
        if not window_from <= created_at <= window_to:
            begin = min(begin, created_at - window_to)
            end = max(end, created_at - window_from)
    return begin, end


def shifted(claim: Claim, shift: tuple[timedelta, timedelta]) -> Claim:
    """Return a claim whose window covers what the list's clock may call it."""
    begin, end = shift
    return replace(claim, window_from=claim.window_from + begin, window_to=claim.window_to + end)


def spans_of(claims: Sequence[Claim], settle: timedelta) -> list[Span]:
    """Return the spans to read to judge every claim that is not live; overlapping windows are one, oldest first.

    One take that is held for days must not make every run read the list of all these days.
    """
    spans: list[Span] = []
    for claim in sorted(claims, key=lambda claim: (claim.model, claim.window_from)):
        if claim.is_live:
            continue
        end = claim.window_to + settle
        last = spans[-1] if spans else None
        if last is not None and last.model == claim.model and claim.window_from <= last.window_to:
            spans[-1] = Span(claim.model, last.window_from, max(last.window_to, end))
        else:
            spans.append(Span(claim.model, claim.window_from, end))
    return sorted(spans, key=lambda span: span.window_from)


def judge(
    claims: Sequence[Claim],
    candidates: Sequence[Candidate],
    scan: Scan,
    settle: timedelta,
    *,
    adopts_by_window: bool = False,
) -> dict[int, Verdict]:
    """Return the verdict, by attempt, for each claim that is not live and whose window the scan covers.

    The other claims get no verdict, but a prediction that may be theirs is not adopted for another claim.
    `adopts_by_window` is for accounts with one user: there, model and time are enough to identify a prediction.
    """
    by_inputs = _share_by_inputs(claims, candidates, settle)
    taken = {each.prediction_id for shared in by_inputs.values() for each in shared}
    left = [each for each in candidates if each.prediction_id not in taken]
    verdicts: dict[int, Verdict] = {}
    for claim in claims:
        if claim.is_live or not scan.span.covers(claim, settle):
            continue
        near = [each for each in left if is_near(claim, each, settle)]
        rivals = [
            other
            for other in claims
            if other.attempt_id != claim.attempt_id and any(is_near(other, each, settle) for each in near)
        ]
        own = by_inputs.get(claim.attempt_id, ())
        verdict = _verdict(claim, own, near, left, rivals, scan, settle)
        if isinstance(verdict, Adopt) and verdict.by == "window" and not adopts_by_window:
            verdict = Hold(tuple(near), "a prediction fits its model and time, and nothing else says whose it is")
        verdicts[claim.attempt_id] = verdict
    return verdicts


def _verdict(  # noqa: PLR0911, PLR0913, PLR0917 - one line of the table in the module's docstring after the other
    claim: Claim,
    own: Sequence[Candidate],
    near: Sequence[Candidate],
    left: Sequence[Candidate],
    rivals: Sequence[Claim],
    scan: Scan,
    settle: timedelta,
) -> Verdict:
    if len(own) == 1:
        return Adopt(own[0].prediction_id, "inputs")
    if own:
        return Hold(tuple(own), f"{len(own)} predictions have exactly its inputs")
    if any(rival.is_live for rival in rivals):
        return Wait(None, "a prediction in its window may belong to a run that is submitting now")
    if claim.window_from < scan.began_at - LIST_REACHES + REACH_MARGIN:
        return Hold(tuple(near), "it is older than WaveSpeed's list reaches")
    if scan.began_at < claim.window_to + settle:
        return Wait(None if near else _absent_since(claim, scan), "a prediction may still show up in WaveSpeed's list")
    if not scan.is_complete:
        return Hold(tuple(near), "WaveSpeed's list could not be read to its end")
    if odd := [each for each in left if each not in near and _has_inputs_of(claim, each)]:
        return Hold(tuple(odd), "a prediction with exactly its inputs has another model or time in the list")
    return _adopt_by_window(near, rivals) if near else _absent(claim, scan, settle)


def _adopt_by_window(near: Sequence[Candidate], rivals: Sequence[Claim]) -> Verdict:
    """Judge predictions in the window that have not exactly the claim's inputs."""
    if any(each.inputs is not None for each in near):
        return Hold(tuple(near), "a prediction in its window has other inputs in the list")
    if len(near) == 1 and not rivals:
        return Adopt(near[0].prediction_id, "window")
    return Hold(tuple(near), "more than one take or prediction fits the window")


def _absent(claim: Claim, scan: Scan, settle: timedelta) -> Verdict:
    """Judge a settled, complete scan with nothing in the window: the second such scan proves absence."""
    is_proven = claim.absent_since is not None and scan.began_at - claim.absent_since >= settle
    since = _absent_since(claim, scan)
    return Absent() if is_proven else Wait(since, "it was not in the list; a second look must say so too")


def _share_by_inputs(
    claims: Sequence[Claim], candidates: Sequence[Candidate], settle: timedelta
) -> dict[int, tuple[Candidate, ...]]:
    """Candidates whose echoed inputs are exactly a claim's, one to one; all of them where there are too many to tell.

    A live claim gets the reply that names its own, so until then none is shared with it. Candidates are given out in
    the order of time, each to the claim whose window ends first, which leaves out as few as can be.
    """
    shares: dict[int, tuple[Candidate, ...]] = {}
    groups: dict[tuple[str, Inputs], list[Claim]] = {}
    for claim in claims:
        groups.setdefault((claim.model, claim.inputs), []).append(claim)
    for group in groups.values():
        if any(claim.is_live for claim in group):
            continue
        ordered = sorted(group, key=lambda claim: (claim.window_to, claim.attempt_id))
        fitting = sorted(
            (each for each in candidates if any(_is_exactly(claim, each, settle) for claim in group)),
            key=lambda each: (each.created_at is None, each.created_at or ordered[0].window_from, each.prediction_id),
        )
        placed: dict[int, Candidate] = {}
        for each in fitting:
            free = (claim for claim in ordered if claim.attempt_id not in placed and _is_exactly(claim, each, settle))
            placed |= {claim.attempt_id: each for claim in islice(free, 1)}
        if len(placed) == len(fitting):
            shares |= {attempt_id: (each,) for attempt_id, each in placed.items()}
        else:
            shares |= {claim.attempt_id: tuple(fitting) for claim in group}
    return shares


def _is_exactly(claim: Claim, candidate: Candidate, settle: timedelta) -> bool:
    return is_near(claim, candidate, settle) and _has_inputs_of(claim, candidate)


def _has_inputs_of(claim: Claim, candidate: Candidate) -> bool:
    inputs = candidate.inputs
    return inputs is not None and all(inputs.get(name) == value for name, value in claim.inputs.items())


def is_near(claim: Claim, candidate: Candidate, settle: timedelta) -> bool:
    """Tell if model and time allow the candidate to be the claim's. One without a time may be anyone's.

    The window of a live claim has no end yet: its run may have been stopped before it sent anything.
    """
    if candidate.model and short_model(candidate.model) != short_model(claim.model):
        return False
    if candidate.created_at is None:
        return True
    return claim.window_from <= candidate.created_at and (
        claim.is_live or candidate.created_at <= claim.window_to + settle
    )


def _absent_since(claim: Claim, scan: Scan) -> datetime | None:
    """Return the earliest moment to count absence from: a scan before the window's end proves nothing."""
    if claim.absent_since is not None:
        return claim.absent_since
    return scan.ended_at if scan.is_complete and scan.began_at >= claim.window_to else None


def is_same_model(found: str, asked: str) -> bool:
    """Tell if a reply can mean the model that was asked for: replies may leave out the model, or its owner."""
    found, asked = found.strip().lower(), asked.lower()
    return not found or found == asked or ("/" not in found and found == asked.rpartition("/")[2])


def short_model(model: str) -> str:
    """Return a model's name without its owner, which lists may leave out."""
    return model.rpartition("/")[2].strip().lower()
