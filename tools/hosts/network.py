"""Hosts as network namespaces: made, cut off, slowed and taken down again. Needs root and `ip` and `tc` of iproute2.

Each host has a loopback of its own and one line, to a bridge. What listens on the bridge's address, outside of all
namespaces, is reached by all of them; nothing beyond the bridge is.

with Network() as network:
    host = network.add_host()
    host.start(["animatic", "run", …], env, log)
    host.cut()
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

PREFIX = "anh"
"""Names of all that is made here begin so, and with the number of the process that made it."""

_SUBNETS = range(64, 128)
_ENDS_WITHIN_S = 10.0


class HostsError(Exception):
    """Hosts cannot be made on this machine, or `ip` or `tc` refused something."""


def missing() -> str | None:
    """Return why there can be no hosts on this machine, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [name for name in ("ip", "tc") if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"{' and '.join(absent)} not found; install iproute2"
    name = f"{PREFIX}probe{os.getpid()}"
    try:
        _ip("netns", "add", name)
    except HostsError as error:
        return str(error)
    _ip("netns", "del", name)
    return None


class Host:
    """One host: a namespace, its address, and its line to the bridge."""

    def __init__(self, name: str, address: str, bridge: str) -> None:
        self.name, self.address, self._bridge = name, address, bridge
        self._namespace = f"{bridge}-{name}"
        self._line = f"{bridge}{name}"  # 15 characters at most
        self._processes: list[subprocess.Popen[bytes]] = []
        self.is_cut = False

    def set_up(self, gateway_bits: int) -> None:
        """Make the namespace and its line."""
        _ip("netns", "add", self._namespace)
        _ip("link", "add", self._line, "type", "veth", "peer", "name", "eth0", "netns", self._namespace)
        _ip("-n", self._namespace, "address", "add", f"{self.address}/{gateway_bits}", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", self._namespace, "link", "set", device, "up")
        _ip("link", "set", self._line, "master", self._bridge, "up")

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command as it is run in the host; its process is the command's own."""
        return [shutil.which("ip", path=_PATH) or "ip", "netns", "exec", self._namespace, *command]

    def start(
        self, command: Sequence[str], env: Mapping[str, str], log: IO[bytes], cwd: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a command in the host, in a session of its own, and return its process."""
        process = subprocess.Popen(
            self.command(command),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def cut(self, *, is_seen: bool = False) -> None:
        """Cut the line: what is sent is lost without a word. With `is_seen` the host loses its carrier too."""
        if is_seen:
            _ip("link", "set", self._line, "down")
        else:
            _ip("link", "set", self._line, "nomaster")
        self.is_cut = True

    def mend(self) -> None:
        """Mend the line."""
        _ip("link", "set", self._line, "master", self._bridge, "up")
        self.is_cut = False

    def slow(self, rate: str = "256kbit") -> None:
        """Let no more through than `rate`, as `tc` writes it, in either direction."""
        limit = ("tbf", "rate", rate, "burst", "16kb", "latency", "400ms")
        _run("tc", "qdisc", "replace", "dev", self._line, "root", *limit)
        _run("tc", "-n", self._namespace, "qdisc", "replace", "dev", "eth0", "root", *limit)

    def full_speed(self) -> None:
        """Take the limit away."""
        with contextlib.suppress(HostsError):
            _run("tc", "qdisc", "del", "dev", self._line, "root")
            _run("tc", "-n", self._namespace, "qdisc", "del", "dev", "eth0", "root")

    def pids(self) -> list[int]:
        """Return the processes that run in the host."""
        with contextlib.suppress(HostsError):
            return [int(pid) for pid in _ip("netns", "pids", self._namespace).split()]
        return []

    def kill(self) -> int:
        """Kill every process of the host at once, as a power cut does; return how many there were."""
        killed = 0
        until = time.monotonic() + _ENDS_WITHIN_S
        while (left := self._running()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            time.sleep(0.02)
        for process in self._processes:
            process.wait(_ENDS_WITHIN_S)  # so that no zombie of ours stays
        self._processes.clear()
        return killed

    def _running(self) -> set[int]:
        """Return what runs in the host, with what was started and is still on its way into it."""
        return {*self.pids(), *(process.pid for process in self._processes if process.poll() is None)}

    def take_down(self) -> None:
        """Kill what runs in the host and remove it."""
        self.kill()
        for command in (("link", "del", self._line), ("netns", "del", self._namespace)):
            with contextlib.suppress(HostsError):
                _ip(*command)


class Network:
    """A bridge and the hosts on it, taken down at the end of the block however it ends.

    Attributes:
        address: the bridge's own, of this machine outside of all hosts.
        subnet: that of all addresses here.
    """

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self._bridge = f"{PREFIX}{os.getpid()}"
        self.address = self.subnet = ""

    def __enter__(self) -> Self:
        """Make the bridge; raises HostsError."""
        if (problem := missing()) is not None:
            raise HostsError(problem)
        _remove(self._bridge)  # of an earlier process with this number
        taken = _ip("-o", "-4", "address", "show")
        third = next(each for each in _SUBNETS if f" 10.18.{each}." not in taken)
        self.address, self.subnet = f"10.18.{third}.1", f"10.18.{third}.0/24"
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("address", "add", f"{self.address}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
        except HostsError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.take_down()
        self.hosts.clear()
        with contextlib.suppress(HostsError):
            _ip("link", "del", self._bridge)

    def add_host(self) -> Host:
        """Make one more host and return it."""
        number = len(self.hosts) + 1
        host = Host(f"h{number}", f"{self.address.rpartition('.')[0]}.{10 + number}", self._bridge)
        self.hosts.append(host)  # so that half a host is taken down too
        host.set_up(24)
        return host


def take_down_leavings() -> list[str]:
    """Remove bridges, lines and namespaces that a killed process left; return the names of their bridges."""
    bridges = [line.split(": ")[1] for line in _ip("-o", "link", "show", "type", "bridge").splitlines()]
    names = [*bridges, *(line.split()[0].partition("-")[0] for line in _ip("netns", "list").splitlines())]
    found = sorted({name for name in names if name.startswith(PREFIX) and not _is_running(name.removeprefix(PREFIX))})
    for name in found:
        _remove(name)
    return found


def _is_running(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists() or not pid.isdigit()


def _remove(bridge: str) -> None:
    """Remove a bridge and its hosts, as far as they are there."""
    for line in _ip("netns", "list").splitlines():
        namespace = line.split()[0]
        if namespace.startswith(f"{bridge}-"):
            Host(namespace.removeprefix(f"{bridge}-"), "", bridge).take_down()
    with contextlib.suppress(HostsError):
        _ip("link", "del", bridge)


_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PATH": _PATH, "LC_ALL": "C"}, timeout=30
        )
    except OSError as error:
        raise HostsError(f"{command[0]}: {error.strerror}; install iproute2") from None
    if ended.returncode:
        raise HostsError(f"{' '.join(command)}: {(ended.stderr or ended.stdout).strip()}")
    return ended.stdout
