"""A list that contradicts itself proves nothing: what it does not show is not bought again.

Time passes for the API only: the `Date` of its answers goes ahead, as it does for a person who waits ten minutes.
"""

import contextlib
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from lying import Answer, Liar, altered, lying, reply

SUBMIT = "/api/v3/wavespeed-ai/veo2-i2v"
LIST = "/api/v3/predictions"
BILL = "/api/v3/billings/search"
LATER_S = 900.0
Data = dict[str, Any]
Retell = Callable[[Data, str], Data]
"""Given a page of the list and the id of the lost prediction: the page that is shown."""


def hide(data: Data, lost: str) -> Data:
    """The honest page without the lost prediction."""
    return data | {"items": [item for item in data["items"] if item["id"] != lost]}


def moved(item: Data, by: timedelta) -> Data:
    """An item with another time."""
    return item | {"created_at": (datetime.fromisoformat(item["created_at"]) + by).isoformat()}


def all_moved(data: Data, lost: str) -> Data:
    """Another window than was asked for."""
    return data | {"items": [moved(item, timedelta(days=-2)) for item in hide(data, lost)["items"]]}


def odd_item(data: Data, lost: str) -> Data:
    """The lost prediction without anything that can be read."""
    odd = {"status": 7, "prompt": "?"}
    return data | {"items": [odd if item["id"] == lost else item for item in data["items"]]}


LIES: dict[str, Retell] = {
    "fewer than its own total": lambda data, lost: hide(data, lost) | {"total": len(data["items"])},
    "no known prediction": lambda data, _: data | {"items": []},
    "items outside of the window": all_moved,
    "items are null": lambda data, _: data | {"items": None},
    "one odd item": odd_item,
}


@dataclass
class Between:
    """Loses the replies to submissions whose prompts hold `lost`, and changes the list; the bill is not there."""

    retell: Retell = lambda data, _: data
    accepts: bool = True
    lost: list[str] = field(default_factory=list[str])
    is_losing: bool = True

    def __call__(self, path: str, body: Data, ask: Callable[[], Answer]) -> Answer:
        if path == SUBMIT and "lost" in body["prompt"] and self.is_losing:
            if self.accepts:
                self.lost.append(json.loads(ask()[1])["data"]["id"])
            return reply(502, b"<html>bad gateway</html>")
        if path == LIST and self.lost:
            return altered(ask(), lambda data: self.retell(data, self.lost[0]) if data["items"] else data)
        return reply(404, {"error": "no such page"}) if path == BILL else ask()


@pytest.fixture
def own(serve_sandbox: Any, shell_with_server: Any) -> Callable[..., Any]:
    """Serves a sandbox with these flags, and puts these lies between it and the commands of a shell."""

    @contextlib.contextmanager
    def serve(between: Between, *flags: str) -> Generator[tuple[Any, Any, Liar]]:
        served = serve_sandbox("--inference-s", "0.2", *flags)
        with lying(served.url, between) as liar:
            shell_with_server.more |= {"WAVESPEED_BASE_URL": liar.url, "ANIMATIC_SETTLE_S": "0.1"}
            yield shell_with_server, served, liar

    return serve


def run(shell: Any, shots: Any, *more: str) -> Any:
    return shell.run("run", str(shots), "--results", "out.parquet", "--json", *more)


def statuses(shell: Any, tools: Any) -> dict[str, str]:
    return {row["shot_id"]: row["status"] for row in tools.read_rows(shell.home / "out.parquet")}


def two_shots(manifest: Any, tag: str) -> Any:
    return manifest({"prompt": f"known {tag}", "shot_id": "known"}, {"prompt": f"lost {tag}", "shot_id": "lost"})


def settled_later(shell: Any, liar: Liar) -> list[Any]:
    """Reconcile twice, each time a quarter of an hour later."""
    ended: list[Any] = []
    for number in (1, 2):
        liar.ahead_s = number * LATER_S
        ended.append(shell.run("reconcile", "--json"))
    liar.ahead_s = 3 * LATER_S
    return ended


@pytest.mark.parametrize("lie", LIES)
def test_a_list_that_contradicts_itself_frees_nothing(own: Any, manifest: Any, tag: str, tools: Any, lie: str) -> None:
    with own(Between(LIES[lie])) as (shell, served, liar):
        shots = two_shots(manifest, tag)
        first = run(shell, shots)
        assert (first.code, first.json["completed"], first.json["unknown"]) == (4, 1, 1), first.stderr
        for ended in settled_later(shell, liar):
            assert ended.code == 4, ended.stderr
            assert (ended.json["absent"], ended.json["adopted"]) == ([], []), ended.stderr
            assert ended.json["problem"], ended.stderr
        again = run(shell, shots, "--retry-failed", "--attempts", "2")
        assert (again.code, again.json["submitted"], again.json["cost_usd"]) == (4, 0, 0.0), again.stderr
        assert again.json["manifest_cost_usd"] == 5.0
        assert statuses(shell, tools)["lost"] in {"unknown", "held"}
        assert served.submitted(tag) == {f"known {tag}": 1, f"lost {tag}": 1}


def test_an_empty_list_frees_nothing_where_the_account_has_but_one_take(own: Any, manifest: Any, tag: str) -> None:
    with own(Between(lambda data, _: data | {"items": [], "total": 0})) as (shell, served, liar):
        shots = manifest({"prompt": f"lost {tag}"})
        assert run(shell, shots).code == 4
        for ended in settled_later(shell, liar):
            assert (ended.code, ended.json["absent"]) == (4, []), ended.stderr
        again = run(shell, shots, "--retry-failed")
        assert (again.code, again.json["submitted"]) == (4, 0), again.stderr
        assert served.submitted(tag).total() == 1


def test_an_honest_list_that_does_not_have_it_frees_the_take(own: Any, manifest: Any, tag: str) -> None:
    between = Between(accepts=False)
    with own(between) as (shell, served, liar):
        shots = two_shots(manifest, tag)
        assert run(shell, shots).code == 4
        one, two = settled_later(shell, liar)
        assert (one.code, one.json["absent"]) == (4, []), "one look proves no absence"
        assert (two.code, len(two.json["absent"])) == (0, 1), two.stderr
        between.is_losing = False
        again = run(shell, shots)
        assert (again.code, again.json["completed"], again.json["manifest_cost_usd"]) == (0, 2, 5.0), again.stderr
        assert served.submitted(tag) == {f"known {tag}": 1, f"lost {tag}": 1}


def test_one_odd_item_does_not_hide_the_others(own: Any, manifest: Any, tag: str) -> None:
    def beside_an_odd_one(data: Data, _: str) -> Data:
        return data | {"items": [{"id": 17}, "what?", *data["items"]]}

    with own(Between(beside_an_odd_one)) as (shell, served, _):
        ended = run(shell, two_shots(manifest, tag))
        assert (ended.code, ended.json["completed"], ended.json["cost_usd"]) == (0, 2, 5.0), ended.stderr
        assert served.submitted(tag) == {f"known {tag}": 1, f"lost {tag}": 1}


@pytest.mark.parametrize("offset_s", ["-600", "600"])
def test_a_list_dated_by_another_clock_is_read_in_its_window(
    own: Any, manifest: Any, tag: str, tools: Any, offset_s: str
) -> None:
    """The clock that dates predictions is ten minutes off that of `Date`; accepted submissions show by how much."""
    with own(Between(), "--clock-offset-s", offset_s, "--no-list-inputs") as (shell, served, liar):
        shots = two_shots(manifest, tag)
        assert run(shell, shots).code == 4
        for ended in settled_later(shell, liar):
            assert (ended.code, ended.json["absent"]) == (4, []), ended.stderr
        assert run(shell, shots, "--retry-failed").json["submitted"] == 0
        assert statuses(shell, tools)["lost"] == "held"
        assert served.submitted(tag) == {f"known {tag}": 1, f"lost {tag}": 1}


def test_a_candidate_by_window_is_held_unless_adoption_is_allowed(
    own: Any, manifest: Any, tag: str, tools: Any
) -> None:
    between = Between()
    with own(between, "--no-list-inputs") as (shell, served, liar):
        shots = two_shots(manifest, tag)
        assert run(shell, shots).code == 4
        one, two = settled_later(shell, liar)
        for ended in (one, two):
            assert (ended.code, ended.json["held"], ended.json["adopted"]) == (4, 1, []), ended.stderr
            assert between.lost[0] in ended.stderr
            assert "--adopt" in ended.stderr
        again = run(shell, shots, "--retry-failed")
        assert (again.code, again.json["submitted"], again.json["held"]) == (4, 0, 1), again.stderr
        row = next(row for row in tools.read_rows(shell.home / "out.parquet") if row["shot_id"] == "lost")
        assert between.lost[0] in row["error"]
        shell.more["ANIMATIC_ADOPT_BY_WINDOW"] = "1"
        adopted = shell.run("reconcile", "--json")
        assert (adopted.code, len(adopted.json["adopted"])) == (0, 1), adopted.stderr
        ended = run(shell, shots)
        assert (ended.code, ended.json["completed"], ended.json["submitted"]) == (0, 2, 0), ended.stderr
        rows = {row["shot_id"]: row for row in tools.read_rows(shell.home / "out.parquet")}
        assert rows["lost"]["prediction_id"] == between.lost[0]
        assert served.submitted(tag) == {f"known {tag}": 1, f"lost {tag}": 1}
