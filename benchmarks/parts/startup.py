"""From the shell to the first submission, against an empty Prefect flow from the shell to its first line."""

import statistics

from benchmarks.contest import Studio
from benchmarks.server import Account
from benchmarks.sizes import Result, Sizes, say

ROUNDS = 3
ACCOUNT = Account(5_000, 10, 0.5)


def run(studio: Studio, sizes: Sizes) -> Result:
    """Interleaved, warm and with a fresh Prefect home; medians."""
    rounds = sizes.rounds or ROUNDS
    rows: list[Result] = []
    for is_fresh in (False, True):
        empties: list[float] = []
        posts: list[float] = []
        for _ in range(rounds):
            empties.append(studio.empty(is_fresh=is_fresh).first_line_s)
            posts.append(studio.compete("animatic", ACCOUNT, 1, is_fresh=is_fresh).first_post_s)
        empty_s, post_s = statistics.median(empties), statistics.median(posts)
        rows.append(
            {
                "home": "fresh" if is_fresh else "warm",
                "empty_s": round(empty_s, 2),
                "first_post_s": round(post_s, 2),
                "ratio": round(post_s / empty_s, 3),
                "empties_s": [round(each, 2) for each in empties],
                "first_posts_s": [round(each, 2) for each in posts],
            }
        )
        say(f"{rows[-1]['home']}: empty flow {empty_s:.2f} s, first POST {post_s:.2f} s, {post_s / empty_s:.2f} x")
    return {"rounds": rounds, "rows": rows}
