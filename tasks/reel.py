"""Show reels in Prefect: a link to each, and a table of what is in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from animatic import storage
from animatic.errors.text import counted
from animatic.media.reel import Reel
from animatic.results.summary import plain
from tasks.policies import NEVER_CACHED
from tasks.results import artifact_key

MOST_LINKS = 50
"""So many reels get a link of their own; a table names the first 200."""

MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class ReelShown:
    """The reel of a storyboard."""

    storyboard: str
    reel: Reel


@task(name="publish-reels", task_run_name="publish reels", cache_policy=NEVER_CACHED, persist_result=False)
async def publish_reels(reels: Sequence[ReelShown], deployment: str | None) -> None:
    """One link for each reel, and one table of all; each place has artifacts of its own."""
    for shown in reels[:MOST_LINKS]:
        uri = storage.absolute_uri(shown.reel.uri)
        key = artifact_key(f"{deployment or 'run'} reel", uri)
        await acreate_link_artifact(uri, link_text=storage.name_of(uri), key=key, description=in_words(shown))
    key = artifact_key(f"{deployment or 'run'} reels", storage.absolute_uri(reels[0].reel.uri))
    await acreate_markdown_artifact(as_markdown(reels), key=key, description="The newest reels")


def in_words(shown: ReelShown) -> str:
    """Return what is in a reel, in a sentence."""
    reel = shown.reel
    slates = f", {reel.slates:,} of them slates" if reel.slates else ""
    sound = "with sound" if reel.has_sound else "silent"
    canvas = f"{reel.canvas.width} x {reel.canvas.height} at {float(reel.canvas.fps):g}"
    return f"{counted(reel.shots, 'shot')}{slates}, {reel.duration_s:,.1f} s, {canvas}, {sound}"


def as_markdown(reels: Sequence[ReelShown]) -> str:
    """Return a table of reels, and the clips that are missing."""
    head = "| storyboard | shots | slates | seconds | missing clips |\n| --- | ---: | ---: | ---: | ---: |"
    rows = [
        f"| {plain(each.storyboard)} | {each.reel.shots:,} | {each.reel.slates:,} | {each.reel.duration_s:,.1f} | "
        f"{len(each.reel.problems):,} |"
        for each in reels[:MOST_ROWS]
    ]
    problems = [problem for each in reels for problem in each.reel.problems][:MOST_ROWS]
    return "\n".join([head, *rows, "", *(f"- {plain(problem)}" for problem in problems)])
