"""Meaning of a reply to a submission, in any form: refused, stopped, busy, barred, unknown, or bought."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from lying import Answer, Liar, lying, reply

SUBMIT = "/api/v3/wavespeed-ai/veo2-i2v"
Ask = Callable[[], Answer]

WORDS = "the seed is out of range"
REFUSALS: dict[str, tuple[int, Any, str]] = {
    "error": (400, {"error": WORDS}, WORDS),
    "message": (400, {"message": WORDS}, WORDS),
    "detail": (400, {"detail": WORDS}, WORDS),
    "detail-list": (422, {"detail": [{"loc": ["body", "seed"], "msg": WORDS, "type": "value_error"}]}, WORDS),
    "error-object": (400, {"error": {"code": "bad_seed", "message": WORDS}}, WORDS),
    "code-as-text": (400, {"code": "400", "message": WORDS}, WORDS),
    "code-of-success": (400, {"code": 200, "message": WORDS, "data": None}, WORDS),
    "data-without-id": (400, {"code": 400, "message": WORDS, "data": {"status": "failed"}}, WORDS),
    "plain-text": (400, WORDS.encode(), WORDS),
    "empty": (400, b"", ""),
    "html": (400, b"<html><h1>400 Bad Request</h1></html>", ""),
    "not-found": (404, {"error": "no such model"}, "no such model"),
    "not-found-text": (404, b"404 page not found", "404 page not found"),
    "not-found-empty": (404, b"", ""),
    "unprocessable": (422, {"error": WORDS}, WORDS),
    "unprocessable-text": (422, WORDS.encode(), WORDS),
    "gone": (410, {"message": WORDS}, WORDS),
    "too-large": (413, {"error": WORDS}, WORDS),
    "teapot": (418, {"detail": WORDS}, WORDS),
}

STOPS: dict[str, tuple[int, Any, str]] = {
    "403-error": (403, {"error": "insufficient credits"}, "insufficient credits"),
    "401-message": (401, {"message": "invalid key"}, "invalid key"),
    "402-detail-list": (402, {"detail": [{"msg": "top up"}]}, "top up"),
    "403-code-as-text": (403, {"code": "403", "message": "insufficient balance"}, "insufficient balance"),
    "401-plain-text": (401, b"Unauthorized", "Unauthorized"),
    "403-empty": (403, b"", "403"),
}

BUSY: dict[str, Any] = {
    "error": {"error": "rate limit exceeded"},
    "plain-text": b"Too Many Requests",
}

AMBIGUOUS: dict[str, tuple[int, Any]] = {
    "408": (408, {"error": "request time-out"}),
    "409": (409, {"error": "conflict"}),
    "425": (425, {"error": "too early"}),
    "499": (499, b""),
    "500": (500, {"error": "oops"}),
    "502": (502, b"<html>bad gateway</html>"),
    "503": (503, {"message": "unavailable"}),
    "504": (504, b""),
    "302": (302, b""),
    "307": (307, {"error": "go elsewhere"}),
    "200-empty": (200, b""),
    "200-without-id": (200, {"code": 200, "message": "success", "data": {"status": "created"}}),
    "200-null-data": (200, {"code": 200, "message": "success", "data": None}),
    "200-code-400": (200, {"code": 400, "message": "refused", "data": None}),
    "200-odd-id": (200, {"code": 200, "message": "success", "data": {"id": "../../balance", "status": "created"}}),
    "200-html": (200, b"<html>login</html>"),
    "201-empty": (201, b""),
}

WITH_ID: dict[str, Callable[[dict[str, Any]], tuple[int, Any]]] = {
    "400-envelope": lambda data: (400, {"code": 400, "message": "bad", "data": data}),
    "422-code-as-text": lambda data: (422, {"code": "422", "message": "bad", "data": data}),
    "404-bare": lambda data: (404, data),
    "403-envelope": lambda data: (403, {"error": "insufficient credits", "data": data}),
    "401-bare": lambda data: (401, data),
    "429-envelope": lambda data: (429, {"code": 429, "message": "busy", "data": data}),
    "409-envelope": lambda data: (409, {"code": 409, "message": "conflict", "data": data}),
}


@dataclass
class Gateway:
    """Answers submissions by the name at the end of their prompts; counts the requests for each prompt."""

    answer: Callable[[str, Ask], Answer]
    submissions: Counter[str] = field(default_factory=Counter[str])

    def __call__(self, path: str, body: dict[str, Any], ask: Ask) -> Answer:
        if path != SUBMIT:
            return ask()
        self.submissions[body["prompt"]] += 1
        return self.answer(body["prompt"].split()[-1], ask)


@contextlib.contextmanager
def between(shell: Any, sandbox: Any, answer: Callable[[str, Ask], Answer]) -> Generator[tuple[Gateway, Liar]]:
    """Put a gateway with these answers between the shell's commands and the sandbox."""
    gateway = Gateway(answer)
    with lying(sandbox.url, gateway) as liar:
        shell.more["WAVESPEED_BASE_URL"] = liar.url
        yield gateway, liar


def shots_for(manifest: Any, tag: str, names: Mapping[str, Any]) -> str:
    return str(manifest(*({"prompt": f"{tag} {name}", "shot_id": name} for name in names)))


def rows_of(shell: Any, tools: Any) -> dict[str, dict[str, Any]]:
    return {row["shot_id"]: row for row in tools.read_rows(shell.home / "out.parquet")}


def run(shell: Any, shots: str, *more: str) -> Any:
    return shell.run("run", shots, "--results", "out.parquet", "--json", *more)


def test_a_definite_refusal_is_a_refusal_whatever_its_body(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell, shots = shell_with_server, shots_for(manifest, tag, REFUSALS)
    with between(shell, sandbox, lambda name, _: reply(*REFUSALS[name][:2])) as (gateway, _):
        ended = run(shell, shots)
        assert ended.code == 3, ended.stderr
        assert (ended.json["rejected"], ended.json["unknown"]) == (len(REFUSALS), 0)
        assert (ended.json["cost_usd"], ended.json["manifest_cost_usd"], ended.json["submitted"]) == (0.0, 0.0, 0)
        rows = rows_of(shell, tools)
        for name, (status, _body, words) in REFUSALS.items():
            row = rows[name]
            assert (row["status"], row["error_code"], row["attempts"]) == ("rejected", status, 0), row
            assert (row["prediction_id"], row["quoted_usd"] or 0) == (None, 0)
            assert str(status) in row["error"]
            assert words in row["error"]
            assert "<h1>" not in row["error"]
        again = run(shell, shots)
        assert (again.code, again.json["cached"]) == (3, len(REFUSALS))
        assert set(gateway.submissions.values()) == {1}
    assert sandbox.submitted(tag).total() == 0


@pytest.mark.parametrize("name", STOPS)
def test_a_refusal_of_key_or_account_stops_the_run(
    *, shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any, name: str
) -> None:
    status, body, words = STOPS[name]
    shell, shots = shell_with_server, shots_for(manifest, tag, {f"shot-{number}": None for number in range(12)})
    shell.more |= {"ANIMATIC_MAX_IN_FLIGHT": "1", "ANIMATIC_QUEUED_AHEAD": "0"}
    with between(shell, sandbox, lambda _name, _ask: reply(status, body)) as (gateway, _):
        ended = run(shell, shots)
        assert (ended.code, ended.json["pending"], ended.json["cost_usd"]) == (3, 12, 0.0), ended.stderr
        assert gateway.submissions.total() == 1
    assert f"Stopped: submit: WaveSpeed answered {status}" in ended.stderr
    assert words in ended.stderr
    assert {row["attempts"] for row in rows_of(shell, tools).values()} == {0}
    assert sandbox.submitted(tag).total() == 0


def test_once_the_account_has_money_what_was_stopped_is_bought_once(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    shell, shots = shell_with_server, shots_for(manifest, tag, {f"shot-{number}": None for number in range(12)})
    shell.more |= {"ANIMATIC_MAX_IN_FLIGHT": "3", "ANIMATIC_QUEUED_AHEAD": "0"}
    is_poor = True
    refusal = reply(403, {"error": "insufficient credits"})
    with between(shell, sandbox, lambda _, ask: refusal if is_poor else ask()) as (gateway, _):
        ended = run(shell, shots)
        assert (ended.code, ended.json["pending"]) == (3, 12), ended.stderr
        assert gateway.submissions.total() <= 3
        is_poor = False
        again = run(shell, shots)
        assert (again.code, again.json["completed"], again.json["cost_usd"]) == (0, 12, 30.0), again.stderr
    assert set(sandbox.submitted(tag).values()) == {1}
    assert sandbox.submitted(tag).total() == 12


def test_busy_in_any_form_is_never_a_refusal(shell_with_server: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    shell, shots = shell_with_server, shots_for(manifest, tag, BUSY)
    shell.more |= {"ANIMATIC_MAX_IN_FLIGHT": "1", "ANIMATIC_QUEUED_AHEAD": "0"}
    refused: set[str] = set()

    def busy_once(name: str, ask: Ask) -> Answer:
        if name in refused:
            return ask()
        refused.add(name)
        return reply(429, BUSY[name])

    with between(shell, sandbox, busy_once) as (gateway, _):
        ended = run(shell, shots)
    assert (ended.code, ended.json["completed"]) == (0, len(BUSY)), ended.stderr
    assert refused == BUSY.keys()
    assert set(gateway.submissions.values()) == {2}
    assert set(sandbox.submitted(tag).values()) == {1}
    assert ended.json["cost_usd"] == 2.5 * len(BUSY) == 2.5 * sandbox.submitted(tag).total()


@pytest.mark.parametrize("body", [{"error": "who asks?"}, b"Proxy Authentication Required", b""])
def test_a_proxy_that_wants_a_password_stops_the_run_and_is_named(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, body: Any
) -> None:
    shell, shots = shell_with_server, shots_for(manifest, tag, {f"shot-{number}": None for number in range(4)})
    shell.more |= {"ANIMATIC_MAX_IN_FLIGHT": "1", "ANIMATIC_QUEUED_AHEAD": "0"}
    with between(shell, sandbox, lambda _name, _ask: reply(407, body)) as (gateway, _):
        ended = run(shell, shots)
        assert (ended.code, ended.json["pending"], ended.json["cost_usd"]) == (3, 4, 0.0), ended.stderr
        assert gateway.submissions.total() == 1
    assert "HTTPS_PROXY" in ended.stderr
    assert sandbox.submitted(tag).total() == 0


def test_what_proves_nothing_is_unknown_and_never_sent_again(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell, shots = shell_with_server, shots_for(manifest, tag, AMBIGUOUS)
    with between(shell, sandbox, lambda name, _: reply(*AMBIGUOUS[name])) as (gateway, _):
        for more in ((), ("--retry-failed", "--attempts", "3")):
            ended = run(shell, shots, *more)
            assert (ended.code, ended.json["unknown"]) == (4, len(AMBIGUOUS)), ended.stderr
            assert ended.json["manifest_cost_usd"] == 2.5 * len(AMBIGUOUS)
        assert ended.json["cost_usd"] == 0.0
        rows = rows_of(shell, tools)
        assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(AMBIGUOUS, "unknown")
        assert {row["attempts"] for row in rows.values()} == {1}
        assert set(gateway.submissions.values()) == {1}
    assert sandbox.submitted(tag).total() == 0


def test_a_refusal_that_names_a_prediction_is_watched(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell, shots = shell_with_server, shots_for(manifest, tag, WITH_ID)
    ids: dict[str, str] = {}

    def accepts_and_refuses(name: str, ask: Ask) -> Answer:
        data = json.loads(ask()[1])["data"]
        ids[name] = data["id"]
        return reply(*WITH_ID[name](data))

    with between(shell, sandbox, accepts_and_refuses) as (gateway, _):
        ended = run(shell, shots)
    assert (ended.code, ended.json["completed"]) == (0, len(WITH_ID)), ended.stderr
    assert {name: row["prediction_id"] for name, row in rows_of(shell, tools).items()} == ids
    assert set(gateway.submissions.values()) == {1}
    assert set(sandbox.submitted(tag).values()) == {1}
