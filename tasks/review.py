"""Show a review page in Prefect: a link to it, and a picture of the takes that are picked."""

import base64
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import acreate_image_artifact, acreate_link_artifact

from animatic import storage
from tasks.deployment import deployment_name
from tasks.policies import NEVER_CACHED
from tasks.results import artifact_key

MOST_PICTURE_BYTES = 100_000
"""Prefect keeps the picture in its database, as text, and shows that text below it."""


@dataclass(frozen=True, slots=True)
class ReviewShown:
    """A review page that was written.

    Attributes:
        page: absolute URI of its `index.html`.
        words: what it shows, in a sentence.
        picture: a JPEG of the takes that are picked; None where there is none.
    """

    page: str
    words: str
    picture: bytes | None = None


@task(name="publish-review", task_run_name="publish review", cache_policy=NEVER_CACHED, persist_result=False)
async def publish_review(shown: ReviewShown) -> None:
    """One link to the page, and one picture, inside the artifact itself: no browser fetches it from anywhere."""
    key = artifact_key(f"{await deployment_name() or 'run'} review", shown.page)
    folder = storage.name_of(shown.page.rpartition("/")[0])
    await acreate_link_artifact(shown.page, link_text=f"Review page {folder}", key=key, description=shown.words)
    if shown.picture is not None:
        uri = f"data:image/jpeg;base64,{base64.b64encode(shown.picture).decode()}"
        await acreate_image_artifact(uri, key=f"{key}-takes", description=f"Takes of {folder}")
