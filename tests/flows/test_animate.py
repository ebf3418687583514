"""The flow itself, in this process, against a sandbox and a Prefect server: its end, and what Prefect shows of it."""

import asyncio
import contextlib
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from PIL import Image

from animatic.errors import BudgetError, LocationError, ManifestError, ResultsUnwrittenError, SettingsError
from animatic.media.local_stills import LocalStills
from flows.settings import Settings

# Prefect leaves some of its sockets to the garbage collector, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_run_completes_and_equal_rows_share_a_take(run_flow: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    ran = run_flow(manifest({"prompt": f"push in {tag}", "shot_id": "one"}, {"prompt": f"push in {tag}"}))
    assert (ran.state.type, ran.state.name) == ("COMPLETED", "Completed")
    assert ran.state.message == "2 of 2 completed"
    assert ran.flow_run.name == f"shots {ran.session.run_id}"
    assert ran.end.summary.exit_code == 0
    assert ran.statuses == ["completed", "completed"]
    assert len({row["prediction_id"] for row in ran.rows}) == 1
    assert [run.name for run in ran.task_runs() if "take" in run.name] == ["one take 1"]
    assert sandbox.submitted(tag).total() == 1


def test_a_take_that_nothing_settles_makes_the_flow_failed_with_a_sentence(
    run_flow: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    rows = ({"prompt": f"pan {tag} [sandbox:reset-before]"}, {"prompt": f"tilt {tag} [sandbox:rejects]"})
    first = run_flow(manifest(*rows))
    assert (first.state.type, first.state.name) == ("FAILED", "Failed")
    assert first.state.message == (
        "0 of 2 completed; 1 rejected, 1 unknown. Money may be at stake: "
        "some takes may have been bought, and are not sent again"
    )
    assert first.flow_run.state.message == first.state.message
    assert first.end.summary.exit_code == 4
    ends = {run.state.name: (run.state.type, run.tags) for run in first.task_runs() if run.name.endswith("take 1")}
    assert ends == {"Rejected": ("FAILED", ["rejected"]), "Unknown": ("FAILED", ["unknown"])}
    second = run_flow(manifest(*rows))
    assert second.end.summary.exit_code == 4
    assert sandbox.submitted(tag).total() == 0


@pytest.mark.parametrize(
    ("row", "parameters", "error", "said"),
    [
        ({"prompt": "", "duration": "9s"}, {}, ManifestError, 'duration: found "9s"'),
        ({"prompt": "push in"}, {"max_usd": 1.0}, BudgetError, "the plan costs $2.50 for 1 take; allowed: $1.00"),
        ({"prompt": "push in"}, {"attempts": 11}, SettingsError, "--attempts: found 11; allowed: 1 to 10"),
        ({"prompt": "push in"}, {"results": "out.txt"}, LocationError, "out.txt"),
    ],
)
def test_bad_input_is_refused_before_anything_is_bought(
    *, run_flow: Any, manifest: Any, sandbox: Any, tag: str, row: Any, parameters: Any, error: type, said: str
) -> None:
    given = {"results": Path(parameters["results"])} if "results" in parameters else parameters
    ran = run_flow(manifest(row | {"prompt": row["prompt"] and f"{row['prompt']} {tag}"}), **given)
    assert (ran.state.type, ran.state.name) == ("FAILED", "Refused")
    assert type(ran.end.problem) is error
    assert said in str(ran.end.problem)
    assert ran.state.message == str(ran.end.problem).splitlines()[0]
    assert ran.end.summary is None
    assert not ran.results.exists()
    assert sandbox.submitted(tag).total() == 0


def test_results_that_cannot_be_written_are_found_before_anything_is_bought(
    run_flow: Any, manifest: Any, sandbox: Any, tag: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    ran = run_flow(manifest({"prompt": f"push in {tag}"}), results=tmp_path / "file/out.parquet")
    assert (ran.state.name, type(ran.end.problem)) == ("Refused", LocationError)
    assert sandbox.submitted(tag).total() == 0


def test_unwritable_results_at_the_end_do_not_deny_purchases(
    *, run_flow: Any, manifest: Any, sandbox: Any, tag: str, tools: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "out"

    def take_the_folder_away() -> None:
        tools.wait_until(lambda: sandbox.submitted(tag).total() == 1, 60)
        shutil.rmtree(folder)
        folder.touch()

    vandal = threading.Thread(target=take_the_folder_away)
    vandal.start()
    path = manifest({"prompt": f"{tag} [sandbox:slow=1]"})
    ran = run_flow(path, results=folder / "out.parquet")
    vandal.join()
    assert (ran.state.type, type(ran.end.problem), ran.end.summary) == ("FAILED", ResultsUnwrittenError, None)
    assert f"animatic results {path} --results {folder / 'out.parquet'}" in ran.state.message
    folder.unlink()
    assert run_flow(path, results=folder / "out.parquet").statuses == ["completed"]
    assert sandbox.submitted(tag).total() == 1


def test_bad_rows_are_skipped_where_that_is_asked_for(run_flow: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    rows = ({"prompt": f"push in {tag}"}, {"prompt": f"pan {tag}", "duration": "9s", "shot_id": "long"})
    ran = run_flow(manifest(*rows), skip_invalid=True)
    assert [(row["row"], row["take"], row["status"]) for row in ran.rows] == [(1, 1, "completed"), (2, None, "invalid")]
    assert 'duration: found "9s"' in ran.rows[1]["error"]
    assert ran.end.summary.exit_code == 3
    assert sandbox.submitted(tag) == Counter({f"push in {tag}": 1})


def test_failed_takes_are_bought_again_only_as_often_as_is_asked_for(
    run_flow: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    prompts = [f"{tag} [sandbox:fails]", f"{tag} [sandbox:moderated]", f"{tag} push in"]
    path = manifest(*({"prompt": prompt} for prompt in prompts))
    attempts: list[list[int]] = []
    for more in ({"attempts": 2}, {"attempts": 2}, {"retry_failed": True}):
        ran = run_flow(path, **more)
        attempts.append([row["attempts"] for row in ran.rows])
        artifacts = [(each.type, each.data) for each in ran.artifacts()]
        assert sorted(kind for kind, _ in artifacts) == ["markdown", "progress", "table"]
        assert dict(artifacts)["progress"] == 100.0
    assert attempts == [[2, 1, 1], [2, 1, 1], [3, 2, 1]]
    assert sandbox.submitted(tag) == Counter(dict(zip(prompts, (3, 2, 1), strict=True)))


def test_a_refused_request_is_not_retried(run_flow: Any, manifest: Any, serve_sandbox: Any, settings: Settings) -> None:
    served = serve_sandbox("--inference-s", "0.1")
    mine = settings.model_copy(update={"base_url": served.url})
    ran = run_flow(manifest({"prompt": "static [sandbox:rejects]", "shot_id": "cellar"}), mine)
    assert ran.statuses == ["rejected"]
    assert [run.run_count for run in ran.task_runs() if run.name == "cellar take 1"] == [1]
    with urllib.request.urlopen(f"{served.url}/sandbox/stats", timeout=5) as reply:
        stats = json.load(reply)
    assert (stats["refused_rejects"], stats["accepted"]) == (1, 0)


def quote_of(run_flow: Any, manifest: Any, settings: Settings) -> None:
    """Let the price be asked for with a good key."""
    ran = run_flow(manifest({"prompt": "static [sandbox:rejects]"}, name="quote.csv"), settings)
    assert ran.statuses == ["rejected"]


def test_a_refused_key_leaves_the_rest_pending(
    run_flow: Any, manifest: Any, sandbox: Any, settings: Settings, tag: str
) -> None:
    shots = manifest({"prompt": f"push in {tag}"}, {"prompt": f"pan {tag}"})
    quote_of(run_flow, manifest, settings)  # which Prefect remembers: the key is refused when takes are sent
    ran = run_flow(shots, settings.with_key("another"))
    assert ran.statuses == ["pending", "pending"]
    assert ran.end.summary.exit_code == 3
    assert "Stopped: " in ran.state.message
    assert "another" not in ran.state.message
    assert sandbox.submitted(tag).total() == 0


def test_a_key_refused_when_a_still_is_uploaded_fails_the_run(
    *, run_flow: Any, manifest: Any, sandbox: Any, settings: Settings, tag: str, tmp_path: Path
) -> None:
    Image.new("RGB", (64, 36), "teal").save(tmp_path / "still.png")
    quote_of(run_flow, manifest, settings)
    ran = run_flow(manifest({"image": "still.png", "prompt": f"pan {tag}"}), settings.with_key("another"))
    assert (ran.state.type, ran.state.name) == ("FAILED", "Failed")
    assert (ran.statuses, ran.end.summary.exit_code) == (["pending"], 3)
    assert "upload: WaveSpeed answered 401" in ran.state.message
    assert sandbox.submitted(tag).total() == 0


def test_the_api_may_be_away_at_first(
    run_flow: Any, manifest: Any, settings: Settings, tmp_path: Path, tools: Any
) -> None:
    port = a_free_port()
    flags = ["--folder", str(tmp_path / "late"), "--key", tools.KEY, "--no-render", "--inference-s", "0.1"]
    started: list[Any] = []

    ledger = Path(settings.ledger.removeprefix("sqlite:///"))

    def start_late() -> None:
        tools.wait_until(lambda: was_tried_in_vain(ledger), 60)
        command = [sys.executable, "-m", "animatic.sandbox", "--port", str(port), *flags]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    late = threading.Thread(target=start_late)
    late.start()
    try:
        mine = settings.model_copy(update={"base_url": f"http://127.0.0.1:{port}"})
        path = manifest({"prompt": "push in", "shot_id": "one"}, {"prompt": "pan", "shot_id": "two"})
        ran = run_flow(path, mine)
        task_runs = {run.name: run for run in ran.task_runs()}
    finally:
        late.join()
        started[0].kill()
        started[0].wait()
    assert ran.end.summary.exit_code == 0, ran.rows
    assert task_runs["one take 1"].run_count > 1
    assert [row["attempts"] for row in ran.rows] == [1, 1]
    witness = (tmp_path / "late/accepted.jsonl").read_text().splitlines()
    assert len(witness) == 2


def was_tried_in_vain(ledger: Path) -> bool:
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db,
    ):
        return db.execute("SELECT count(*) FROM attempt WHERE state = 'unsent'").fetchone()[0] >= 1
    return False


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def test_many_takes_run_in_batches_that_keep_their_lives_to_themselves(
    run_flow: Any, manifest: Any, sandbox: Any, tag: str
) -> None:
    ran = run_flow(manifest(*({"prompt": f"shot {number} {tag}"} for number in range(402))))
    assert ran.end.summary.exit_code == 0
    assert len(ran.rows) == 402
    accepted = sandbox.submitted(tag)
    assert (len(accepted), accepted.total()) == (402, 402)
    names = [run.name for run in ran.task_runs()]
    assert sorted(name.partition(":")[0] for name in names if name.startswith("batch ")) == sorted(
        f"batch {number}" for number in range(1, 6)
    )
    assert len(names) == 5 + 4  # a quote, two tables, a summary
    assert [entry.message for entry in ran.logs() if "submitted as" in entry.message] == []


def test_what_is_free_to_repeat_is_remembered_until_the_still_changes(
    *, run_flow: Any, manifest: Any, sandbox: Any, settings: Settings, tag: str, tmp_path: Path
) -> None:
    # Another test may have asked for the price a moment ago: not for this account.
    of_own = settings.model_copy(update={"account_name": "remembering"})
    stills = ("front.png", "back.png")
    for red, name in enumerate(stills):
        Image.new("RGB", (1280, 720), (red, 120, len(tag))).save(tmp_path / name)

    def rows(prompt: str) -> list[dict[str, str]]:
        return [{"prompt": f"{prompt} {tag}", "image": name, "shot_id": name[:-4]} for name in stills]

    runs = [run_flow(manifest(*rows(prompt)), of_own) for prompt in ("push in", "pull out")]
    free = {f"{verb} {name}" for verb in ("probe", "upload") for name in stills} | {"quote prices"}
    endings = [{run.name: run.state.name for run in ran.task_runs()} for ran in runs]
    uploads = {name for name in free if name.startswith("upload")}
    asked = uploads | {"quote prices"}
    assert {name: endings[0][name] for name in asked} == dict.fromkeys(asked, "Completed")
    assert {name: endings[1][name] for name in free - uploads} == dict.fromkeys(free - uploads, "Cached")
    takes = {"front take 1", "back take 1"}
    assert {name: endings[1][name] for name in takes} == dict.fromkeys(takes, "Completed")
    assert [ran.statuses for ran in runs] == [["completed"] * 2] * 2
    assert sandbox.submitted(tag).total() == 4
    images = {each.inputs["image"] for each in sandbox.witness if tag in each.inputs["prompt"]}
    assert len(images) == 2
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        assert ledger.execute("SELECT count(*) FROM upload").fetchone() == (2,), "the account has them: uploaded once"

    Image.new("RGB", (1280, 720), (99, 99, 99)).save(tmp_path / "front.png")
    changed = run_flow(manifest(*rows("pull out")), of_own)
    endings = [{run.name: run.state.name for run in changed.task_runs()}]
    assert [endings[0].get(f"upload {name}") for name in stills] == ["Completed", None]
    assert [row["cached"] for row in changed.rows] == [False, True]
    assert len({each.inputs["image"] for each in sandbox.witness if tag in each.inputs["prompt"]}) == 3


def test_without_a_session_the_key_comes_from_the_secret_block(
    *, prefect: Any, manifest: Any, sandbox: Any, tag: str, tmp_path: Path, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio  # noqa: PLC0415 - with the imports of Prefect below

    from prefect.blocks.system import Secret  # noqa: PLC0415 - slow

    from flows.animate import animate  # noqa: PLC0415

    environment = {
        "WAVESPEED_BASE_URL": sandbox.url,
        "ANIMATIC_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}",
        "ANIMATIC_POLL_FLOOR_S": "0.1",
        "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WAVESPEED_API_KEY", raising=False)
    path, results = manifest({"prompt": f"push in {tag}"}), tmp_path / "results.parquet"

    def run() -> Any:
        ending: Any = animate(str(path), str(results), max_usd=5, return_state=True)
        return asyncio.run(ending)

    without = run()
    assert without.name == "Refused"
    assert without.message.startswith("WAVESPEED_API_KEY: not set")
    saving: Any = Secret(value=tools.KEY).asave("wavespeed-api-key", overwrite=True, client=None)
    asyncio.run(saving)
    try:
        assert run().name == "Completed"
    finally:  # other tests of this server have no key
        deleting: Any = Secret.adelete("wavespeed-api-key", client=None)
        asyncio.run(deleting)
    assert pyarrow.parquet.read_table(results)["status"].to_pylist() == ["completed"]


def test_an_unattended_run_that_costs_money_needs_a_limit(run_flow: Any, manifest: Any, settings: Settings) -> None:
    from flows.session import SESSION  # noqa: PLC0415 - beside its use

    assert SESSION.get() is None
    real = settings.model_copy(update={"base_url": "https://wavespeed.invalid"})
    ran = run_flow(manifest({"prompt": "push in"}), real, is_approved=False)
    assert ran.state.name == "Refused"
    assert str(ran.end.problem).startswith("max_usd: not set")


@pytest.mark.parametrize("token", ["unauthorised", "unpaid", "payment-required"])
def test_a_run_whose_account_is_refused_is_failed(run_flow: Any, manifest: Any, tag: str, token: str) -> None:
    ran = run_flow(manifest({"prompt": f"{tag} [sandbox:{token}]"}))
    assert (ran.state.type, ran.state.name) == ("FAILED", "Failed")
    assert ran.end.summary.exit_code == 3


def test_the_table_holds_prefects_id_of_the_run_that_bought(run_flow: Any, manifest: Any, tag: str) -> None:
    shots = manifest({"prompt": f"{tag} one"}, {"prompt": f"{tag} [sandbox:rejects]"})
    first = run_flow(shots)
    again = run_flow(shots)
    assert [row["flow_run_id"] for row in again.rows] == [first.end.flow_run_id, None]


def test_takes_are_bought_while_the_stills_of_others_are_uploaded(
    *, run_flow: Any, manifest: Any, sandbox: Any, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import priced_run  # noqa: PLC0415 - imports Prefect

    upload, order = LocalStills.upload, list[str]()

    async def held_back(self: LocalStills, client: Any, file: Any) -> str:
        async with asyncio.timeout(30):
            while file.path == "late.png" and not sandbox.submitted(tag):
                await asyncio.sleep(0.05)
        order.append(file.path)
        return await upload(self, client, file)

    monkeypatch.setattr(LocalStills, "upload", held_back)
    monkeypatch.setattr(priced_run, "UPLOADS_FIRST_S", 0.2)
    for red, name in enumerate(("late.png", "soon.png")):
        Image.new("RGB", (1280, 720), (red, 7, len(tag))).save(tmp_path / name)
    ran = run_flow(manifest(*({"prompt": f"push in {tag}", "image": f"{name}.png"} for name in ("late", "soon"))))
    assert ran.statuses == ["completed"] * 2
    assert order == ["soon.png", "late.png"], "the second shot was bought before the first one's still was there"
    assert sandbox.submitted(tag).total() == 2
