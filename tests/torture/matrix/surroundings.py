"""Surroundings of a run: the folder it is typed in, Prefect, proxies, signals, the console, open files, the home.

Unlike the other cases these run the whole command, as a process of its own.
"""

import asyncio
import contextlib
import functools
import json
import os
import resource
import signal
import sys
import time
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from animatic.sandbox.witness import read_witness
from torture.canary import KEY
from torture.ledgers import Place
from torture.matrix.stage import STILL, Setup, case

PASSWORD = "me:secret"
MOST_S = 80.0


class Command:
    """`animatic …` in a home of its own below the case's folder, with the case's sandbox and ledger."""

    def __init__(self, setup: Setup, *arguments: str, folder: Path | None = None, **more: str | None) -> None:
        self.home = setup.folder / "home"
        self.folder = folder or setup.folder / "work"
        for each in (self.home, self.folder):
            each.mkdir(exist_ok=True)
        usual: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
            "WAVESPEED_API_KEY": KEY,
            "WAVESPEED_BASE_URL": setup.url,
            "ANIMATIC_LEDGER": setup.ledger.url,
            "ANIMATIC_ACCOUNT_LEVEL": "ultra",
            "ANIMATIC_POLL_FLOOR_S": "0.1",
            "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
        }
        usual["PYTHONPATH"] = os.environ.get("PYTHONPATH")  # a planted bug is in a copy of the code
        self.environment = {name: value for name, value in (usual | more).items() if value is not None}
        self.arguments = [sys.executable, "-P", "-m", "flows.command.cli", *arguments]
        self.process: asyncio.subprocess.Process | None = None
        self.said, self.code = b"", -1

    async def start(self, **options: Any) -> "Command":
        usual: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
        usual["preexec_fn"] = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
        self.process = await asyncio.create_subprocess_exec(
            *self.arguments, cwd=self.folder, env=self.environment, start_new_session=True, **(usual | options)
        )
        return self

    async def end(self, within_s: float = MOST_S) -> int:
        assert self.process is not None
        try:
            self.said, _ = await asyncio.wait_for(self.process.communicate(), within_s)
        except BaseException:
            self.kill()
            raise
        return self.process.returncode or 0

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def children(self, part: str) -> list[int]:
        """The processes that it has started whose command line has this part."""
        assert self.process is not None
        found: list[int] = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and part in (status.parent / "cmdline").read_text():
                    found.append(int(status.parent.name))
        return found


def write_manifest(command: Command, *prompts: str, name: str = "shots.csv") -> None:
    lines = ["image,prompt", *(f"{STILL},{prompt}" for prompt in prompts)]
    (command.folder / name).write_text("\n".join(lines) + "\n")


def statuses(command: Command, name: str = "out.parquet") -> Counter[str]:
    return Counter(pq.read_table(command.folder / name)["status"].to_pylist())


async def until(claim: Callable[[], Any], within_s: float = 40.0) -> Any:
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        if found := claim():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not true within {within_s} s")


def run_of(setup: Setup, *more: str, **settings: Any) -> Command:
    return Command(setup, "run", "shots.csv", "--results", "out.parquet", "--yes", "--json", *more, **settings)


@case(
    "folder",
    "files beside the manifest that Python or Prefect would read",
    "none is executed; each take is bought once",
)
async def _hostile_folder(setup: Setup) -> bool:
    async with setup.sandbox():
        command = run_of(setup)
        write_manifest(command, "one", "two")
        marker = setup.folder / "executed"
        code = f"open({str(marker)!r}, 'a').write(__file__)\n"
        for name in ("uvicorn", "prefect", "httpx", "json", "sitecustomize", "usercustomize", "typing", "logging"):
            (command.folder / f"{name}.py").write_text(code)
        for name in ("flows", "tasks", "animatic"):
            (command.folder / name).mkdir()
            (command.folder / name / "__init__.py").write_text(code)
        shell = {
            "version": 1,
            "handlers": {"h": {"()": "os.system", "command": f"touch {marker}"}},
            "root": {"handlers": ["h"]},
        }
        (command.folder / "logging.yml").write_text(json.dumps(shell))
        where = command.folder / "logging.yml"
        (command.folder / ".env").write_text(
            f"PREFECT_LOGGING_SETTINGS_PATH={where}\nPREFECT_API_URL=http://127.0.0.1:9/api\n"
        )
        (command.folder / "prefect.toml").write_text(f'[logging]\nconfig_path = "{where}"\n')
        (command.folder / "pyproject.toml").write_text(f'[tool.prefect.logging]\nconfig_path = "{where}"\n')
        code_of_end = await (await command.start()).end()
        assert code_of_end == 0, command.said[-600:]
        assert not marker.exists(), marker.read_text()
        assert setup.bought == {"one": 1, "two": 1}
        return True


async def _midway(setup: Setup, disturb: Callable[[Command], Awaitable[None]], **settings: Any) -> Command:
    """A run of six takes; it is disturbed once the first was accepted."""
    command = run_of(
        setup, ANIMATIC_STARTS_PER_MINUTE="60", ANIMATIC_MAX_IN_FLIGHT="2", ANIMATIC_QUEUED_AHEAD="0", **settings
    )
    write_manifest(command, *(f"take {number}" for number in range(6)))
    await command.start()
    try:
        await until(lambda: setup.accepted)
        await disturb(command)
        command.code = await command.end()
    finally:
        command.kill()
    return command


@case("Prefect", "its server is killed midway", "all takes, the table, exit code 0, and a word about Prefect")
async def _server_killed(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=0.3):
        killed: list[int] = []

        async def kill(command: Command) -> None:
            killed.extend(command.children("flows.server.prefect_server"))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

        command = await _midway(setup, kill)
        assert command.code == 0, command.said[-600:]
        assert b"Prefect did not receive" in command.said
        assert statuses(command) == {"completed": 6}
        assert set(setup.bought.values()) == {1}
        return len(killed) == 1


@case("Prefect", "its server is stopped midway", "the same, within a minute of the last take")
async def _server_stopped(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=0.3):
        stopped: list[int] = []

        async def stop(command: Command) -> None:
            stopped.extend(command.children("flows.server.prefect_server"))
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)

        command = await _midway(setup, stop)
        assert command.code == 0, command.said[-600:]
        assert b"Prefect did not receive" in command.said
        assert statuses(command) == {"completed": 6}
        assert set(setup.bought.values()) == {1}
        return len(stopped) == 1


@case(
    "Prefect",
    "the run is cancelled in Prefect midway",
    "nothing is bought 5 s later; the table is written, exit code 130",
)
async def _cancelled(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=3.0):
        said: list[str] = []

        def ask(url: str, path: str, body: Any) -> Any:
            headers = {
                "content-type": "application/json",
                "authorization": "Basic " + b64encode(PASSWORD.encode()).decode(),
            }
            request = urllib.request.Request(f"{url}/{path}", json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=10) as reply:
                return json.load(reply)

        async def cancel(command: Command) -> None:
            (pid,) = command.children("flows.server.prefect_server")
            environ = Path(f"/proc/{pid}/environ").read_text().split("\0")
            (url,) = (each.partition("=")[2] for each in environ if each.startswith("PREFECT_SERVER_UI_API_URL="))
            (run,) = await asyncio.to_thread(ask, url, "flow_runs/filter", {})
            body = {"state": {"type": "CANCELLING"}}
            said.append((await asyncio.to_thread(ask, url, f"flow_runs/{run['id']}/set_state", body))["status"])

        command = await _midway(setup, cancel)
        assert command.code == 130, command.said[-600:]
        assert b"cancelled in Prefect" in command.said
        assert len(setup.accepted) < 6, "all was bought"
        assert statuses(command).total() == 6
        return said == ["ACCEPT"]


@case("connection", "a proxy for everything, and no exception for loopback", "loopback is reached directly")
async def _proxy(setup: Setup) -> bool:
    visits: list[bytes] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(await reader.read(100))
        writer.close()

    async with setup.sandbox(), await asyncio.start_server(visited, "127.0.0.1", 0) as listening:
        url = f"http://me:secret@127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        command = run_of(setup, **dict.fromkeys(names, url))
        write_manifest(command, "one", "two")
        code = await (await command.start()).end()
        asked = {visit.split(b"\r\n")[0] for visit in visits}
        assert asked <= {b"CONNECT stills.example:443 HTTP/1.1"}, asked  # stills on the web are looked at through it
        assert code == 0, command.said[-600:]
        assert setup.bought == {"one": 1, "two": 1}
        return True


@case("process", "few open files", "connections are fitted to them; every take, and a table of all")
async def _few_files(setup: Setup) -> bool:
    async with setup.sandbox(starts_per_minute=5_000, inference_s=3.0):
        command = run_of(setup)
        write_manifest(command, *(f"take {number}" for number in range(400)))
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (140, 140))  # noqa: E731
        code = await (await command.start(preexec_fn=limit)).end()
        assert code == 0, command.said[-600:]
        assert statuses(command) == {"completed": 400}
        assert set(setup.bought.values()) == {1}
        return True


@case(
    "process", "the terminal is closed, and closed again", "what was submitted is waited for; the table; exit code 130"
)
async def _hang_up(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=3.0):

        async def hang_up(command: Command) -> None:
            command.signal(signal.SIGHUP)
            await asyncio.sleep(0.2)
            with contextlib.suppress(ProcessLookupError):
                command.signal(signal.SIGHUP)

        command = await _midway(setup, hang_up)
        assert command.code == 130, command.said[-600:]
        assert b"interrupted by SIGHUP" in command.said
        assert statuses(command).total() == 6
        assert set(setup.bought.values()) == {1}
        return len(setup.accepted) < 6


@case(
    "process",
    "a second Ctrl-C while a reply hangs",
    "the table before the reply, exit code 130; nothing is bought twice later",
)
async def _hurry(setup: Setup) -> bool:
    async with setup.sandbox():
        command = run_of(setup)
        write_manifest(command, "hangs [sandbox:drip=submit]")
        await command.start()
        await until(lambda: setup.accepted)
        command.signal(signal.SIGINT)
        await asyncio.sleep(1.2)  # the time between two wishes
        command.signal(signal.SIGINT)
        code = await command.end(30)
        assert code == 130, command.said[-600:]
        assert statuses(command) == {"unknown": 1}
        (error,) = pq.read_table(command.folder / "out.parquet")["error"].to_pylist()
        assert error.endswith("while it was submitting this take"), f"it waited for the reply, or gave it up: {error}"
        again = run_of(setup, ANIMATIC_SETTLE_S="0")
        assert await (await again.start()).end() in {0, 4}, again.said[-600:]
        assert set(setup.bought.values()) == {1}
        return True


@case("process", "the reader of its output is gone", "the run goes on to its end")
async def _broken_pipe(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=0.3):
        ours, theirs = os.pipe()

        async def close(_: Command) -> None:
            os.close(ours)

        command = run_of(setup, ANIMATIC_MAX_IN_FLIGHT="1", ANIMATIC_QUEUED_AHEAD="0")
        write_manifest(command, *(f"take {number}" for number in range(4)))
        await command.start(stdout=theirs, stderr=theirs)
        os.close(theirs)
        await until(lambda: setup.accepted)
        await close(command)
        assert await command.end() == 0
        assert statuses(command) == {"completed": 4}
        assert set(setup.bought.values()) == {1}
        return True


@case("process", "no home that can be written to: ANIMATIC_HOME alone", "all of it lies there")
async def _container(setup: Setup) -> bool:
    async with setup.sandbox():
        home = setup.folder / "state"
        home.mkdir()
        command = run_of(setup, ANIMATIC_HOME=str(home), HOME="/proc/no-such-home", ANIMATIC_PORT="tcp://10.0.0.1:80")
        write_manifest(command, "one")
        code = await (await command.start()).end()
        assert code == 0, command.said[-900:]
        assert {each.name for each in home.iterdir()} >= {"logs", "prefect", "tmp"}
        assert setup.bought == {"one": 1}
        return True


@case(
    "company",
    "two runs share the embedded sandbox, and the first ends first",
    "both end well; each take is bought once",
)
async def _one_sandbox(setup: Setup) -> bool:
    async with setup.sandbox():
        other = Place(setup.folder, "other").url
        first, second = (
            Command(
                setup,
                "run",
                f"{name}.csv",
                "--results",
                f"{name}.parquet",
                "--sandbox",
                "--no-archive",
                "--json",
                ANIMATIC_LEDGER=other,
            )
            for name in ("first", "second")
        )
        write_manifest(first, "one", name="first.csv")
        write_manifest(second, "two [sandbox:slow=15]", name="second.csv")
        await first.start()
        witness = first.home / ".local/share/animatic/sandbox"
        await until(lambda: (witness / "sandbox.lock").exists() and (witness / "sandbox.lock").read_text())
        await second.start()
        codes = [await first.end(40), await second.end(60)]
        assert codes == [0, 0], (first.said[-400:], second.said[-400:])
        assert set(Counter(each.inputs["prompt"] for each in read_witness(witness)).values()) == {1}
        assert [statuses(first, "first.parquet"), statuses(second, "second.parquet")] == [{"completed": 1}] * 2
        assert setup.accepted == []
        return True


@case("disk", "results that are the manifest, or a person's own file", "refused with 2; the file is as it was")
async def _not_ours(setup: Setup) -> bool:
    async with setup.sandbox():
        command = Command(setup, "run", "shots.csv", "--results", "shots.csv", "--yes")
        write_manifest(command, "one")
        manifest = (command.folder / "shots.csv").read_bytes()
        assert await (await command.start()).end() == 2, command.said[-600:]
        assert (command.folder / "shots.csv").read_bytes() == manifest
        (command.folder / "out.parquet").write_text("my notes\n")
        other = run_of(setup)
        assert await (await other.start()).end() == 2, other.said[-600:]
        assert (command.folder / "out.parquet").read_text() == "my notes\n"
        assert setup.accepted == []
        return True


@case("disk", "columns that people added to the results", "kept, with the mode of the file")
async def _peoples_columns(setup: Setup) -> bool:
    async with setup.sandbox():
        command = run_of(setup)
        write_manifest(command, "one", "two")
        assert await (await command.start()).end() == 0, command.said[-600:]
        path = command.folder / "out.parquet"
        table = pq.read_table(path)
        pq.write_table(table.append_column("approved", pa.array([True, None])), path)
        path.chmod(0o640)
        again = run_of(setup)
        assert await (await again.start()).end() == 0, again.said[-600:]
        assert pq.read_table(path)["approved"].to_pylist() == [True, None]
        assert path.stat().st_mode & 0o777 == 0o640
        assert set(setup.bought.values()) == {1}
        return True


@case("input", "a small Parquet file with nested text of hundreds of megabytes", "refused with 2, in little memory")
async def _nested_text(setup: Setup) -> bool:
    async with setup.sandbox():
        command = Command(setup, "run", "shots.parquet", "--results", "out.parquet", "--yes")
        note = {"deep": ["x" * 1_000_000] * 8}
        rows = [{"image": STILL, "prompt": f"take {number}", "note": note} for number in range(24)]
        pq.write_table(pa.Table.from_pylist(rows), command.folder / "shots.parquet", compression="zstd")
        size = (command.folder / "shots.parquet").stat().st_size
        assert await (await command.start()).end() == 2, command.said[-600:]
        assert not (command.folder / "out.parquet").exists()
        assert setup.accepted == []
        return size < 5_000_000


@case("input", "stills larger together than memory should be", "uploaded one after the other, in little memory")
async def _large_stills(setup: Setup) -> bool:
    async with setup.sandbox():
        command = run_of(setup)
        noise = np.random.default_rng(1).integers(0, 256, (1_500, 1_500, 3), dtype=np.uint8)
        Image.fromarray(noise).save(command.folder / "still.png")
        still, lines = (command.folder / "still.png").read_bytes(), ["image,prompt"]
        for number in range(40):
            (command.folder / f"{number}.png").write_bytes(still + number.to_bytes(8, "big"))
            lines.append(f"{number}.png,take {number}")
        (command.folder / "shots.csv").write_text("\n".join(lines) + "\n")
        await command.start()
        assert command.process is not None
        most, status = 0, Path(f"/proc/{command.process.pid}/status")
        ending = asyncio.create_task(command.end())
        while not ending.done():
            with contextlib.suppress(OSError, IndexError, ValueError):
                most = max(most, int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10)
            await asyncio.sleep(0.1)
        assert await ending == 0, command.said[-600:]
        assert most < 450 << 20, f"{most >> 20} MB at most, for stills of {40 * len(still) >> 20} MB"
        assert set(setup.bought.values()) == {1}
        return 40 * len(still) > 200 << 20
