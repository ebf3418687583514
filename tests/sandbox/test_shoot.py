"""A whole shoot: every take is bought once, seen through, and never bought again."""

import asyncio
import io
import json
from collections import Counter
from typing import Any

import pytest
from PIL import Image

from animatic.buying.ends import TakeLog
from animatic.errors import FileRefusedError, LedgerUnusableError, LocationError
from animatic.pace.limits import Limits
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.money.amounts import as_number
from animatic.takes.states import BuyingPolicy, State
from animatic.takes.stills import LocalFile


async def test_every_take_is_bought_once_and_a_second_run_buys_nothing(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes(*(f"push in {number}" for number in range(20)), count=2)
    first = await studio.run(takes)
    assert first.error is None
    assert await studio.states(takes) == {"completed": 40}
    assert studio.bought == dict.fromkeys((take.shot.inputs["prompt"] for take in takes), 2)
    progress = first.progress
    assert (progress.submissions, as_number(progress.reserved.cost_microusd), progress.in_flight) == (40, 100.0, 0)
    assert progress.by_state() == Counter({State.COMPLETED: 40})
    before = await studio.stats()

    second = await studio.run(takes)
    assert (second.error, second.progress.submissions, second.lines) == (None, 0, [])
    assert len(studio.accepted) == 40
    assert (await studio.stats())["polls"] == before["polls"]


async def test_the_ledger_holds_what_the_api_gave(studio: Any) -> None:
    await studio.open_sandbox(inference_s=0.12)
    takes = studio.takes("push in", "[sandbox:nsfw] pan left")
    run = await studio.run(takes)
    records = await studio.records(takes)
    accepted = {each.inputs["prompt"]: each for each in studio.accepted}
    for prompt, each in accepted.items():
        record = records[f"{prompt}/1"]
        assert record.prediction_id == each.id
        assert record.outputs == (f"{studio.sandbox.url}/outputs/{each.id}/1.mp4",)
        assert (record.inference_ms, record.attempts, record.cost_microusd) == (120, 1, 2_500_000)
        assert record.polls >= 1
        assert record.created_at <= record.completed_at
        assert each.model == DEFAULT_MODEL
    assert records["push in/1"].has_nsfw_contents == (False,)
    assert records["[sandbox:nsfw] pan left/1"].has_nsfw_contents == (True,)
    assert run.progress.flagged == 1
    assert f"s1 take 1: submitted as {accepted['push in'].id}" in run.lines
    assert "s2 take 1: completed, flagged NSFW" in run.lines


async def test_a_local_still_is_sent_as_its_upload(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("push in", still="sha256:" + "0" * 64, image="a.png")
    run = await studio.begin()
    still = io.BytesIO()
    Image.new("RGB", (64, 36)).save(still, "PNG")
    url = await run.shoot._client.upload("a.png", still.getvalue(), "image/png")
    run.shoot.know_uploads(dict.fromkeys(takes[0].shot.paths, url))
    await run.see_through(takes)
    assert [each.inputs["image"] for each in studio.accepted] == [url]
    (identity,) = takes[0].shot.paths
    assert studio.rows("SELECT uploads, state FROM attempt") == [(json.dumps({identity: url}), "completed")]


async def test_a_still_that_turns_out_to_be_needed_is_uploaded_once(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("push in", still="sha256:" + "0" * 64, image="a.png", count=2)
    run = await studio.begin()
    uploads: list[str] = []

    async def upload(file: LocalFile) -> str:
        uploads.append(file.path)
        await asyncio.sleep(0.05)
        return "https://stills.example/uploaded.png"

    run.shoot._requests._upload = upload
    await run.see_through(takes)
    assert (run.error, uploads) == (None, ["a.png"])
    assert [each.inputs["image"] for each in studio.accepted] == ["https://stills.example/uploaded.png"] * 2


async def test_a_still_that_the_api_refuses_rejects_its_takes_and_no_others(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("push in", still="sha256:" + "0" * 64, image="a.png") + studio.takes("pan left")
    run = await studio.begin()

    async def upload(file: LocalFile) -> str:
        raise FileRefusedError(f"still {file.path} of shot {file.shot_id}: no image", 400)

    run.shoot._requests._upload = upload
    await run.see_through(takes)
    assert (run.error, run.shoot.stop_signal.reason) == (None, None)
    assert [each.inputs["prompt"] for each in studio.accepted] == ["pan left"]
    ends = studio.rows("SELECT state, error_code, error FROM attempt ORDER BY attempt_id")
    assert ("rejected", 400, "still a.png of shot s1: no image") in ends
    assert run.progress.reserved.cost_microusd == 2_500_000


async def test_a_still_that_cannot_be_sent_stops_buying_with_its_reason(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("push in", still="sha256:" + "0" * 64, image="a.png")
    run = await studio.begin()

    async def upload(_: Any) -> str:
        raise LocationError("still a.png: it changed while the run was planned; run again")

    run.shoot._requests._upload = upload
    await run.see_through(takes)
    assert (run.error, studio.accepted) == (None, [])
    assert "it changed" in run.shoot.stop_signal.reason


ENDS = {
    "ok": "completed",
    "nsfw": "completed",
    "mismatch": "completed",
    "mismatch=3": "completed",
    "unknown-status": "completed",
    "not-found=0.4": "completed",
    "unavailable=2": "completed",
    "poll-busy=2": "completed",
    "garbage=2": "completed",
    "null-data=2": "completed",
    "code-500-in-200=2": "completed",
    "drip=1": "completed",
    "huge=1": "completed",
    "foreign-get": "completed",
    "fails": "failed",
    "moderated": "failed",
    "unreachable": "failed",
    "empty": "failed",
    "cancelled": "failed",
    "timeout": "failed",
    "deleted": "failed",
    "stuck": "submitted",
    "unknown-status=forever": "submitted",
    "unavailable": "submitted",
    "bad-types": "submitted",
    "nan": "completed",
    "lost-reply": "unknown",
    "server-error-billed": "unknown",
    "bad-id": "unknown",
    "garbage=submit": "unknown",
    "null-data=submit": "unknown",
    "code-500-in-200=submit": "completed",
    "drip=submit": "unknown",
    "huge=submit": "unknown",
    "bad-types=submit": "completed",
    "nan=submit": "completed",
}
NOT_ACCEPTED = {"server-error": "unknown", "reset-before": "unknown", "redirect": "unknown", "rejects": "rejected"}


def posts(stats: dict[str, Any]) -> dict[str, int]:
    """Return the sandbox's count of submissions, accepted or not."""
    return {name: stats.get(name, 0) for name in ("accepted", *(f"refused_{scenario}" for scenario in NOT_ACCEPTED))}


async def test_each_take_is_bought_at_most_once_whatever_the_api_does(studio: Any) -> None:
    await studio.open_sandbox()
    prompts = {f"[sandbox:{name}]": state for name, state in (ENDS | NOT_ACCEPTED).items()}
    takes = studio.takes(*prompts)
    client = {"submit_deadline_s": 1.0, "read_deadline_s": 0.5}
    first = await studio.run(takes, client=client, take_deadline_s=3.0)
    assert first.error is None
    found = {name.removesuffix("/1"): record.state.value for name, record in (await studio.records(takes)).items()}
    assert found == prompts
    assert studio.bought == {f"[sandbox:{name}]": 1 for name in ENDS}
    sent = posts(await studio.stats())

    second = await studio.run(takes, client=client, take_deadline_s=0.2)
    assert (second.error, second.progress.submissions) == (None, 0)
    assert posts(await studio.stats()) == sent
    for record in (await studio.records(takes)).values():
        assert record.error or record.state is State.COMPLETED


async def test_the_reason_why_a_take_is_not_completed_is_always_shown(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:fails=5003]", "[sandbox:empty]", "[sandbox:rejects]", "[sandbox:lost-reply]")
    await studio.run(takes)
    reported = {name: (record.error_code, record.error) for name, record in (await studio.records(takes)).items()}
    assert reported["[sandbox:fails=5003]/1"] == (5003, "sandbox: the model failed on its side")
    assert reported["[sandbox:empty]/1"] == (None, "completed without outputs")
    assert reported["[sandbox:rejects]/1"][0] == 400
    assert "these inputs are refused" in reported["[sandbox:rejects]/1"][1]
    assert "the connection broke before the answer" in reported["[sandbox:lost-reply]/1"][1]


@pytest.mark.parametrize("policy", [BuyingPolicy(), BuyingPolicy(retry_failed=True, attempts=5)])
async def test_a_lost_reply_is_never_sent_again_by_any_run(studio: Any, policy: BuyingPolicy) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:lost-reply]", "[sandbox:reset-before]", "[sandbox:server-error-billed]")
    for _ in range(3):
        run = await studio.run(takes, policy=policy)
        assert run.error is None
    assert await studio.states(takes) == {"unknown": 3}
    assert studio.bought == {"[sandbox:lost-reply]": 1, "[sandbox:server-error-billed]": 1}
    assert studio.rows("SELECT count(*) FROM attempt") == [(3,)]
    assert (await studio.stats())["refused_reset-before"] == 1


async def test_a_failure_of_their_own_is_bought_again_up_to_attempts(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:fails]", "[sandbox:fails=5004]", "[sandbox:fails=5001]", "[sandbox:moderated]")
    run = await studio.run(takes, policy=BuyingPolicy(attempts=3))
    assert studio.bought == {
        "[sandbox:fails]": 3,
        "[sandbox:fails=5004]": 3,
        "[sandbox:fails=5001]": 1,
        "[sandbox:moderated]": 1,
    }
    assert await studio.states(takes) == {"failed": 4}
    assert as_number(run.progress.reserved.cost_microusd) == 20.0
    record = (await studio.records(takes))["[sandbox:fails]/1"]
    assert (record.attempts, record.cost_microusd) == (3, 7_500_000)
    again = await studio.run(takes, policy=BuyingPolicy(attempts=3))
    assert again.progress.submissions == 0


async def test_a_take_that_succeeds_is_not_bought_again(studio: Any) -> None:
    await studio.open_sandbox(scenario_of={1: "fails"})
    takes = studio.takes("push in")
    await studio.run(takes, policy=BuyingPolicy(attempts=5))
    assert studio.bought == {"push in": 2}
    assert studio.rows("SELECT attempt_no, state, allowed_by FROM attempt") == [
        (1, "failed", "plan"),
        (2, "completed", "attempts"),
    ]


async def test_retry_failed_buys_what_an_earlier_run_left_failed_or_rejected_once(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:moderated]", "[sandbox:rejects]", "push in")
    await studio.run(takes)
    await studio.run(takes)
    assert (studio.bought["[sandbox:moderated]"], (await studio.stats())["refused_rejects"]) == (1, 1)
    run = await studio.run(takes, policy=BuyingPolicy(retry_failed=True))
    assert (studio.bought["[sandbox:moderated]"], (await studio.stats())["refused_rejects"]) == (2, 2)
    assert studio.bought["push in"] == 1
    assert run.progress.submissions == 1
    assert set(studio.rows("SELECT run_id, allowed_by, state FROM attempt WHERE attempt_no = 2")) == {
        ("run-3", "retry-failed", "failed"),
        ("run-3", "retry-failed", "rejected"),
    }


async def test_a_busy_api_is_waited_for_without_a_second_purchase(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:busy=1]", "push in")
    run = await studio.run(takes)
    assert await studio.states(takes) == {"completed": 2}
    assert studio.bought == {"[sandbox:busy=1]": 1, "push in": 1}
    assert (await studio.stats())["refused_busy"] == 1
    assert studio.rows("SELECT attempt_no FROM attempt") == [(1,), (1,)]
    assert (run.progress.submissions, as_number(run.progress.reserved.cost_microusd)) == (2, 5.0)
    assert any(line.startswith("s1 take 1: submit: WaveSpeed answered 429") for line in run.lines)
    assert studio.rows("SELECT committed_microusd FROM run") == [(5_000_000,)]


@pytest.mark.parametrize(
    ("scenario", "code"), [("unpaid", "403"), ("payment-required", "402"), ("unauthorised", "401")]
)
async def test_a_refused_account_stops_buying_until_the_next_run(studio: Any, scenario: str, code: str) -> None:
    await studio.open_sandbox(scenario_of={3: scenario})
    takes = studio.takes(*(f"push in {number}" for number in range(6)))
    run = await studio.run(takes, limits=Limits(1_000, 1), queued_ahead=0)
    assert run.error is None
    assert code in run.shoot.stop_signal.reason
    assert (len(studio.accepted), await studio.states(takes)) == (2, {"completed": 2, "unsent": 1})
    assert studio.rows("SELECT committed_microusd FROM run") == [(5_000_000,)]
    await studio.run(takes)
    assert studio.bought == dict.fromkeys((take.shot.inputs["prompt"] for take in takes), 1)
    assert await studio.states(takes) == {"completed": 6}


async def test_what_is_in_flight_when_the_account_is_refused_is_still_watched(studio: Any) -> None:
    await studio.open_sandbox(scenario_of={3: "unpaid"}, inference_s=0.6)
    takes = studio.takes(*(f"push in {number}" for number in range(8)))
    await studio.run(takes, limits=Limits(1_000, 3))
    states = await studio.states(takes)
    assert (states["completed"], states["submitted"]) == (len(studio.accepted), 0)


async def test_a_key_that_is_refused_while_watching_leaves_everything_submitted(studio: Any) -> None:
    first = await studio.open_sandbox(inference_s=30.0)
    takes = studio.takes("push in", "pan left")
    run = await studio.begin()
    task = asyncio.create_task(run.see_through(takes))
    await studio.until_accepted(2)
    run.shoot._client._headers["Authorization"] = "Bearer revoked"
    await asyncio.wait_for(task, 10)
    assert run.error is None
    assert await studio.states(takes) == {"submitted": 2}
    assert "401" in run.shoot.stop_signal.reason
    assert first.url


async def test_a_take_past_the_deadline_is_resumed_by_the_next_run(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("[sandbox:slow=1.5]", "[sandbox:stuck]", "push in")
    await studio.run(takes, take_deadline_s=0.5)
    records = await studio.records(takes)
    assert {name: record.state.value for name, record in records.items()} == {
        "[sandbox:slow=1.5]/1": "submitted",
        "[sandbox:stuck]/1": "submitted",
        "push in/1": "completed",
    }
    assert "the next run polls again" in records["[sandbox:stuck]/1"].error
    assert records["[sandbox:stuck]/1"].prediction_status == "processing"
    polls = records["[sandbox:slow=1.5]/1"].polls

    run = await studio.run(takes, take_deadline_s=2.0)
    records = await studio.records(takes)
    assert (run.progress.submissions, len(studio.accepted)) == (0, 3)
    assert records["[sandbox:slow=1.5]/1"].state is State.COMPLETED
    assert records["[sandbox:slow=1.5]/1"].polls > polls
    assert records["[sandbox:slow=1.5]/1"].run_id == "run-1"
    assert records["[sandbox:stuck]/1"].state is State.SUBMITTED


async def test_the_budget_stops_buying_to_the_cent(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes(*(f"push in {number}" for number in range(9)))
    run = await studio.run(takes, max_usd=10.0)
    assert run.error is None
    assert "($2.50) would exceed the limit of $10.00; raise --max-usd" in run.shoot.stop_signal.reason
    assert (len(studio.accepted), as_number(run.progress.reserved.cost_microusd)) == (4, 10.0)
    assert await studio.states(takes) == {"completed": 4}
    await studio.run(takes, max_usd=12.5)
    assert await studio.states(takes) == {"completed": 9}
    assert set(studio.bought.values()) == {1}


async def test_a_retry_is_paid_from_the_same_budget(studio: Any) -> None:
    await studio.open_sandbox()
    await studio.run(studio.takes("[sandbox:fails]"), max_usd=5.0, policy=BuyingPolicy(attempts=4))
    assert len(studio.accepted) == 2


async def test_takes_in_flight_at_a_stop_are_finished_by_the_next_run(studio: Any) -> None:
    await studio.open_sandbox(inference_s=1.0)
    takes = studio.takes(*(f"push in {number}" for number in range(6)))
    run = await studio.begin(limits=Limits(1_000, 3))
    task = asyncio.create_task(run.see_through(takes))
    await studio.until_accepted(3)
    run.shoot.stop_signal.stop_all("interrupted")
    await asyncio.wait_for(task, 5)
    assert run.error is None
    assert (await studio.states(takes), len(studio.accepted)) == ({"submitted": 3}, 3)
    assert run.progress.in_flight == 0
    await studio.run(takes)
    assert await studio.states(takes) == {"completed": 6}
    assert set(studio.bought.values()) == {1}


async def test_two_runs_on_one_ledger_never_buy_the_same_take(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes(*(f"push in {number}" for number in range(25)))
    runs = [await studio.begin() for _ in range(3)]
    await asyncio.gather(*(run.see_through(takes) for run in runs))
    assert [run.error for run in runs] == [None] * 3
    assert studio.bought == dict.fromkeys((take.shot.inputs["prompt"] for take in takes), 1)
    assert await studio.states(takes) == {"completed": 25}
    assert sum(run.progress.submissions for run in runs) == 25
    assert [run.progress.in_flight for run in runs] == [0] * 3


async def test_the_same_takes_given_twice_to_one_run_are_bought_once(studio: Any) -> None:
    await studio.open_sandbox()
    takes = studio.takes("push in", "pan left")
    run = await studio.begin()
    await asyncio.gather(run.see_through(takes), run.see_through(takes))
    assert studio.bought == {"push in": 1, "pan left": 1}


@pytest.mark.parametrize("ahead", [0, 2])
async def test_no_more_are_in_flight_than_allowed_and_queued_ahead(studio: Any, ahead: int) -> None:
    await studio.open_sandbox(inference_s=0.2)
    takes = studio.takes(*(f"push in {number}" for number in range(12)))
    run = await studio.begin(limits=Limits(1_000, 3), queued_ahead=ahead)
    task = asyncio.create_task(run.see_through(takes))
    seen: list[int] = []
    while not task.done():
        seen.append((await studio.stats())["in_flight"])
        await asyncio.sleep(0.01)
    assert max(seen) == 3 + ahead
    assert await studio.states(takes) == {"completed": 12}


async def test_no_more_are_started_in_a_minute_than_the_account_allows(studio: Any) -> None:
    await studio.open_sandbox(starts_per_minute=4)
    takes = studio.takes(*(f"push in {number}" for number in range(8)))
    run = await studio.begin(limits=Limits(4, 100))
    account, granted = run.shoot._throttle._account, list[int]()
    acquire = account.acquire_starts

    async def noted(*arguments: Any) -> Any:
        block_id, block = await acquire(*arguments)
        granted.append(block.starts)
        return block_id, block

    account.acquire_starts = noted
    task = asyncio.create_task(run.see_through(takes))
    await studio.until(lambda: task.done() or (granted[-1:] == [0] and run.progress.finished_here == 4))
    assert sum(granted) == 4
    run.shoot.stop_signal.stop_all("enough seen")
    await task
    assert len(studio.accepted) == 4
    assert "refused_rate" not in await studio.stats()
    assert await studio.states(takes) == {"completed": 4}


async def test_a_ledger_that_cannot_be_written_stops_everything_before_money_is_spent(studio: Any) -> None:
    await studio.open_sandbox()
    run = await studio.begin()
    studio.rows("ALTER TABLE take RENAME TO taken")
    await run.see_through(studio.takes("push in"))
    assert isinstance(run.error, LedgerUnusableError)
    assert studio.accepted == []


@pytest.mark.parametrize(
    ("lost", "reason"),
    [(None, "the run stopped before it was sent"), ("cannot connect to x", "cannot connect to x")],
)
async def test_a_take_that_a_stop_kept_back_tells_why(studio: Any, lost: str | None, reason: str) -> None:
    await studio.open_sandbox()
    run = await studio.begin()

    def stop() -> None:
        if lost is not None:
            run.progress.unreached(0.0, lost)
        run.shoot.stop_signal.stop_all("enough seen")

    await run.shoot.shoot(studio.takes("push in"), TakeLog(started=stop))  # it has its start then, and sends
    assert studio.accepted == []
    assert studio.rows("SELECT state, error FROM attempt") == [("unsent", reason)]


async def test_a_later_run_polls_first_when_a_clip_is_likely(studio: Any) -> None:
    await studio.open_sandbox(inference_s=0.5)
    await studio.run(studio.takes(*(f"push in {number}" for number in range(4))))
    takes = studio.takes("pan left")
    await studio.run(takes)
    (record,) = (await studio.records(takes)).values()
    assert record.polls <= 3


async def test_another_model_or_length_is_another_take(studio: Any) -> None:
    await studio.open_sandbox()
    takes = [*studio.takes("push in"), *studio.takes("push in", duration="8s", aspect_ratio="16:9")]
    run = await studio.run(takes)
    assert as_number(run.progress.reserved.cost_microusd) == 6.5
    assert sorted(each.inputs["duration"] for each in studio.accepted) == ["5s", "8s"]
