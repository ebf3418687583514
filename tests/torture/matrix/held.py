"""Takes that never come: given up, forgotten, of another account, with a still that is gone; and ledgers of before."""

from collections import Counter
from typing import Any

import httpx
from asked import takes_in
from PIL import Image

from animatic import storage
from animatic.ledger import open_ledger
from animatic.ledger.location import noted_intents
from animatic.ledger.records import HeldFor
from animatic.pace.limits import Limits
from animatic.planning.lookup import find_open
from animatic.planning.manifests import ManifestFile
from animatic.takes.states import BuyingPolicy
from torture.matrix.disk import refusal
from torture.matrix.lies import RESULT, SUBMIT, Liar, prediction_of, reply
from torture.matrix.stage import PROVIDER, Setup, case, stats_of
from torture.steps import GIVE_UP_S
from torture.subject import run_subject, write_manifest

RETRY = BuyingPolicy(retry_failed=True)


@case("status", "a take that is not final for too long", "held, its slot is free, and it completes by itself later")
async def _given_up(setup: Setup) -> bool:
    looks: Counter[str] = Counter()
    give_up_s, floor_s = 0.4, 0.05

    def still_processing(request: httpx.Request, reported: dict[str, Any]) -> dict[str, Any] | None:
        looks[asked := prediction_of(request)] += 1
        is_slow = asked == setup.accepted[0].id and looks[asked] <= give_up_s / floor_s + 2  # no more fit into the time
        return reported | {"data": reported["data"] | {"status": "processing", "outputs": []}} if is_slow else None

    async with setup.sandbox():
        takes = setup.takes("slow", "two", "three")
        one_slot: dict[str, Any] = {"limits": Limits(1_000, 1), "queued_ahead": 0}
        one_slot |= {"give_up_s": give_up_s, "poll_floor_s": floor_s, "take_deadline_s": 3_600.0}
        first = Liar(after={RESULT: still_processing})
        ran = await setup.run(takes, client={"transport": first}, polled_after_s=GIVE_UP_S, **one_slot)
        assert ran.error is None
        assert [each.inputs["prompt"] for each in setup.accepted] == ["slow", "two", "three"]
        assert await setup.states(takes) == ["held", "completed", "completed"]
        (record, *_) = await setup.records(takes)
        assert record is not None
        assert record.held_for == HeldFor.STUCK
        assert "--abandon" in (record.error or "")
        looks.clear()
        liar = Liar(after={RESULT: still_processing})
        await setup.run(takes, client={"transport": liar}, **one_slot)
        assert looks[setup.accepted[0].id] == 1, "it is polled once by each later run"
        assert await setup.states(takes) == ["held", "completed", "completed"]
        settled = await setup.run(takes, give_up_s=give_up_s)
        assert await setup.states(takes) == ["completed"] * 3
        assert settled.progress.submissions == 0
        assert set(setup.bought.values()) == {1}
        return liar.lied[RESULT] == 1


@case("status", "a prediction of another account", "held, polled once a run; given up by hand, it may be retried")
async def _of_another_account(setup: Setup) -> bool:
    looks: Counter[str] = Counter()

    def not_ours(request: httpx.Request) -> httpx.Response | None:
        looks[prediction_of(request)] += 1
        is_first = prediction_of(request) == setup.accepted[0].id
        return reply(404, {"code": 404, "message": "prediction not found", "data": None}) if is_first else None

    async with setup.sandbox():
        takes = setup.takes("theirs now", "two")
        liar = Liar(before={RESULT: not_ours})
        reported = {"client": {"transport": liar}, "not_found_grace_s": 0.3}
        await setup.run(takes, limits=Limits(1_000, 1), queued_ahead=0, **reported)
        assert await setup.states(takes) == ["held", "completed"]
        first = setup.accepted[0].id
        for _ in range(2):
            looks.clear()
            assert (await setup.run(takes, policy=RETRY, **reported)).progress.submissions == 0
            assert looks[first] == 1, f"polled {looks[first]} times by a later run"
            (record, _) = await setup.records(takes)
            assert record is not None
            assert (record.state.value, record.held_for) == ("held", HeldFor.LOST)
        with open_ledger(setup.ledger.url) as opened:
            await opened.settle_by_hand(PROVIDER, [], [], [takes[0].fingerprint[:12]])
        assert (await setup.run(takes, **reported)).progress.submissions == 0
        assert await setup.states(takes) == ["failed", "completed"]
        assert (await setup.run(takes, policy=RETRY, **reported)).progress.submissions == 1
        assert await setup.states(takes) == ["completed", "completed"]
        assert setup.bought == {"theirs now": 2, "two": 1}
        return liar.lied[RESULT] >= 3


@case("input", "an uploaded still is gone", "forgotten; uploaded again, and bought again only with --retry-failed")
async def _dead_upload(setup: Setup) -> bool:
    Image.new("RGB", (1_280, 720), "teal").save(setup.folder / "still.png")
    manifest = setup.folder / "shots.csv"
    manifest.write_text("image,prompt\nstill.png,one\n")
    async with setup.sandbox():
        takes = list(takes_in(ManifestFile(str(manifest), PROVIDER).load()))

        def lose_the_still(_: httpx.Request) -> None:
            (still,) = (setup.folder / "sandbox" / "uploads").iterdir()
            still.rename(away)

        away, liar = setup.folder / "away.png", Liar(before={SUBMIT: lose_the_still})
        await setup.run(takes, client={"transport": liar})
        url = setup.accepted[0].inputs["image"]
        away.rename(
            setup.folder / "sandbox" / "uploads" / url.rpartition("/")[2]
        )  # there for other requests, not for these
        (record,) = await setup.records(takes)
        assert record is not None
        assert (record.state.value, record.error_code) == ("failed", 1402)
        assert (await stats_of(setup))["uploads"] == 1
        assert (await setup.run(takes)).progress.submissions == 0
        assert (await stats_of(setup))["uploads"] == 1
        assert (await setup.run(takes, policy=RETRY)).progress.submissions == 1
        assert await setup.states(takes) == ["completed"]
        assert (await stats_of(setup))["uploads"] == 2, "the dead URL was sent again"
        return liar.asked[SUBMIT] == 1 and len(setup.accepted) == 2


@case("disk", "a ledger restored from a backup", "refused beside its runs folder, until it is declared complete")
async def _restored(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("one", "two", "three")
        await setup.run(takes[:1])
        backup = setup.ledger.save()
        await setup.run(takes[:2])
        setup.ledger.restore(backup)
        said = await refusal(setup)
        assert "restored from a backup" in said, said
        assert "animatic ledger accept" in said
        assert setup.bought == {"one": 1, "two": 1}
        setup.foreign |= {each.id for each in setup.accepted if each.inputs["prompt"] == "two"}  # not in the backup
        with open_ledger(setup.ledger.url, may_be_restored=True) as opened:
            missing = await opened.declare_complete(noted_intents(setup.ledger.path))
        assert missing == 1
        assert not await refusal(setup)
        await setup.run([takes[0], takes[2]])
        assert setup.bought == {"one": 1, "two": 1, "three": 1}
        return True


@case("input", "a take whose row was taken out of the manifest", "what a dead run left open of it is still told")
async def _taken_out(setup: Setup) -> bool:
    where = write_manifest(setup.folder / "subject", ["[sandbox:reset-before] one", "two"])
    ledger = where.ledger.url
    async with setup.sandbox():
        await run_subject(where, setup.url, "run-1")
        gone = next(iter(takes_in(ManifestFile(str(where.manifest), PROVIDER).load())))
        (where.folder / "shots.csv").write_text("image,prompt\nhttps://stills.example/1.png,two\n")
        assert await run_subject(where, setup.url, "run-2") == 0
        manifest = ManifestFile(str(where.manifest), PROVIDER).load()
        with open_ledger(ledger) as opened:
            uri = storage.absolute_uri(str(where.manifest))
            dropped, elsewhere = await find_open(opened, manifest, uri, ledger)
        assert [each.fingerprint for each in dropped] == [gone.fingerprint], (dropped, elsewhere)
        assert not elsewhere
    return dropped[0].state in {"unknown", "held"} and len(setup.accepted) == 1
