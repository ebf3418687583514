"""`plan -o` and `run --plan`: exactly the plan is bought, or nothing is and what moved is named."""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lying import Answer, Liar, altered, lying, reply

from animatic.planning.manifests import ManifestFile
from animatic.planning.purchases import Purchases
from animatic.takes.fingerprints import FingerprintSet

# Prefect leaves sockets to the garbage collector, which may run in any test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PRICE, PRICING, MODELS = "/api/v3/model/price", "/api/v3/model/pricing", "/api/v3/models"
VEO2 = "wavespeed-ai/veo2-i2v"


@dataclass
class Prices:
    """Prices that WaveSpeed quotes: None is none at all. `later` is that of all quotes after so many."""

    usd: float | None = 2.0
    later: tuple[int, float] | None = None
    quotes: list[float] = field(default_factory=list[float])

    def answer(self, path: str, _: Any, ask: Callable[[], Answer]) -> Answer:
        if self.usd is None and path in {PRICE, PRICING, MODELS}:
            return reply(404, {"message": "no such path"})
        if path != PRICE:
            return ask()
        usd = self.later[1] if self.later is not None and len(self.quotes) >= self.later[0] else self.usd
        self.quotes.append(usd or 0)
        return altered(ask(), lambda data: data | {"price": usd, "discounted_price": None})


@dataclass
class Bench:
    """A shell whose WaveSpeed quotes the prices that a test sets, and a manifest in it."""

    shell: Any
    prices: Prices
    sandbox: Any
    tag: str
    write: Callable[..., Path]

    def manifest(self, *rows: dict[str, Any]) -> str:
        return str(self.write(*({**row, "prompt": f"{row['prompt']} {self.tag}"} for row in rows)))

    def plan(self, *arguments: str, code: int = 0) -> Any:
        ended = self.shell.run("plan", *arguments, "-o", "plan.json", "--json")
        assert ended.code == code, ended.stderr
        return ended

    def carry_out(self, *arguments: str, code: int = 0) -> Any:
        ended = self.shell.run("run", "--plan", "plan.json", "--results", "out.parquet", "--json", *arguments)
        assert ended.code == code, ended.stderr
        return ended

    @property
    def file(self) -> Path:
        return self.shell.home / "plan.json"

    @property
    def bought(self) -> int:
        return self.sandbox.submitted(self.tag).total()

    def statuses(self, tools: Any) -> list[str]:
        return [row["status"] for row in tools.read_rows(self.shell.home / "out.parquet")]

    def reseal(self, change: Callable[[bytes], bytes]) -> None:
        """Change the file, and make its hash fit, as only a forger would."""
        whole = self.file.read_bytes()
        body = change(whole.removesuffix(whole.splitlines(keepends=True)[-1]))
        self.file.write_bytes(body + f'"sha256": "{hashlib.sha256(body).hexdigest()}"}}\n'.encode())


@contextlib.contextmanager
def _quoting(prices: Prices, url: str) -> Generator[Liar]:
    with lying(url, prices.answer) as liar:
        yield liar


@pytest.fixture
def bench(shell_with_server: Any, sandbox: Any, tag: str, manifest: Any) -> Generator[Bench]:
    prices = Prices()
    shell_with_server.says_yes = False
    with _quoting(prices, sandbox.url) as liar:
        shell_with_server.more |= {"WAVESPEED_BASE_URL": liar.url}
        yield Bench(shell_with_server, prices, sandbox, tag, manifest)


TWO = ({"prompt": "push in", "shot_id": "one"}, {"prompt": "pan left", "shot_id": "two", "takes": 2})


def test_a_plan_is_bought_without_a_question_and_once(bench: Bench, tools: Any) -> None:
    path = bench.manifest(*TWO)
    kept = bench.plan(path).json
    assert (kept["plan"], kept["cost_usd"]) == ("plan.json", 6.0)
    assert kept["next_argv"] == ["animatic", "run", "--plan", "plan.json", "--results", "shots-results.csv"]
    first = bench.carry_out("--new-ledger")
    assert (first.json["submitted"], first.json["cost_usd"], bench.bought) == (3, 6.0, 3)
    again = bench.carry_out()
    assert (again.json["submitted"], bench.bought) == (0, 3)
    assert "3 takes of plan.json were submitted since it was made, and are not bought again" in again.stderr
    assert bench.statuses(tools) == ["completed"] * 3


def test_a_plan_to_buy_a_failed_take_again_does_so_once(bench: Bench) -> None:
    path = bench.manifest({"prompt": "[sandbox:fails]", "shot_id": "one"})
    assert bench.shell.run("run", path, "--results", "out.parquet", "--max-usd", "9", "--new-ledger").code == 3
    bench.plan(path, "--retry-failed")
    assert bench.carry_out(code=3).json["submitted"] == 1
    again = bench.carry_out(code=3)
    assert (again.json["submitted"], bench.bought) == (0, 2)
    assert again.json["next_argv"][:3] == ["animatic", "run", str(path)]
    assert "--plan" not in again.json["next_argv"]


def test_only_what_the_plan_names_is_bought(bench: Bench, tools: Any) -> None:
    path = bench.manifest(*TWO)
    bench.plan(path, "--only", "shot_id=one")
    bench.carry_out("--new-ledger")
    assert bench.bought == 1
    assert bench.statuses(tools) == ["completed", "pending", "pending"]


def test_the_flow_buys_only_takes_that_are_named_to_it(
    run_flow: Any, manifest: Any, settings: Any, sandbox: Any, tag: str
) -> None:
    path = manifest({"prompt": f"push in {tag}"}, {"prompt": f"pan left {tag}"})
    digests = ManifestFile(str(path), settings.origin).load().digests
    ran = run_flow(path, purchases=Purchases(FingerprintSet(digests[1:]), np.zeros(1, np.int64)))
    assert (ran.statuses, sandbox.submitted(tag)) == (["pending", "completed"], {f"pan left {tag}": 1})


def test_prices_that_moved_are_named_with_their_rows(bench: Bench) -> None:
    bench.plan(bench.manifest(*TWO))
    bench.prices.usd = 2.25
    refused = bench.carry_out("--new-ledger", code=2)
    assert 'duration "5s", aspect_ratio "16:9": $2.00 -> $2.25 (rows 1-2: 3 takes, $0.75 more)' in refused.stderr
    assert refused.json["next_argv"][:2] == ["animatic", "plan"]
    assert bench.bought == 0


def test_a_late_price_rise_beyond_the_planned_sum_buys_nothing(bench: Bench) -> None:
    bench.plan(bench.manifest(*TWO))
    bench.prices.later = (len(bench.prices.quotes) + 1, 50.0)
    refused = bench.carry_out("--new-ledger", code=2)
    assert "--max-usd: the plan costs $150.00 for 3 takes; allowed: $6.00" in refused.stderr
    assert bench.bought == 0


def test_rows_that_changed_are_named_with_their_columns(bench: Bench) -> None:
    bench.plan(bench.manifest(*TWO))
    bench.manifest(TWO[0] | {"duration": "6s"}, {"prompt": "orbit", "shot_id": "three"})
    refused = bench.carry_out("--new-ledger", code=2)
    assert 'row 1 (one): duration: "5s" -> "6s"' in refused.stderr
    assert re.search(r'row 2 \(two\): (shot_id: "two" -> "three"; )?prompt', refused.stderr)
    assert "row 2 (two): take 2 is gone" in refused.stderr or "gone" in refused.stderr
    assert bench.bought == 0


def test_a_manifest_that_changed_in_other_columns_is_bought(bench: Bench) -> None:
    bench.plan(bench.manifest(*({**row, "note": "a"} for row in TWO)))
    bench.manifest(*({**row, "note": "b"} for row in TWO))
    assert (
        "the manifest changed since the plan was made, but for none of its takes"
        in bench.carry_out("--new-ledger").stderr
    )
    assert bench.bought == 3


def test_a_plan_that_was_edited_is_refused(bench: Bench) -> None:
    bench.plan(bench.manifest(*TWO))
    bench.file.write_bytes(bench.file.read_bytes().replace(b'"2.000000"', b'"9.000000"'))
    assert "it is not as animatic wrote it" in bench.carry_out(code=2).stderr
    bench.file.write_text(json.dumps(json.loads(bench.file.read_text()), indent=2))
    assert "--plan: plan.json" in bench.carry_out(code=2).stderr


def test_a_plan_that_is_too_old_is_refused(bench: Bench) -> None:
    bench.plan(bench.manifest(*TWO))
    bench.reseal(lambda body: re.sub(rb'"valid_until": "\d{4}', b'"valid_until": "2020', body))
    assert "it was good until 2020-" in bench.carry_out("--new-ledger", code=2).stderr
    assert bench.bought == 0


def test_a_plan_for_another_provider_or_ledger_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.plan(bench.manifest(*TWO))
    assert "this run would buy from the embedded sandbox" in bench.carry_out("--sandbox", code=2).stderr
    bench.shell.more["ANIMATIC_LEDGER"] = f"sqlite:///{tmp_path}/other.sqlite"
    assert "held against the ledger" in bench.carry_out("--new-ledger", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "found"),
    [(("shots.csv",), "shots.csv"), (("--max-usd", "5"), "--max-usd"), (("--map", "image=URL"), "--map")],
)
def test_what_a_plan_decides_is_not_given_beside_it(bench: Bench, arguments: tuple[str, ...], found: str) -> None:
    bench.plan(bench.manifest(*TWO))
    assert f"--plan: found {found} beside it" in bench.carry_out(*arguments, code=2).stderr


def test_a_run_needs_a_manifest_or_a_plan(shell: Any) -> None:
    assert "MANIFEST: not given; allowed: the file of shots, or --plan FILE" in shell.here("run").stderr


def test_an_unknown_price_is_paid_only_if_its_model_is_allowed(bench: Bench) -> None:
    bench.prices.usd = None
    kept = bench.plan(bench.manifest(*TWO)).json
    assert kept["next_argv"] is None
    assert '"usd": null' in bench.file.read_text()
    refused = bench.carry_out("--new-ledger", code=2)
    assert f"{VEO2}: 3 takes" in refused.stderr
    assert "--allow-unpriced MODEL=USD" in refused.stderr
    assert "allowed: MODEL=USD" in bench.carry_out("--allow-unpriced", VEO2, code=2).stderr
    assert "allowed: a model of plan.json" in bench.carry_out("--allow-unpriced", "a/b=1", code=2).stderr
    assert bench.bought == 0
    ended = bench.carry_out("--new-ledger", "--allow-unpriced", f"{VEO2}=3")
    assert (bench.bought, ended.json["cost_usd"]) == (3, 9.0)


def test_a_price_above_what_was_allowed_is_refused(bench: Bench) -> None:
    bench.prices.usd = None
    bench.plan(bench.manifest(*TWO))
    bench.prices.usd = 4.0
    refused = bench.carry_out("--new-ledger", "--allow-unpriced", f"{VEO2}=3", code=2)
    assert "at most $3.00 -> $4.00" in refused.stderr
    assert bench.bought == 0


def test_an_estimate_is_marked_and_is_no_price_unless_it_is_accepted(bench: Bench) -> None:
    path = bench.manifest(TWO[0])
    assert bench.shell.run("run", path, "--results", "out.parquet", "--max-usd", "9", "--new-ledger").code == 0
    bench.prices.usd = None
    path = bench.manifest(*TWO)
    kept = bench.plan(path).json
    assert (kept["cost_usd"], kept["cost_estimated_usd"]) == (None, 4.0)
    assert kept["estimates"][0] | {"inputs": None} == {
        "model": VEO2, "inputs": None, "usd": 2.0, "from_takes": 1, "of_other_inputs": False,
    }  # fmt: skip
    shown = bench.shell.run("plan", path).stdout
    assert "two take 1: new, about $2.00, estimated from 1 take" in shown
    assert "about $4.00, estimated from 1 take; a limit goes by that with --accept-estimates only" in shown
    refused = bench.shell.run("run", path, "--results", "out.parquet", "--max-usd", "9")
    assert (refused.code, bench.bought) == (2, 1)
    assert "--accept-estimates" in refused.stderr
    assert "--accept-estimates goes by what such takes cost before" in bench.carry_out(code=2).stderr
    ended = bench.carry_out("--accept-estimates")
    assert (bench.bought, ended.json["cost_usd"]) == (3, 4.0)


def test_a_run_with_a_limit_goes_by_estimates_that_are_accepted(bench: Bench) -> None:
    path = bench.manifest(TWO[0])
    assert bench.shell.run("run", path, "--results", "out.parquet", "--max-usd", "9", "--new-ledger").code == 0
    bench.prices.usd = None
    run = ("run", bench.manifest(*TWO), "--results", "out.parquet", "--accept-estimates", "--json")
    assert bench.shell.run(*run, "--max-usd", "3").code == 2
    assert bench.bought == 1
    ended = bench.shell.run(*run, "--max-usd", "4")
    assert (ended.code, bench.bought, ended.json["cost_usd"]) == (0, 3, 4.0)
    assert "cost: $4.00, of which $4.00 is estimated from 1 take" in ended.stderr


def test_a_plan_never_replaces_another_file(shell: Any, manifest: Any) -> None:
    path = manifest(*TWO)
    before = path.read_bytes()
    ended = shell.run("plan", str(path), "-o", str(path))
    assert (ended.code, path.read_bytes()) == (2, before)
    assert "it holds something else than a plan" in ended.stderr


def test_a_plan_that_cannot_be_bought_is_not_kept(shell: Any, manifest: Any) -> None:
    del shell.more["WAVESPEED_API_KEY"]
    ended = shell.run("plan", str(manifest(*TWO)), "-o", "plan.json")
    assert (ended.code, (shell.home / "plan.json").exists()) == (2, False)
