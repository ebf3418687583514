"""Power loss: what a disk may hold when the power fails, at hundreds of moments of a recorded run.

One run is recorded under strace with all that it writes. For a moment and a seed the disk is rebuilt as harshly as a
journalling file system (ext4, xfs) may leave it:

    contents   what was written before a file's last finished fsync or fdatasync is there; of what was written later,
               each write is there, is not, or is torn at 512-byte sectors, independently of the others
    names      creations, removals and renames before a folder's last finished fsync are there; of the later ones, in
               their order, a part from the first on

Then a run starts on that disk, against a sandbox that has accepted what had been sent by that moment. What had been
sent must not be bought again, and the ledger must open.
"""

import asyncio
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.server import serve
from animatic.web.certificates import tls_context
from animatic.web.network import DIRECT
from torture.canary import KEY, search
from torture.part import Part
from torture.studio import fast_folder, in_child, judge, served, witness_of
from torture.subject import Setup, run_subject, write_manifest
from torture.syscalls import command

PROMPTS = ("push in w", "pan left w", "[sandbox:lost-reply] tilt up w", "[sandbox:fails] x w")
TRACED = "openat,close,pwrite64,write,fsync,fdatasync,ftruncate,fallocate,unlink,unlinkat,rename,sendto,sendmsg,writev"
SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One thing that the run did to its disk, or a request that it sent (`post`)."""

    call: str
    path: str
    data: bytes = b""
    at: int = 0
    target: str = ""


def record(folder: Path, url: str) -> tuple[Setup, list[Step]]:
    """A whole run, and everything it did below its folder, in order."""
    setup = write_manifest(folder, list(PROMPTS))
    log = folder.with_name("power.txt")
    subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-y",
            "-xx",
            "-s",
            "4000000",
            "-o",
            str(log),
            "-e",
            f"trace={TRACED}",
            *command(setup, url),
        ],
        check=True,
        capture_output=True,
    )
    return setup, parse(log.read_text(errors="replace"), str(folder))


_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*?)>)?(?: .*)?$", re.DOTALL)
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"^(\d+)<(.*?)>")


def parse(log: str, folder: str) -> list[Step]:
    """The steps in an strace log (-f -y -xx); calls that were interrupted by other threads are put together again."""
    begun: dict[str, str] = {}
    steps: list[Step] = []
    positions: dict[str, int] = {}
    for line in log.splitlines():
        pid, _, said = line.partition(" ")
        said = said.strip()
        if said.endswith("<unfinished ...>"):
            begun[pid] = said.removesuffix("<unfinished ...>")
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", said, re.DOTALL)
        if resumed:
            said = begun.pop(pid, "") + resumed[1]
        call = _CALL.match(said)
        if call is None or int(call[3]) < 0:
            continue
        step = _step(call[1], call[2], int(call[3]), _plain(call[4] or ""), positions)
        if step is not None and (step.call == "post" or step.path.startswith(folder)):
            steps.append(step)
    return steps


def _step(call: str, arguments: str, result: int, opened: str, positions: dict[str, int]) -> Step | None:  # noqa: PLR0911
    strings = [bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(arguments)]
    of = _FD.match(arguments)
    path = _plain(of[2]) if of else ""
    match call:
        case "openat":
            positions[opened] = 0
            return Step("create", opened) if "O_CREAT" in arguments else None
        case "pwrite64":
            return Step("write", path, strings[0][:result], int(arguments.rsplit(",", 1)[1]))
        case "write":
            at = positions.get(path, 0)
            positions[path] = at + result
            return Step("write", path, strings[0][:result], at) if strings else None
        case "fsync" | "fdatasync":
            return Step("sync", path)
        case "ftruncate":
            return Step("truncate", path, at=int(arguments.rsplit(",", 1)[1]))
        case "fallocate":
            return Step("allocate", path, at=int(arguments.rsplit(",", 1)[1]))
        case "unlink" | "unlinkat":
            return Step("unlink", strings[0].decode())
        case "rename":
            return Step("rename", strings[0].decode(), target=strings[1].decode())
        case "sendto" | "sendmsg" | "writev":
            sent = b"".join(strings)
            is_submission = sent.startswith(b"POST /api/v3/wavespeed-ai") or b'"prompt"' in sent
            return Step("post", "", sent) if is_submission and b'"model_id"' not in sent else None  # that is a quote
        case _:
            return None


def _plain(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text).removesuffix(" (deleted)")


@dataclass
class _File:
    """Contents that are on the disk for sure, and what was done to them since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)

    def settle(self) -> None:
        for step in self.pending:
            _apply(self.durable, step, step.data)
        self.pending.clear()

    def after_power_loss(self, chance: random.Random) -> bytes:
        found = bytearray(self.durable)
        for step in self.pending:
            fate = chance.random()
            if fate < 0.4:
                _apply(found, step, step.data)
            elif fate < 0.6 and len(step.data) > SECTOR:
                cut = SECTOR * chance.randrange(len(step.data) // SECTOR + 1)
                torn = step.data[:cut] if chance.random() < 0.5 else None
                if torn is not None:
                    _apply(found, step, torn)
                else:
                    _apply(found, Step("write", step.path, at=step.at + cut), step.data[cut:])
        return bytes(found)


def _apply(contents: bytearray, step: Step, data: bytes) -> None:
    match step.call:
        case "write":
            if len(contents) < step.at:
                contents.extend(bytes(step.at - len(contents)))
            contents[step.at : step.at + len(data)] = data
        case "truncate":
            del contents[step.at :]
            contents.extend(bytes(max(0, step.at - len(contents))))
        case _:
            contents.extend(bytes(max(0, step.at - len(contents))))


class Disk:
    """A disk with names and contents, each durable only when synced."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._durable_names: dict[str, int] = {}
        self._pending_names: dict[str, list[tuple[str, int | None]]] = {}

    def do(self, step: Step) -> None:
        """One step of the recorded run."""
        match step.call:
            case "create":
                if step.path not in self._names:
                    self._rename(step.path, len(self._files))
                    self._files[len(self._files)] = _File()
            case "unlink":
                self._rename(step.path, None)
            case "rename":
                inode = self._names.get(step.path)
                self._rename(step.path, None)
                self._rename(step.target, inode)
            case "sync" if step.path in self._names:
                self._files[self._names[step.path]].settle()
            case "sync":
                for name, inode in self._pending_names.pop(step.path, []):
                    self._durable_names[name] = -1 if inode is None else inode
            case "write" | "truncate" | "allocate" if step.path in self._names:
                self._files[self._names[step.path]].pending.append(step)
            case _:
                pass

    def _rename(self, name: str, inode: int | None) -> None:
        if inode is None:
            self._names.pop(name, None)
        else:
            self._names[name] = inode
        self._pending_names.setdefault(str(Path(name).parent), []).append((name, inode))

    def after_power_loss(self, chance: random.Random) -> dict[str, bytes]:
        """Return the possible contents after a power loss, by path."""
        names = dict(self._durable_names)
        for pending in self._pending_names.values():
            for name, inode in pending[: chance.randint(0, len(pending))]:
                names[name] = -1 if inode is None else inode
        return {name: self._files[inode].after_power_loss(chance) for name, inode in names.items() if inode >= 0}


def rebuild(steps: Sequence[Step], moment: int, seed: int, original: str, folder: Path) -> None:
    """Put into `folder` what the disk may hold if the power fails after so many steps."""
    disk = Disk()
    for step in steps[:moment]:
        disk.do(step)
    for name, contents in disk.after_power_loss(random.Random(seed)).items():
        path = folder / Path(name).relative_to(original)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)


def _check(
    steps: Sequence[Step], moment: int, seed: int, original: Setup, witness: str, folder: Path, part: Part
) -> None:
    """Fail the power there, run again, and count."""
    setup = write_manifest(folder / "setup", list(PROMPTS))
    rebuild(steps, moment, seed, str(original.folder), setup.folder)
    write_manifest(setup.folder, list(PROMPTS))
    sent = b"".join(step.data for step in steps[:moment] if step.call == "post")
    sandbox = folder / "sandbox"
    sandbox.mkdir()
    known = [line for line in witness.splitlines(keepends=True) if _prompt(line) in sent]
    (sandbox / "accepted.jsonl").write_text("".join(known))

    async def again() -> None:
        config = SandboxConfig(folder=sandbox, inference_s=0.05, spread=0.0, renders=False, syncs=False, key=KEY)
        async with serve(config) as serving:
            await run_subject(setup, serving.url, "after")

    point = f"power lost after step {moment}, seed {seed}"
    part.points += 1
    part.faults_fired += 1
    code = in_child(lambda: asyncio.run(again()))
    if code != 0:
        part.problems.append(f"{point}: the run after it ended with {code}")
    elif not setup.results.exists():
        part.problems.append(f"{point}: the run after it left no results")
    else:
        judge(setup, witness_of(sandbox), point, len(PROMPTS), part)
    search(folder, part)
    shutil.rmtree(folder)


def _prompt(line: str) -> bytes:
    return re.search(r'"prompt":"([^"]*)"', line)[1].encode()  # type: ignore[index]


def _check_some(job: tuple[list[tuple[int, int]], Path, Path, list[Step], str]) -> Part:
    points, original, folder, steps, witness = job
    part = Part("power")
    tls_context(DIRECT)
    for number, (moment, seed) in enumerate(points):
        _check(steps, moment, seed, Setup(original), witness, folder / str(number), part)
    return part


def run(points: int = 500, seed: int = 1) -> Part:
    """So many moments, spread evenly from the first intent to the end, each with a seed of its own."""
    from concurrent.futures import ProcessPoolExecutor

    began = time.monotonic()
    whole = Part("power loss")
    folder = Path(tempfile.mkdtemp(prefix="animatic-power-", dir=fast_folder()))
    try:
        with served(folder / "sandbox") as sandbox:
            setup, steps = record(folder / "recorded", sandbox.url)
        witness = (folder / "sandbox/accepted.jsonl").read_text()
        posts = sum(step.call == "post" for step in steps)
        if posts != len(PROMPTS):
            whole.problems.append(f"{posts} submissions were recorded instead of {len(PROMPTS)}")
        moments = [(round((number + 0.5) * len(steps) / points), seed * 1_000_000 + number) for number in range(points)]
        jobs = [(moments[half::2], setup.folder, folder / f"half-{half}", steps, witness) for half in (0, 1)]
        with ProcessPoolExecutor(2) as pool:
            for part in pool.map(_check_some, jobs):
                whole.add(part)
        kinds = Counter(step.call for step in steps)
        whole.details = {"steps": len(steps), "kinds": dict(kinds), "seed": seed}
        if kinds["sync"] == 0:
            whole.problems.append("nothing was ever synced")
        search(folder, whole)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole.seconds = time.monotonic() - began
    return whole


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
