"""A yes is to a sum: what is asked at a terminal, and what a price that changes afterwards may do."""

import contextlib
import json
import os
import pty
import select
from collections.abc import Callable
from typing import Any

import pytest
from lying import Answer, altered, lying, reply

PRICE = "/api/v3/model/price"
PRICING = "/api/v3/model/pricing"


@pytest.fixture
def asked(shell_with_server: Any) -> Any:
    shell_with_server.says_yes = False
    return shell_with_server


def rows(tag: str, count: int = 3) -> list[dict[str, str]]:
    return [{"prompt": f"push in {number} {tag}"} for number in range(count)]


def test_a_yes_to_three_dollars_never_buys_for_more(
    asked: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    quotes = 0

    def rises(path: str, _: Any, ask: Callable[[], Answer]) -> Answer:
        nonlocal quotes
        if path != PRICE:
            return ask()
        quotes += 1
        return altered(ask(), lambda data: data | {"price": 1.0 if quotes <= 1 else 50.0, "discounted_price": None})

    with lying(sandbox.url, rises) as liar:
        asked.more["WAVESPEED_BASE_URL"] = liar.url
        path = str(manifest(*rows(tag)))
        code, shown = tools.at_a_terminal(asked, [("[y/N]", "y")], "run", path, "--results", "out.csv")
    assert "Buy 3 takes for $3.00? [y/N]" in shown
    assert (code, sandbox.submitted(tag).total()) == (2, 0), shown
    assert "$150.00" in shown


def test_the_question_names_the_most_that_attempts_can_cost(
    asked: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    path = str(manifest({"prompt": f"[sandbox:fails] {tag}"}))
    arguments = ("run", path, "--results", "out.csv", "--attempts", "3")
    code, shown = tools.at_a_terminal(asked, [("[y/N]", "y")], *arguments)
    assert "Buy 1 take for $2.50, at most $7.50 with --attempts 3? [y/N]" in shown
    assert (code, sandbox.submitted(tag).total()) == (3, 3), shown


def test_an_unknown_price_is_agreed_to_only_by_typing_a_limit(
    asked: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    def no_prices(path: str, _: Any, ask: Callable[[], Answer]) -> Answer:
        return reply(404, {"message": "no such path"}) if path in {PRICE, PRICING, "/api/v3/models"} else ask()

    question = "Type the most that they may cost together"
    with lying(sandbox.url, no_prices) as liar:
        asked.more["WAVESPEED_BASE_URL"] = liar.url
        path = str(manifest(*rows(tag)))
        arguments = ("run", path, "--results", "out.csv", "--json")
        code, shown = tools.at_a_terminal(asked, [(question, "y"), (question, "")], *arguments)
        assert (code, sandbox.submitted(tag).total()) == (2, 0), shown
        code, shown = tools.at_a_terminal(asked, [(question, "$9")], *arguments)
        assert (code, sandbox.submitted(tag).total()) == (0, 3), shown


def test_without_a_terminal_loopback_costs_money_too(asked: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    ended = asked.run("run", str(manifest(*rows(tag))), "--results", "out.csv", "--new-ledger")
    assert (ended.code, sandbox.submitted(tag).total()) == (2, 0)
    assert "give --yes or --max-usd" in ended.stderr


@pytest.mark.parametrize(
    ("price", "cost"),
    [({"discounted_price": 0}, "$5.00"), ({"price": 0, "discounted_price": 0}, "$5.00"), ({"price": -1}, "$5.00")],
)
def test_a_price_that_cannot_be_right_defeats_no_limit(  # noqa: PLR0917
    asked: Any, manifest: Any, sandbox: Any, tag: str, price: dict[str, float], cost: str
) -> None:
    def free(path: str, _: Any, ask: Callable[[], Answer]) -> Answer:
        if path == PRICING:
            return reply(200, {"code": 200, "message": "", "data": {"unit_price": 2.5, "currency": "USD"}})
        return altered(ask(), lambda data: data | price) if path == PRICE else ask()

    with lying(sandbox.url, free) as liar:
        asked.more["WAVESPEED_BASE_URL"] = liar.url
        path = str(manifest(*rows(tag, 2)))
        ended = asked.run("run", path, "--results", "out.csv", "--max-usd", "1", "--new-ledger")
        assert (ended.code, sandbox.submitted(tag).total()) == (2, 0), ended.stderr
        assert f"the plan costs {cost} for 2 takes; allowed: $1.00" in ended.stderr
        planned = asked.run("plan", path)
        assert f"cost: {cost}" in planned.stdout


def test_the_documented_price_is_asked_where_the_newer_one_is_not_there(
    asked: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    def older(path: str, body: Any, ask: Callable[[], Answer]) -> Answer:
        if path == PRICE:
            return reply(404, b"404 page not found")
        if path == PRICING:
            price = {"model_id": body["model_id"], "unit_price": 2.5, "currency": "USD"}
            return reply(200, {"code": 200, "message": "", "data": price})
        return ask()

    def oldest(path: str, _: Any, ask: Callable[[], Answer]) -> Answer:
        return reply(404, {"error": "not found"}) if path in {PRICE, PRICING} else ask()

    path = str(manifest(*rows(tag, 2)))
    with lying(sandbox.url, older) as liar:
        asked.more["WAVESPEED_BASE_URL"] = liar.url
        assert "cost: $5.00" in asked.run("plan", path).stdout
    with lying(sandbox.url, oldest) as liar:
        asked.more["WAVESPEED_BASE_URL"] = liar.url
        assert "cost: from $5.00 (base prices)" in asked.run("plan", path).stdout
        refused = asked.run("run", path, "--results", "out.csv", "--max-usd", "100", "--new-ledger")
        assert (refused.code, sandbox.submitted(tag).total()) == (2, 0)
        assert "ANIMATIC_PRICE_USD" in refused.stderr


def test_one_amount_is_shown_everywhere(shell_with_server: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    import animatic  # noqa: PLC0415 - pandas, for this test only

    shell = shell_with_server
    first = manifest(*rows(tag, 2), {"prompt": f"[sandbox:server-error] {tag}"})
    ended = shell.run("run", str(first), "--results", "out.parquet", "--json")
    assert (ended.code, ended.json["cost_usd"], ended.json["manifest_cost_usd"]) == (4, 7.5, 7.5), ended.stderr
    second = manifest(*rows(tag, 3), {"prompt": f"[sandbox:server-error] {tag}"})
    again = shell.run("run", str(second), "--results", "out.parquet", "--json")
    assert (again.json["cost_usd"], again.json["manifest_cost_usd"]) == (2.5, 10.0), again.stderr
    frame = animatic.read_results(str(shell.home / "out.parquet"))
    assert float(frame["quoted_usd"].sum()) == 10.0
    assert float(animatic.summarise(frame)["cost_usd"].iloc[-1]) == 10.0
    assert json.loads(again.stdout.splitlines()[-1])["unknown"] == 1


AIRTABLE = "https://v5.airtableusercontent.com/v3/u/40/40/{}/one/two/still.png"


def test_another_address_of_a_bought_still_is_asked_about(
    asked: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    first = str(manifest({"prompt": f"push in {tag}", "shot_id": "hero", "image": AIRTABLE.format("1790000000000")}))
    assert asked.run("run", first, "--results", "out.csv", "--yes", "--new-ledger").code == 0
    changed = {"prompt": f"push in {tag} ", "shot_id": "hero", "image": AIRTABLE.format("1790007200000")}
    other = {"prompt": f"pull back {tag}", "shot_id": "wide", "image": AIRTABLE.format("1790007200000")}
    again = str(manifest(changed, other))
    planned = asked.run("plan", again)
    assert "1 takes were bought before with the same prompt and another address" in planned.stdout
    assert "hero take 1" in planned.stdout
    assert "wide take 1" not in planned.stdout.partition("note:")[2]
    question = "Buy 1 take that may have been bought at another address? [y/N]"
    code, shown = tools.at_a_terminal(asked, [(question, "n")], "run", again, "--results", "out.csv")
    assert (code, sandbox.submitted(tag).total()) == (2, 1), shown
    answers = [(question, "y"), ("for $5.00? [y/N]", "y")]
    code, shown = tools.at_a_terminal(asked, answers, "run", again, "--results", "out.csv")
    assert (code, sandbox.submitted(tag).total()) == (0, 3), shown


def test_what_was_typed_before_the_question_is_no_answer(
    asked: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    ours, theirs = pty.openpty()
    process = asked.start(
        "run", str(manifest(*rows(tag))), "--results", "out.csv", is_warm=True, stdin=theirs, stderr=theirs
    )
    os.close(theirs)
    shown, is_answered = "", False
    try:
        os.write(ours, b"y\n")

        def has_more(within_s: float) -> bool:
            nonlocal shown
            if not select.select([ours], [], [], within_s)[0]:
                return False
            with contextlib.suppress(OSError):  # as at the end of a terminal whose other side is closed
                more = os.read(ours, 65_536).decode("utf-8", "replace")
                shown += more
                return bool(more)
            return False

        def is_over() -> bool:
            nonlocal is_answered
            has_more(0.05)
            if "[y/N]" in shown and not is_answered:
                is_answered = True
                os.write(ours, b"n\n")
            return process.poll() is not None

        tools.wait_until(is_over, 60)
        while has_more(0.2):
            pass
        assert (process.returncode, sandbox.submitted(tag).total()) == (2, 0), shown
        assert "not agreed" in shown
    finally:
        tools.kill_group(process)
        os.close(ours)
