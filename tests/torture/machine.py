"""A Hypothesis state machine over submit, crash, restart, list, expire and second run: it searches for the sequence that
breaks the promise, and shrinks it. Virtual time, the real ledger, the API of `fake_api`.
"""

import asyncio
import gc
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from torture.fake_api import Temper
from torture.ledgers import Place, is_on_server, live_at
from torture.part import Part
from torture.studio import fast_folder
from torture.virtual import VirtualLoop
from torture.world import SETTLE_S, Process, World

TOTAL = Part("state machine")
KINDS: Counter[str] = Counter()


class Takes(RuleBasedStateMachine):
    """Some takes, an account, and whatever may happen to them."""

    @initialize(seed=st.integers(0, 10**6), echoes=st.booleans())
    def begin(self, seed: int, echoes: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="animatic-machine-", dir=fast_folder()))
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        live_at(self.folder)
        self.world = World(seed, self.folder)
        self.world.max_microusd = None
        self.world.temper = self.world.api.temper = Temper(echoes=echoes)
        self.runs = 0
        TOTAL.points += 1

    def _live(self, *deadliness: float) -> None:
        self.runs += 1
        crowd = [Process(self.world, f"run-{self.runs}-{each}", chance) for each, chance in enumerate(deadliness)]

        async def together() -> None:
            await asyncio.gather(*(process.live(self.world.takes) for process in crowd))

        self.loop.run_until_complete(together())

    def _pass(self, seconds: float) -> None:
        """Advance the clock event by event, so that a submission is accepted at its own time and not later."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(
        submit=st.sampled_from([0.0, 0.5, 1.0]), look=st.sampled_from([0.0, 0.5]), listing=st.sampled_from([0.0, 0.5])
    )
    def the_api_changes(self, submit: float, look: float, listing: float) -> None:
        temper = self.world.api.temper
        temper.submit, temper.look, temper.list = submit, look, listing

    @rule(delay_s=st.sampled_from([0.0, 30.0, SETTLE_S - 1]))
    def the_list_is_late(self, delay_s: float) -> None:
        self.world.api.temper.list_delay_s = delay_s

    @rule()
    def a_run(self) -> None:
        self._live(0.0)
        KINDS["runs"] += 1

    @rule(deadliness=st.sampled_from([0.01, 0.05, 0.2]))
    def a_run_that_crashes(self, deadliness: float) -> None:
        self._live(deadliness)
        KINDS["crashing runs"] += 1

    @rule(first=st.sampled_from([0.0, 0.05]), second=st.sampled_from([0.0, 0.05]))
    def two_runs(self, first: float, second: float) -> None:
        self._live(first, second)
        KINDS["pairs of runs"] += 1

    @rule(seconds=st.sampled_from([1.0, 60.0, SETTLE_S, 2 * SETTLE_S]))
    def time_passes(self, seconds: float) -> None:
        self._pass(seconds)

    @rule()
    def a_week_passes(self) -> None:
        self._pass(8 * 86_400.0)
        KINDS["weeks"] += 1

    @invariant()
    def nothing_is_bought_twice(self) -> None:
        if hasattr(self, "world"):
            part = self.world.count()
            assert part.duplicates == 0, part.problems

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.api.temper, world.stops = world.api.temper.calmed(), 0.0
        for _ in range(3):
            self._live(0.0)
            self._pass(SETTLE_S + 120)
        part = world.count()
        TOTAL.faults_fired += sum(world.api.fired.values())
        TOTAL.accepted += part.accepted
        TOTAL.unknown += part.unknown
        asyncio.set_event_loop(None)
        self.loop.close()
        world.api.predictions.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if is_on_server():
            Place(self.folder).remove()
        assert (part.duplicates, part.lost, part.unreported) == (0, 0, 0), part.problems


def run(examples: int = 60, steps: int = 15) -> Part:
    """So many sequences of at most so many steps."""
    began = time.monotonic()
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    checks: Any = list(HealthCheck)
    try:
        run_state_machine_as_test(
            Takes,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=checks,
                database=None,
            ),
        )
    except AssertionError as error:
        sequence = getattr(error, "__notes__", [])
        TOTAL.problems.append("\n".join([str(error)[:2_000], *sequence]))
    finally:
        gc.collect()  # the coroutines of dead processes go now, while their messages do no harm
        sys.unraisablehook = hook
    TOTAL.details = {"kinds": dict(KINDS)}
    TOTAL.seconds = time.monotonic() - began
    return TOTAL


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
