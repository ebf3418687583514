"""Every scenario does what the table says, on a real socket."""

import json
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from animatic.errors import SettingsError
from animatic.sandbox import scenarios
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.scenarios import SCENARIOS, ScenarioError, asked_in, read_scenario
from animatic.sandbox.witness import read_witness


def test_the_table_in_the_docstring_names_every_scenario() -> None:
    rows = [line.split("|")[1] for line in str(scenarios.__doc__).splitlines() if line.startswith("    |")]
    named = {name.strip() for row in rows for name in row.split(",")} - {"", "name"}
    assert {name for name in named if not name.startswith("-")} == set(SCENARIOS)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("push in", None),
        ("push in [sandbox:fails] slowly", "fails"),
        ("[sandbox:slow=3.5][sandbox:fails]", "slow=3.5"),
        ("[sandbox:redirect=http://127.0.0.1:9/x?a=b]", "redirect=http://127.0.0.1:9/x?a=b"),
        ("[sandbox:bad-id=a\r\nb]", None),
        ("[Sandbox:fails]", None),
    ],
)
def test_the_first_token_of_a_prompt_counts(prompt: str, text: str | None) -> None:
    assert asked_in(prompt) == text


@pytest.mark.parametrize("text", ["no-such", "ok=1", "slow=-1", "slow=1e9", "slow=nan", "garbage=x", "nan=3", ""])
def test_a_scenario_or_value_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError, match="allowed"):
        read_scenario(text)


def test_a_default_scenario_that_does_not_exist_is_a_wrong_setting(tmp_path: Any) -> None:
    with pytest.raises(SettingsError, match='found "no-such"'):
        SandboxConfig(folder=tmp_path, scenario="no-such")


async def test_an_unknown_token_is_a_400_that_names_the_known_ones(caller: Any) -> None:
    reply = await caller.submit("x [sandbox:no-such]")
    assert (reply.status, reply.json["data"]) == (400, None)
    assert "lost-reply" in reply.json["message"]


@pytest.mark.parametrize(
    ("token", "http"),
    [("rejects", 400), ("unauthorised", 401), ("payment-required", 402), ("unpaid", 403), ("server-error", 500)],
)
async def test_a_refused_submission_is_not_in_the_witness(caller: Any, token: str, http: int) -> None:
    reply = await caller.submit(f"[sandbox:{token}]")
    assert (reply.status, reply.json["code"], reply.json["data"]) == (http, http, None)
    assert read_witness(caller.sandbox.folder) == []
    assert (await caller.stats())[f"refused_{token}"] == 1


async def test_busy_refuses_twice_with_retry_after_and_then_accepts(caller: Any) -> None:
    replies = [await caller.submit("[sandbox:busy]") for _ in range(3)]
    other = await caller.submit("[sandbox:busy] another")
    assert [reply.status for reply in replies] == [429, 429, 200]
    assert replies[0].headers["Retry-After"] == "1"
    assert other.status == 429
    assert len(read_witness(caller.sandbox.folder)) == 1


async def test_busy_takes_its_count_as_a_value(caller: Any) -> None:
    assert [(await caller.submit("[sandbox:busy=1]")).status for _ in range(2)] == [429, 200]


@pytest.mark.parametrize(("token", "accepted"), [("lost-reply", 1), ("reset-before", 0)])
async def test_a_cut_connection_gives_no_reply_and_only_lost_reply_was_accepted(
    caller: Any, token: str, accepted: int
) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.submit(f"[sandbox:{token}]")
    assert len(read_witness(caller.sandbox.folder)) == accepted
    assert len(await caller.listed_ids()) == accepted


async def test_a_billed_server_error_was_accepted(caller: Any) -> None:
    reply = await caller.submit("[sandbox:server-error-billed]")
    assert (reply.status, reply.json["data"]) == (500, None)
    assert len(await caller.listed_ids()) == 1


async def test_a_redirect_points_elsewhere_and_accepts_nothing(caller: Any) -> None:
    reply = await caller.submit("[sandbox:redirect=http://127.0.0.1:9/trap]")
    assert (reply.status, reply.headers["Location"]) == (302, "http://127.0.0.1:9/trap")
    assert read_witness(caller.sandbox.folder) == []


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("fails", "failed", 5000),
        ("fails=5004", "failed", 5004),
        ("moderated", "failed", 1200),
        ("unreachable", "failed", 1402),
        ("cancelled", "cancelled", None),
        ("timeout", "timeout", None),
        ("deleted", "deleted", None),
    ],
)
async def test_a_bad_end_has_its_status_code_and_words_and_no_outputs(
    caller: Any, clock: Any, token: str, status: str, code: int | None
) -> None:
    taken = await caller.submit_id(f"[sandbox:{token}]")
    before = (await caller.poll(taken)).data
    clock.advance(11)
    data = (await caller.poll(taken)).data
    assert (before["status"], before["error"], before["timings"]) == ("processing", "", {"inference": 0})
    assert (data["status"], data.get("code"), data["outputs"], data["has_nsfw_contents"]) == (status, code, [], [])
    assert data["error"].startswith("sandbox: ")
    assert data["timings"] == {"inference": 10_000}


async def test_slow_takes_ten_times_as_long_or_the_seconds_given(caller: Any, clock: Any) -> None:
    slow, exact = await caller.submit_id("[sandbox:slow]"), await caller.submit_id("[sandbox:slow=3]")
    seen: list[list[str]] = []
    for seconds in (2.9, 0.2, 96.0, 1.0):
        clock.advance(seconds)
        seen.append([await caller.status(slow), await caller.status(exact)])
    running, done = "processing", "completed"
    assert seen == [[running, running], [running, done], [running, done], [done, done]]
    assert "code" not in (await caller.poll(exact)).data


async def test_stuck_is_never_final(caller: Any, clock: Any) -> None:
    taken = await caller.submit_id("[sandbox:stuck]")
    clock.advance(86_400)
    assert await caller.status(taken) == "processing"


async def test_an_unknown_status_ends_unless_it_is_for_ever(caller: Any, clock: Any) -> None:
    some = [await caller.submit_id(f"[sandbox:unknown-status{value}]") for value in ("", "=forever")]
    assert [await caller.status(each) for each in some] == ["hibernating"] * 2
    clock.advance(1_000)
    assert [await caller.status(each) for each in some] == ["completed", "hibernating"]


@pytest.mark.parametrize(
    ("token", "outputs", "flags"),
    [("ok", 1, [False]), ("nsfw", 1, [True]), ("empty", 0, []), ("mismatch", 1, []), ("mismatch=3", 1, [False] * 3)],
)
async def test_outputs_and_flags_are_as_asked_for(
    caller: Any, clock: Any, token: str, outputs: int, flags: list[bool]
) -> None:
    taken = await caller.submit_id(f"[sandbox:{token}]")
    assert (await caller.poll(taken)).data["outputs"] == []
    clock.advance(10)
    data = (await caller.poll(taken)).data
    assert (data["status"], len(data["outputs"]), data["has_nsfw_contents"]) == ("completed", outputs, flags)


@pytest.mark.parametrize("token", ["garbage", "null-data", "code-500-in-200", "unavailable", "poll-busy"])
async def test_a_faulty_poll_passes_after_as_many_polls_as_given(caller: Any, token: str) -> None:
    taken = await caller.submit_id(f"[sandbox:{token}=2]")
    faulty = [await caller.poll(taken) for _ in range(2)]
    assert not any(_is_an_answer(reply) for reply in faulty)
    assert _is_an_answer(await caller.poll(taken))


async def test_a_faulty_poll_without_a_value_never_passes(caller: Any) -> None:
    taken = await caller.submit_id("[sandbox:garbage]")
    assert not any([_is_an_answer(await caller.poll(taken)) for _ in range(5)])


@pytest.mark.parametrize("token", ["garbage", "null-data", "code-500-in-200", "unavailable"])
async def test_submit_puts_the_fault_on_the_reply_to_an_accepted_submission(caller: Any, token: str) -> None:
    reply = await caller.submit(f"[sandbox:{token}=submit]")
    assert not _is_an_answer(reply)
    [accepted] = read_witness(caller.sandbox.folder)
    assert _is_an_answer(await caller.poll(accepted.id))


async def test_not_found_passes_with_time(caller: Any, clock: Any) -> None:
    taken = await caller.submit_id("[sandbox:not-found=4]")
    clock.advance(3.9)
    early = await caller.poll(taken)
    clock.advance(0.2)
    assert (early.status, (await caller.poll(taken)).status) == (404, 200)


async def test_a_dripping_reply_outlasts_a_deadline(caller: Any) -> None:
    taken = await caller.submit_id("[sandbox:drip]")
    with pytest.raises(TimeoutError):
        await caller.poll(taken, timeout=aiohttp.ClientTimeout(total=0.7, sock_read=0.5))
    assert (await caller.stats())["polls"] == 1


async def test_a_huge_reply_is_ten_megabytes_of_json(caller: Any) -> None:
    reply = await caller.poll(await caller.submit_id("[sandbox:huge]"))
    assert len(reply.body) > 10_000_000
    assert reply.data["status"] == "processing"


async def test_wrong_types_and_nan_come_with_completion_or_with_the_submission(caller: Any, clock: Any) -> None:
    wrong, nan = await caller.submit_id("[sandbox:bad-types]"), await caller.submit_id("[sandbox:nan]")
    at_once = (await caller.submit("[sandbox:bad-types=submit]")).data
    clock.advance(10)
    assert (await caller.poll(wrong)).data["outputs"] == at_once["outputs"] == "clip.mp4"
    reply = await caller.poll(nan)
    assert b"NaN" in reply.body
    assert math.isnan(reply.data["timings"]["inference"])


async def test_ids_and_urls_can_lie(caller: Any) -> None:
    bad = (await caller.submit("[sandbox:bad-id]")).data
    foreign = (await caller.submit("[sandbox:foreign-get=http://169.254.169.254/]")).data
    assert bad["id"] == "../../balance"
    assert foreign["urls"] == {"get": "http://169.254.169.254/"}
    assert len(await caller.listed_ids()) == 2


async def test_scenarios_come_from_the_prompt_before_the_number_before_the_default(
    open_sandbox: Any, clock: Any
) -> None:
    caller = await open_sandbox(scenario="fails", scenario_of={2: "cancelled", 3: "deleted"})
    taken = [await caller.submit_id(prompt) for prompt in ("a", "b", "c [sandbox:ok]", "d")]
    clock.advance(10)
    assert [await caller.status(each) for each in taken] == ["failed", "cancelled", "completed", "failed"]


def _is_an_answer(reply: Any) -> bool:
    try:
        body = json.loads(reply.body)
    except ValueError:
        return False
    return reply.status == 200 and body["code"] == 200 and isinstance(body["data"], dict) and bool(body["data"]["id"])


@pytest.mark.parametrize(("token", "status"), {"conflict": 409, "request-timeout": 408, "bad-gateway": 502}.items())
async def test_an_unclear_reply_comes_without_and_with_a_prediction(open_sandbox: Any, token: str, status: int) -> None:
    caller = await open_sandbox()
    assert (await caller.submit(f"[sandbox:{token}]")).status == status
    assert (await caller.stats())["accepted"] == 0
    assert (await caller.submit(f"[sandbox:{token}=billed]")).status == status
    stats = await caller.stats()
    assert (stats["accepted"], stats[f"fired_{token}"]) == (1, 2)


async def test_a_clock_that_is_off_dates_replies_predictions_and_the_list(open_sandbox: Any) -> None:
    caller = await open_sandbox(clock_offset_s=-86_400.0 * 30)
    reply = await caller.submit("push in")
    reported = parsedate_to_datetime(reply.headers["Date"])
    assert reported == datetime.fromtimestamp(1_800_000_000 - 86_400 * 30, UTC)
    created = datetime.fromisoformat(reply.data["created_at"])
    assert abs((created - reported).total_seconds()) < 3
