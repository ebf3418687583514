"""Acts of the runs that are killed at every line: several, so that the lines of rare cases are executed too.

An act is a manifest, what an earlier run may have left behind, and a run. Every act ends the same way: a run recovers,
one more must buy nothing, and the witness is asked.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from asked import takes_in

from animatic.buying.shoot import Shoot
from animatic.errors import AnimaticError
from animatic.ledger import Ledger, LedgerRun, liveness, open_ledger
from animatic.ledger.receipts import SLOT_BYTES, Receipt, Receipts, encode
from animatic.ledger.schema import ATTEMPT
from animatic.pace.limits import Limits
from animatic.planning.config import RunConfig
from animatic.planning.manifests import ManifestFile
from animatic.progress import Progress
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.shots import Take
from animatic.takes.states import Accepted, State
from animatic.wavespeed.client import WaveSpeedClient
from animatic.wavespeed.outcomes import classify
from animatic.wavespeed.replies import Reply
from torture.canary import KEY
from torture.steps import quotes
from torture.subject import PROVIDER, Setup, run_subject

NOBODY = "http://127.0.0.1:9"

Work = Callable[[Setup, str, str], Awaitable[object]]


@dataclass(frozen=True)
class Act:
    """One act.

    Attributes:
        prompts: one row each.
        prepare: what there was before, given the setup and the sandbox's URL.
        work: the run that is killed, given the setup, the URL and a run id.
    """

    prompts: tuple[str, ...]
    prepare: Callable[[Setup, str], Awaitable[None]] | None = None
    work: Work = run_subject


@dataclass
class _Earlier:
    """An earlier run that died with something on its way."""

    setup: Setup
    opened: Ledger
    client: WaveSpeedClient
    shoot: Shoot
    receipts: dict[int, bytes] = field(default_factory=dict[int, bytes])
    first_body: bytes = b""

    async def intend(self, take: Take) -> tuple[int, str]:
        intent = self.shoot._requests.intent(take)
        return (await self.opened.intend(intent)).attempt_id, intent.nonce

    async def send(self, take: Take) -> Reply:
        """Really submit it."""
        reply = await self.client.submit(take.shot.model, self.shoot._requests.inputs(take))
        assert isinstance(reply, Reply), reply
        return reply

    async def leave(self, take: Take, fate: str) -> None:
        attempt_id, nonce = await self.intend(take)
        match fate:
            case "submitted":
                await self._accept(attempt_id, await self.send(take))
            case "reply in the receipts":
                reply = await self.send(take)
                self.first_body = self.first_body or reply.body
                self.receipts[len(self.receipts)] = encode(Receipt(attempt_id, nonce, reply.status, reply.body))
            case "the first one's reply in the receipts":
                await self.send(take)
                self.receipts[len(self.receipts)] = encode(Receipt(attempt_id, nonce, 200, self.first_body))
            case "refusal in the receipts":
                refusal = b'{"code":400,"message":"no","data":null}'
                self.receipts[len(self.receipts)] = encode(Receipt(attempt_id, nonce, 400, refusal))
            case "sent, and no reply":
                await self.send(take)
            case "too old":
                await self._unknown(attempt_id, datetime(2020, 1, 1), None)  # noqa: DTZ001 - as the ledger keeps it
            case "absent once":
                await self._unknown(attempt_id, None, timedelta(days=1))
            case "unknown":
                await self._unknown(attempt_id, None, None)
            case "unknown, and sent":
                await self.send(take)
                await self._unknown(attempt_id, None, None)
            case _:
                assert fate == "never sent"

    async def _accept(self, attempt_id: int, reply: Reply) -> None:
        accepted = classify(reply)
        assert isinstance(accepted, Accepted), accepted
        await self.opened.accept(attempt_id, accepted)

    async def _unknown(self, attempt_id: int, window: datetime | None, seen_absent: timedelta | None) -> None:
        latest = self.client.clock.latest()
        await self.opened.conclude(attempt_id, State.UNKNOWN, None, "no answer", latest)
        await self.opened.transactions.do(0.0, _date_back, attempt_id, window, seen_absent)


def _date_back(db: sa.Connection, attempt_id: int, window: datetime | None, seen_absent: timedelta | None) -> None:
    """Put the window of an attempt, or when it was seen to be absent, into the past."""
    row = db.execute(sa.select(ATTEMPT.c.window_from, ATTEMPT.c.window_to).where(_is(attempt_id))).one()
    values: dict[str, datetime] = {}
    if window is not None:
        values = {"window_from": window, "window_to": window}
    if seen_absent is not None:
        earlier = timedelta(days=2)
        values = {"window_from": row.window_from - earlier, "window_to": row.window_to - earlier}
        values["absent_since"] = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - seen_absent
    if values:
        db.execute(ATTEMPT.update().where(_is(attempt_id)).values(values))


def _is(attempt_id: int) -> sa.ColumnElement[bool]:
    return ATTEMPT.c.attempt_id == attempt_id


def _aftermath(*fates: str) -> Callable[[Setup, str], Awaitable[None]]:
    """Leave behind what a run does that dies with these fates for its takes, in order."""

    async def leave(setup: Setup, url: str) -> None:
        takes = list(takes_in(ManifestFile(str(setup.manifest), PROVIDER).load()))
        with contextlib.ExitStack() as stack:
            opened = stack.enter_context(open_ledger(setup.ledger.url, waits_for_company=False))
            receipts = stack.enter_context(liveness.alive(setup.ledger.path, "unused"))
            async with WaveSpeedClient(url, KEY) as client:
                await client.learn_time()
                run = LedgerRun(opened, "dead", receipts)
                shoot = Shoot(RunConfig("dead", PROVIDER, Limits(60, 9), 1.0, 9.0), client, run, Progress())
                await opened.begin_run("dead", "shots.csv", "here", 1)
                earlier = _Earlier(setup, opened, client, shoot)
                for take, fate in zip(takes, fates, strict=True):
                    await earlier.leave(take, fate)
        _write_receipts(setup, list(earlier.receipts.values()))

    return leave


def _write_receipts(setup: Setup, records: Sequence[bytes]) -> None:
    file = Receipts(setup.ledger.runs / "dead.receipts", entries=max(len(records), 1))
    file.put(list(enumerate(records)))
    data = file.path.read_bytes()
    file.close()  # which removes it: nothing is owed in its eyes
    file.path.write_bytes(data.ljust(SLOT_BYTES, b"\0"))


async def _away(setup: Setup, _: str, run_id: str) -> None:
    """A run while the API cannot be reached."""
    with contextlib.suppress(AnimaticError):
        await run_subject(setup, NOBODY, run_id)


async def _impatient(setup: Setup, url: str, run_id: str) -> None:
    await run_subject(setup, url, run_id, take_deadline_s=0.2)


async def _on_a_budget(setup: Setup, url: str, run_id: str) -> None:
    await run_subject(setup, url, run_id, max_microusd=2_500_000, quotes=quotes())


async def _gives_up(setup: Setup, url: str, run_id: str = "patient") -> None:
    """A run that holds what is not final soon."""
    await run_subject(setup, url, run_id, give_up_s=0.2)


async def _had_given_up(setup: Setup, url: str) -> None:
    await _gives_up(setup, url)
    await asyncio.sleep(0.6)


async def _give_up_by_hand(setup: Setup, _: str, __: str) -> None:
    (take,) = takes_in(ManifestFile(str(setup.manifest), PROVIDER).load())
    with open_ledger(setup.ledger.url, waits_for_company=False) as opened:
        await opened.settle_by_hand(PROVIDER, (), (), [take.fingerprint[:12]])


async def _long_before(setup: Setup, url: str) -> None:
    """A take that the list shows, and one that it did not show a day ago."""
    await _aftermath("submitted", "absent once")(setup, url)
    await asyncio.sleep(1.1)  # `Date` has whole seconds: by then what was submitted is in the past


async def _with_no_settling_time(setup: Setup, url: str, run_id: str) -> None:
    await run_subject(setup, url, run_id, settle_s=0.0)


async def _settle_by_hand(setup: Setup, url: str, run_id: str) -> None:
    """Decide by hand on two takes, of which the first was bought."""
    first, second = takes_in(ManifestFile(str(setup.manifest), PROVIDER).load())
    prediction_id = (setup.folder / "id.txt").read_text()
    with open_ledger(setup.ledger.url, waits_for_company=False) as opened:
        await opened.settle_by_hand(PROVIDER, [(first.fingerprint[:12], prediction_id)], [])
        await opened.settle_by_hand(PROVIDER, [], [second.fingerprint])
        await opened.open_takes(PROVIDER)
        await opened.orphans(PROVIDER)


async def _before_the_hand(setup: Setup, url: str) -> None:
    await _aftermath("unknown, and sent", "unknown")(setup, url)
    window = takes_in(ManifestFile(str(setup.manifest), PROVIDER).load())
    async with WaveSpeedClient(url, KEY) as client:
        now = await client.latest_time()
        page = await client.list_predictions(
            page=1, model=DEFAULT_MODEL, created_after=now.replace(year=2020), created_before=now
        )
    prompt = next(iter(window)).shot.inputs["prompt"]
    found = next(each.id for each in page.items if (each.inputs or {}).get("prompt") == prompt)
    (setup.folder / "id.txt").write_text(found)


ACTS: dict[str, Act] = {
    "an ordinary run": Act(("push in", "[sandbox:fails] pan left", "[sandbox:lost-reply] tilt up")),
    "after a death": Act(
        ("a", "b", "c", "d", "e", "f", "g"),
        _aftermath(
            "submitted", "reply in the receipts", "refusal in the receipts", "sent, and no reply", "never sent",
            "too old", "absent once",
        ),
    ),
    "trouble": Act(
        ("[sandbox:rejects] a", "[sandbox:server-error] b", "[sandbox:not-found=0.2] c", "[sandbox:bad-id] d",
         "[sandbox:flaps=processing,created,completed] e", "[sandbox:unavailable=1] f", "[sandbox:empty] g",
         "[sandbox:not-found=600] h"),
    ),
    "one id for two": Act(
        ("a", "b"), _aftermath("reply in the receipts", "the first one's reply in the receipts")
    ),
    "no money": Act(("[sandbox:unpaid] a",)),
    "away": Act(("a",), work=_away),
    "a budget": Act(("a", "b"), work=_on_a_budget),
    "impatient": Act(("[sandbox:slow=0.5] a",), work=_impatient),
    "by hand": Act(("a", "b"), _before_the_hand, _settle_by_hand),
    "busy": Act(("[sandbox:busy=1] a",)),
    "proven absent": Act(("a", "b"), _long_before, _with_no_settling_time),
    "given up": Act(("[sandbox:slow=0.6] a", "[sandbox:slow=0.8] b"), work=_gives_up),
    "polled once more": Act(("[sandbox:stuck] a", "[sandbox:slow=0.6] b", "[sandbox:not-found=600] c"), _had_given_up),
    "given up by hand": Act(("[sandbox:slow=0.8] a",), _gives_up, _give_up_by_hand),
}  # fmt: skip
"""In the order in which lines are looked for: a line belongs to the first act that executes it."""
