"""One real take, bought by the main job, for what only the live API can tell. Its replies are kept without secrets."""

import asyncio
import contextlib
import csv
import io
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image, ImageOps

from animatic import storage
from animatic.errors import NeverAgainError, SettingsError, TryLaterError
from animatic.machine.privacy import make_folder
from animatic.takes.models import DEFAULT_MODEL
from animatic.wavespeed.client import WaveSpeedClient, without_key
from animatic.wavespeed.json_values import object_in
from animatic.wavespeed.outcomes import NoReply
from animatic.wavespeed.recordings import Recorder, Recording
from animatic.web.reader import FAILURES, WebReader
from flows.command.commands import RunOptions, run_manifest
from flows.command.doctor.findings import Finding, note, ok
from flows.server.prefect_api import Start
from flows.settings import Settings
from flows.terminal import PlainConsole

MANIFEST, RESULTS, STILL, RECORDINGS = "one-take.csv", "one-take.parquet", "still.jpg", "recordings"
PROMPT = "Slow push in over a calm sea at dawn, light mist, no people. animatic doctor, {day}."
LIST_EVERY_S = 2.0
LISTED_WITHIN_S = 600.0
LISTED_AFTER_RUN_S = 120.0
ASKED_WITHIN_S = 60.0
MOST_OUTPUT_BYTES = 512 << 20
WRONG_KEY = "animatic-doctor-with-a-wrong-key"
_TELLING_HEADERS = {
    "accept-ranges",
    "content-length",
    "content-type",
    "etag",
    "expires",
    "last-modified",
    "cache-control",
}
NO_SUCH_MODEL, NO_SUCH_PREDICTION = "animatic/no-such-model", "0" * 32


@dataclass(frozen=True, slots=True)
class OneTake:
    """One take to buy.

    Attributes:
        folder: gets the still, the manifest, the table, the clip and the recordings.
        max_usd: the most that it may cost.
    """

    folder: Path
    max_usd: float
    sandbox: bool = False
    debug: bool = False

    @property
    def run_options(self) -> RunOptions:
        """The run that buys it."""
        place = (str(self.folder / MANIFEST), str(self.folder / RESULTS))
        return RunOptions(*place, sandbox=self.sandbox, max_usd=self.max_usd, debug=self.debug)


@dataclass(slots=True)
class Seen:
    """Requests and replies of the take, as far as the doctor's answers need them."""

    prediction_id: str = ""
    submitted_at_s: float = 0.0
    upload_url: str = ""
    statuses: list[str] = field(default_factory=list[str])
    polls: int = 0
    result: dict[str, Any] = field(default_factory=dict[str, Any])
    is_submitted: threading.Event = field(default_factory=threading.Event)

    def note(self, call: str, status: int, body: Any) -> None:
        """Take a reply in."""
        data = object_in(object_in(body).get("data"))
        if call == "upload":
            self.upload_url = str(data.get("download_url") or "")
        if call == "submit" and status == 200 and isinstance(data.get("id"), str):
            self.prediction_id, self.submitted_at_s = str(data["id"]), time.monotonic()
            self.is_submitted.set()
        if call == "result" and data.get("id") == self.prediction_id:
            self.polls, self.result = self.polls + 1, data
            if (now := str(data.get("status"))) not in self.statuses:
                self.statuses.append(now)


@dataclass(slots=True)
class Listing:
    """First appearance of the prediction in the account's list: seconds after its submission, and its inputs."""

    after_s: float | None = None
    inputs: Mapping[str, Any] | None = None
    problem: str = ""


class ListWatch:
    """Asks for the account's list, in a thread and a loop of its own, until it shows the prediction."""

    def __init__(self, settings: Settings, recorder: Recorder, seen: Seen) -> None:
        self._settings, self._recorder, self._seen = settings, recorder, seen
        self.listing = Listing()
        self._until_s = float("inf")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to watch, as soon as a take is submitted."""
        self._thread.start()

    def finish(self) -> Listing:
        """Wait for the prediction to show up for a while longer; return what is known."""
        self._until_s = time.monotonic() + LISTED_AFTER_RUN_S
        if self._seen.is_submitted.is_set():
            self._thread.join(LISTED_AFTER_RUN_S + 2 * LIST_EVERY_S)
        return self.listing

    def _run(self) -> None:
        while not self._seen.is_submitted.wait(0.2):
            if time.monotonic() > self._until_s:
                return
        asyncio.run(self._watch())

    async def _watch(self) -> None:
        settings, last = self._settings, self._seen.submitted_at_s + LISTED_WITHIN_S
        async with WaveSpeedClient(
            settings.base_url, settings.require_key(), network=settings.network, wrap=self._recorder.wrap
        ) as client:
            while time.monotonic() < min(self._until_s, last) and self.listing.after_s is None:
                await self._look(client)
                await asyncio.sleep(LIST_EVERY_S)

    async def _look(self, client: WaveSpeedClient) -> None:
        now, day = datetime.now(UTC), timedelta(days=1)
        try:
            page = await client.list_predictions(
                page=1, model=DEFAULT_MODEL, created_after=now - day, created_before=now + day
            )
        except (TryLaterError, NeverAgainError) as error:
            self.listing.problem = str(error)
            return
        for each in page.items:
            if each.id == self._seen.prediction_id:
                self.listing.after_s = time.monotonic() - self._seen.submitted_at_s
                self.listing.inputs = each.inputs


def buy_one(order: OneTake, settings: Settings, console: PlainConsole, start: Start) -> tuple[int, list[Finding]]:
    """Buy one take of a still of our own; return the exit code of the run, and what the API showed.

    The take is named by the day: a second call on that day finds it in the ledger and buys nothing.

    Raises:
        SettingsError: the folder cannot be written to.
        FixInputError: as when running.
    """
    _write_manifest(order.folder)
    seen = Seen()
    recorder = Recorder(partial(without_key, key=settings.require_key()), seen.note)
    watch = ListWatch(settings, recorder, seen)
    watch.start()
    code = run_manifest(order.run_options, console, start, recorder.wrap)
    listing = watch.finish()
    if not seen.prediction_id:
        return code, [note("one take", "nothing was submitted now; one take a day is bought, and its outcome is above")]
    findings = [*_submitted(seen), _listed(listing), *asyncio.run(_asked_after(settings, recorder, seen, order.folder))]
    kept = recorder.about(seen.prediction_id)
    place = order.folder / RECORDINGS
    save(kept, place)
    findings += [_rate_limits(kept), ok("recordings", f"{len(kept)} replies without secrets: {place}")]
    return code, findings


def _write_manifest(folder: Path) -> None:
    """Write a still and a manifest of one row. Raises SettingsError where that cannot be done."""
    prompt = PROMPT.format(day=f"{datetime.now(UTC):%Y-%m-%d}")
    row = io.StringIO(newline="")
    csv.writer(row, lineterminator="\n").writerows([("shot_id", "image", "prompt"), ("one-take", STILL, prompt)])
    try:
        make_folder(folder)
        storage.replace_bytes(str(folder / STILL), _still())
        storage.replace_bytes(str(folder / MANIFEST), row.getvalue().encode())
    except OSError as error:
        raise SettingsError(f"--out {folder}: cannot be written to ({error.strerror}); name another folder") from None


def _still() -> bytes:
    """Return a JPEG of a sea under a sky, 1280 x 720, the same bytes each time."""
    sky = Image.linear_gradient("L").resize((1280, 400))
    sea = Image.linear_gradient("L").rotate(180).resize((1280, 320))
    picture = Image.new("RGB", (1280, 720))
    picture.paste(ImageOps.colorize(sky, "#24435f", "#f3c9a0"), (0, 0))
    picture.paste(ImageOps.colorize(sea, "#16303f", "#c79d86"), (0, 400))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def _submitted(seen: Seen) -> list[Finding]:
    """Return how the prediction went, as its result showed it."""
    result = seen.result
    outputs: Any = result.get("outputs")
    count = len(outputs) if isinstance(outputs, list) else 0
    went = " -> ".join(seen.statuses) or "no result came"
    return [
        ok("result", f"{went}, after {seen.polls:,} polls; fields: {', '.join(sorted(result))}"),
        ok("flags", f"has_nsfw_contents is {result.get('has_nsfw_contents', 'absent')} for {count} outputs"),
        ok(
            "times", f"timings is {result.get('timings', 'absent')}; created_at is {result.get('created_at', 'absent')}"
        ),
    ]


def _listed(listing: Listing) -> Finding:
    """Return how late the list showed the prediction, and whether it echoes inputs."""
    if listing.after_s is None:
        why = listing.problem or f"it did not within {LISTED_AFTER_RUN_S:.0f} s after the end of the run"
        return note("list", f"whether the list shows the prediction is not known: {why}")
    inputs = listing.inputs
    echo = f"echoes its inputs ({', '.join(sorted(inputs))})" if inputs else "does not echo its inputs"
    return ok("list", f"showed the prediction {listing.after_s:.1f} s after its submission, and {echo}")


async def _asked_after(settings: Settings, recorder: Recorder, seen: Seen, folder: Path) -> list[Finding]:
    """Ask what can be asked for nothing once the take is final: bill, uploads, outputs, refusals."""
    key, network = settings.require_key(), settings.network
    async with WaveSpeedClient(settings.base_url, key, network=network, wrap=recorder.wrap) as client:
        findings = [await _bill(client, seen), await _refusal(client)]
        await _suppressed(client.balance_usd())
        await _suppressed(client.result(NO_SUCH_PREDICTION))
        await _suppressed(client.quote(NO_SUCH_MODEL, {}))
    async with WaveSpeedClient(settings.base_url, WRONG_KEY, network=network, wrap=recorder.wrap) as stranger:
        await _suppressed(stranger.balance_usd())
    async with WebReader(settings.base_url, network=network, deadline_s=ASKED_WITHIN_S) as web:
        findings.append(await _file_at(web, "upload", seen.upload_url, (folder / STILL).read_bytes()))
        outputs: Any = seen.result.get("outputs")
        findings += [
            await _file_at(web, "output", str(each)) for each in (outputs if isinstance(outputs, list) else ())
        ]
    return findings


async def _bill(client: WaveSpeedClient, seen: Seen) -> Finding:
    """Return what the account's bill says of the prediction."""
    now, day = datetime.now(UTC), timedelta(days=1)
    try:
        page = await client.list_charges(page=1, start_time=now - day, end_time=now + day)
    except (TryLaterError, NeverAgainError) as error:
        return note("bill", f"cannot be read: {error}")
    ours = [each for each in page.items if each.prediction_id == seen.prediction_id]
    if not ours:
        return note("bill", f"names {len(page.items):,} charges of the last day, and not this one")
    said = (f"{each.billing_type} {each.price_usd} ({each.order_state or 'no state'})" for each in ours)
    return ok("bill", f"names the prediction: {', '.join(said)}")


async def _refusal(client: WaveSpeedClient) -> Finding:
    """Return how a submission to a model that does not exist is refused: nothing can be bought by it."""
    reply = await client.submit(NO_SUCH_MODEL, {"prompt": "a refusal"})
    if isinstance(reply, NoReply):
        return note("refusals", f"a submission to no model had no reply: {reply.why}")
    return ok("refusals", f"a submission to no model is answered HTTP {reply.status}")


async def _suppressed(asked: Coroutine[Any, Any, object]) -> None:
    """Await a call for its recording alone."""
    with contextlib.suppress(TryLaterError, NeverAgainError):
        await asked


async def _file_at(web: WebReader, what: str, url: str, expected: bytes = b"") -> Finding:
    """Return whether a file can be fetched without the key, and what its server says of it."""
    if not url:
        return note(what, "there is no URL to ask")
    host, size, digest = urlsplit(url).hostname, 0, sha256()
    try:
        async with web.open(url) as page:
            async for chunk in page.chunks:
                size += len(chunk)
                digest.update(chunk)
                if size > MOST_OUTPUT_BYTES:
                    break
            named = {name.lower() for name in page.headers}
    except FAILURES as error:
        return note(what, f"cannot be fetched from {host}: {type(error).__name__}")
    same = (
        "" if not expected else "; the same bytes" if digest.digest() == sha256(expected).digest() else "; other bytes"
    )
    headers = ", ".join(sorted(named & _TELLING_HEADERS)) or "none that matter"
    signed = "signed" if urlsplit(url).query else "no signature"
    return ok(what, f"HTTP {page.status} from {host}, {size:,} bytes{same}; {signed} in its URL; headers: {headers}")


def _rate_limits(recordings: Sequence[Recording]) -> Finding:
    """Return which headers of the replies speak of limits."""
    found = {name for each in recordings for name in each.reply["headers"] if "limit" in name or "retry" in name}
    return ok("limits", f"headers of replies that speak of limits: {', '.join(sorted(found)) or 'none'}")


def save(recordings: Sequence[Recording], folder: Path) -> None:
    """Write recordings into a folder of their own, one file each, in order; those of an earlier day are replaced."""
    for old in folder.glob("*.json"):
        old.unlink()
    for number, each in enumerate(recordings, 1):
        storage.replace_bytes(str(folder / f"{number:03}-{each.call}.json"), each.as_json().encode())
