"""A paid clip is in the table, whatever is odd about the reply that brings it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from lying import Answer, altered, lying

SUBMIT = "/api/v3/wavespeed-ai/veo2-i2v"
Data = dict[str, Any]
Alter = Callable[[Data], Data]


def without(*names: str) -> Alter:
    return lambda data: {name: value for name, value in data.items() if name not in names}


def with_(**values: Any) -> Alter:
    return lambda data: data | values


def outputs_as(form: Callable[[str], Any]) -> Alter:
    return lambda data: data | {"outputs": [form(url) for url in data["outputs"]]}


COMPLETED: dict[str, tuple[Alter, dict[str, Any]]] = {
    "fractional-inference": (with_(timings={"inference": 1234.56}), {"inference_ms": 1235, "nsfw": False}),
    "inference-as-text": (with_(timings={"inference": "soon"}), {"inference_ms": None, "nsfw": False}),
    "no-inference": (with_(timings={}), {"inference_ms": None, "nsfw": False}),
    "no-timings": (without("timings"), {"inference_ms": None, "nsfw": False}),
    "null-timings": (with_(timings=None), {"inference_ms": None, "nsfw": False}),
    "null-flags": (with_(has_nsfw_contents=None), {"has_nsfw_contents": None, "nsfw": None}),
    "no-flags": (without("has_nsfw_contents"), {"has_nsfw_contents": None, "nsfw": None}),
    "flag-of-null": (with_(has_nsfw_contents=[None]), {"has_nsfw_contents": [None], "nsfw": None}),
    "flags-empty": (with_(has_nsfw_contents=[]), {"has_nsfw_contents": [], "nsfw": None}),
    "flag-true": (with_(has_nsfw_contents=[True]), {"has_nsfw_contents": [True], "nsfw": True}),
    "outputs-as-objects": (outputs_as(lambda url: {"url": url, "content_type": "video/mp4"}), {"nsfw": False}),
    "output-as-text": (lambda data: data | {"outputs": data["outputs"][0]}, {"nsfw": False}),
    "null-beside-output": (lambda data: data | {"outputs": [None, *data["outputs"]]}, {"nsfw": False}),
    "error-object": (with_(error={"message": "", "code": None}), {"error": None, "error_code": None}),
    "null-error": (with_(error=None), {"error": None}),
    "code-as-text": (with_(code="200"), {"error_code": None}),
    "null-model": (with_(model=None), {"prediction_model": "wavespeed-ai/veo2-i2v"}),
    "no-model": (without("model"), {"prediction_model": "wavespeed-ai/veo2-i2v"}),
    "odd-moment": (with_(created_at="yesterday"), {}),
    "only-the-essential": (
        lambda data: {name: data[name] for name in ("id", "status", "outputs")},
        {"inference_ms": None, "has_nsfw_contents": None, "nsfw": None},
    ),
}


@dataclass
class Retold:
    """Alters results of predictions that are completed, by the name at the end of their prompts."""

    alter: dict[str, Alter]
    is_altered: Callable[[Data], bool] = lambda data: data["status"] == "completed"
    name_of: dict[str, str] = field(default_factory=dict[str, str])

    def __call__(self, path: str, body: dict[str, Any], ask: Callable[[], Answer]) -> Answer:
        answer = ask()
        if path == SUBMIT and answer[0] == 200:
            self.name_of[json.loads(answer[1])["data"]["id"]] = body["prompt"].split()[-1]
        name = self.name_of.get(path.removeprefix("/api/v3/predictions/").removesuffix("/result"))
        if name is None or name not in self.alter:
            return answer
        return altered(answer, lambda data: self.alter[name](data) if self.is_altered(data) else data)


def run_through(shell: Any, sandbox: Any, change: Any, shots: Any, *more: str) -> Any:
    with lying(sandbox.url, change) as liar:
        shell.more["WAVESPEED_BASE_URL"] = liar.url
        return shell.run("run", str(shots), "--results", "out.parquet", "--json", *more)


def rows_of(shell: Any, tools: Any) -> dict[str, dict[str, Any]]:
    return {row["shot_id"]: row for row in tools.read_rows(shell.home / "out.parquet")}


def test_the_clip_is_in_the_table_whatever_is_odd_beside_it(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shots = manifest(*({"prompt": f"{tag} {name}", "shot_id": name} for name in COMPLETED))
    retold = Retold({name: alter for name, (alter, _) in COMPLETED.items()})
    ended = run_through(shell_with_server, sandbox, retold, shots)
    assert (ended.code, ended.json["completed"]) == (0, len(COMPLETED)), ended.stderr
    rows = rows_of(shell_with_server, tools)
    for name, (_, expected) in COMPLETED.items():
        found = {column: rows[name][column] for column in expected}
        assert found == expected, name
        assert rows[name]["output_url"].endswith(f"/outputs/{rows[name]['prediction_id']}/1.mp4"), name
        assert len(rows[name]["outputs"]) == 1
    assert set(sandbox.submitted(tag).values()) == {1}
    assert ended.json["cost_usd"] == 2.5 * sandbox.submitted(tag).total()


def test_clips_that_were_not_judged_are_counted_as_that(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    import animatic  # noqa: PLC0415 - pandas, for this test only

    shots = manifest(*({"prompt": f"{tag} {name}"} for name in ("unjudged", "clean", "flagged")))
    retold = Retold({"unjudged": with_(has_nsfw_contents=None), "flagged": with_(has_nsfw_contents=[True])})
    ended = run_through(shell_with_server, sandbox, retold, shots)
    assert ended.code == 0, ended.stderr
    total = animatic.summarise(animatic.read_results(str(shell_with_server.home / "out.parquet"))).iloc[-1]
    assert (total["nsfw"], total["not_judged"], float(total["nsfw_rate"])) == (1, 1, 0.5)
    assert sandbox.submitted(tag).total() == 3


@pytest.mark.parametrize(
    ("odd", "code", "error"),
    [
        ({"error": {"message": "out of memory", "type": "oom"}, "code": "5000"}, 5000, "out of memory"),
        ({"error": [{"msg": "out of memory"}], "code": 5003.0}, 5003, "out of memory"),
        ({"error": None, "code": None, "model": None, "timings": None}, None, "failed"),
    ],
)
def test_why_it_failed_is_read_from_any_form(
    *, shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any, odd: Data, code: Any, error: str
) -> None:
    shots = manifest({"prompt": f"[sandbox:fails] {tag} one", "shot_id": "one"})
    retold = Retold({"one": with_(**odd)}, lambda data: data["status"] == "failed")
    ended = run_through(shell_with_server, sandbox, retold, shots, "--attempts", "2")
    assert ended.code == 3, ended.stderr
    row = rows_of(shell_with_server, tools)["one"]
    assert (row["status"], row["error_code"], error in row["error"]) == ("failed", code, True), row
    attempts = 1 if code is None else 2
    assert (row["attempts"], sandbox.submitted(tag).total()) == (attempts, attempts)


def test_a_time_out_that_is_still_processing_is_not_final(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shots = manifest({"prompt": f"[sandbox:slow=1] {tag} one", "shot_id": "one"})
    timed_out = with_(code=5004, error="the request timed out; the task goes on")
    retold = Retold({"one": timed_out}, lambda data: data["status"] == "processing")
    ended = run_through(shell_with_server, sandbox, retold, shots, "--attempts", "3")
    assert (ended.code, ended.json["completed"], ended.json["submitted"]) == (0, 1, 1), ended.stderr
    row = rows_of(shell_with_server, tools)["one"]
    assert (row["status"], row["error"], row["error_code"], row["attempts"]) == ("completed", None, None, 1)
    assert sandbox.submitted(tag).total() == 1


def test_another_model_than_was_asked_for_is_kept_and_warned_of(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    names = {"same": "wavespeed-ai/veo2-i2v", "short": "veo2-i2v", "other": "wavespeed-ai/veo2-lite"}
    shots = manifest(*({"prompt": f"{tag} {name}", "shot_id": name} for name in names))
    retold = Retold({name: with_(model=model) for name, model in names.items()})
    ended = run_through(shell_with_server, sandbox, retold, shots)
    assert (ended.code, ended.json["completed"]) == (0, 3), ended.stderr
    rows = rows_of(shell_with_server, tools)
    assert {name: row["prediction_model"] for name, row in rows.items()} == names
    assert {row["model"] for row in rows.values()} == {"wavespeed-ai/veo2-i2v"}
    logged = "".join(log.read_text() for log in shell_with_server.logs())
    warning = "asked for wavespeed-ai/veo2-i2v, and the API says that wavespeed-ai/veo2-lite made it"
    assert logged.count(warning) >= 1
    assert "veo2-lite" in ended.stderr, "who looks at the terminal only must see it too"
    assert sandbox.submitted(tag).total() == 3
