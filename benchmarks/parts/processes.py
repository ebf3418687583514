"""Several runs at once on one SQLite ledger: together they keep one account's limits, and lose nothing.

No takes are queued ahead, so that the places can be counted exactly. In the last case the runs believe in twice as many
starts a minute as there are: 429 teaches them.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from benchmarks.contest import Studio, completed_in, write_manifest
from benchmarks.ideal import most_at_once, most_in_window
from benchmarks.process import Measured, measure
from benchmarks.server import Account, served, takes_of
from benchmarks.sizes import Result, Sizes, say

ACCOUNT, TAKES = Account(240, 60, 10.0), 480


def run(studio: Studio, sizes: Sizes) -> Result:
    """Two runs, four, and two that were told too much; each with a manifest of its own."""
    wrong = replace(ACCOUNT, starts_per_minute=2 * ACCOUNT.starts_per_minute)
    takes = sizes.takes or TAKES
    rows = [_together(studio, runs, takes, told) for runs, told in ((2, ACCOUNT), (4, ACCOUNT), (2, wrong))]
    return {"rows": rows, "starts_per_minute": ACCOUNT.starts_per_minute, "in_flight": ACCOUNT.in_flight}


def _together(studio: Studio, runs: int, takes: int, told: Account) -> Result:
    studio.warm()
    shared = studio.room("ledger")
    rooms = [studio.room(f"run-{number}") for number in range(runs)]
    with served(shared / "sandbox", ACCOUNT) as server:

        def shoot(number: int) -> Measured:
            room = rooms[number]
            manifest = write_manifest(room / "shots.parquet", takes // runs, f"run-{number}")
            believed = replace(server, account=told)
            command, env = studio.command("animatic", believed, room, manifest, shared / "ledger.sqlite")
            return measure(command, env | {"ANIMATIC_QUEUED_AHEAD": "0"}, room)

        with ThreadPoolExecutor(runs) as pool:
            took = list(pool.map(shoot, range(runs)))
        stats = server.stats()
    seen = takes_of(shared / "sandbox")
    times = Counter(each.prompt for each in seen)
    row: Result = {
        "runs": runs,
        "takes": takes,
        "told_starts_a_minute": told.starts_per_minute,
        "exit_codes": [each.exit_code for each in took],
        "completed": sum(completed_in(room / "out.parquet") for room in rooms),
        "most_starts_a_minute": most_in_window(sorted(each.accepted_at for each in seen)),
        "most_in_flight": most_at_once((each.accepted_at, each.final_at) for each in seen),
        "refused": stats.get("refused_rate", 0),
        "bought_twice": sum(number - 1 for number in times.values()),
        "lost": takes - sum(each.seen_at is not None for each in seen),
        "wall_s": round(max(each.wall_s for each in took), 1),
    }
    for each in took:
        if each.exit_code:
            say(each.stderr[-1_500:])
    say(f"{runs} runs, told {told.starts_per_minute} starts a minute: {row}")
    return row
