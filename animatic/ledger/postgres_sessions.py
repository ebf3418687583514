"""Liveness of runs on many machines: a lock of a session on the server, which ends it when the session ends.

A session ends with its process, however that ends, and with its host, which the server sees by keepalives of TCP. One
that is lost while its process lives is made again within seconds by a thread of ours.
"""

import hashlib
import math
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import psycopg

from animatic.errors import LedgerError, SettingsError
from animatic.ledger.databases import Elsewhere

LOOKS_EVERY_S = 5.0
GRACE_S = 30.0
"""Time after a server's start in which no run is called dead: its session ended with the server, not with its process.

The same holds after a session was made again: a server that recovers from a crash, and a standby that takes over, do
not change their start time.
"""

_HOLD: Any = "SELECT pg_advisory_lock_shared(%s)"
_HELD: Any = """
SELECT classid::bigint, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_HAS_JUST_STARTED: Any = "SELECT now() - pg_postmaster_start_time() < make_interval(secs => %s)"
_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF


class Server(Protocol):
    """The server that a session is one of."""

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection."""
        ...

    def unusable(self, error: Exception) -> LedgerError:
        """Return what a failure of the server means for those who need the ledger."""
        ...


class Sessions(Elsewhere):
    """One session on a server, that holds the locks of this process's runs and looks at those of others."""

    def __init__(self, server: Server) -> None:
        self._server, self._held = server, set[str]()
        self._connection: psycopg.Connection[Any] | None = None
        self._remade_at_s, self._is_remade = -math.inf, False
        self._turn, self._closed = threading.RLock(), threading.Event()
        self._watch: threading.Thread | None = None

    @contextmanager
    def hold(self, run_id: str) -> Generator[None]:
        """Hold a run's lock for the length of the block.

        Raises:
            LedgerUnusableError: the server does not answer.
        """
        try:
            with self._turn:
                self._connected().execute(_HOLD, (_key_of(run_id),))
                self._held.add(run_id)
        except psycopg.Error as error:
            raise self._server.unusable(error) from None
        if self._watch is None:
            self._watch = threading.Thread(target=self._keep, name="ledger sessions", daemon=True)
            self._watch.start()
        try:
            yield
        finally:
            with self._turn:
                self._held.discard(run_id)
                with suppress(psycopg.Error):
                    if self._connection is not None:
                        self._connection.execute("SELECT pg_advisory_unlock_shared(%s)", (_key_of(run_id),))

    def is_alive(self, run_id: str) -> bool:
        """Tell if any session holds a run's lock. As long as that cannot be told, it is called alive."""
        return bool(self.may_live([run_id]))

    def may_live(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of these runs whose lock a session holds; all of them while the server cannot say."""
        try:
            return self._alive(run_ids)
        except (psycopg.Error, SettingsError, LedgerError):
            return list(run_ids)

    def live_among(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of these runs that may be alive. Raises LedgerUnusableError where the server is away."""
        try:
            return self._alive(run_ids)
        except psycopg.Error as error:
            raise self._server.unusable(error) from None

    def _alive(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of these runs whose locks are held.

        All of them where the server has just started, or has just lost this session: the others' may be lost with it.
        """
        with self._turn:
            session = self._connected()
            if time.monotonic() - self._remade_at_s < GRACE_S:
                return list(run_ids)
            if session.execute(_HAS_JUST_STARTED, (GRACE_S,)).fetchone() == (True,):
                return list(run_ids)
            held = {high << 32 | low for high, low in session.execute(_HELD).fetchall()}
        return [run_id for run_id in run_ids if _key_of(run_id) & _ALL_BITS in held]

    def close(self) -> None:
        """End the session, once nothing makes it again."""
        self._closed.set()
        if self._watch is not None:
            self._watch.join()
        with self._turn:
            self._end()

    def _connected(self) -> psycopg.Connection[Any]:
        """Return the session; a lost one is made again, with all its locks."""
        if self._connection is not None and not self._connection.closed:
            with suppress(psycopg.Error):
                self._connection.execute("SELECT 1")
                return self._connection
            self._end()
        made = self._server.connect()
        try:
            for run_id in self._held:
                made.execute(_HOLD, (_key_of(run_id),))
        except BaseException:
            made.close()  # one that lives without its locks would be taken for whole
            raise
        self._remade_at_s = time.monotonic() if self._is_remade else -math.inf
        self._is_remade, self._connection = True, made
        return made

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _keep(self) -> None:
        """Look at the session every few seconds, and make it again."""
        while not self._closed.wait(LOOKS_EVERY_S):
            with suppress(psycopg.Error, SettingsError), self._turn:
                self._connected()


def _key_of(run_id: str) -> int:
    """Return the number of a run's lock: 64 bits with a sign."""
    return int.from_bytes(hashlib.sha256(f"run {run_id} of animatic".encode()).digest()[:8], "big", signed=True)
