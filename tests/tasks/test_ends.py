"""The final states of task runs: a bar's colour, name and message say how the takes ended."""

import pytest

from animatic.buying.ends import End
from animatic.takes.states import State
from tasks.ends import final_state, tags_of
from tasks.results import artifact_key

COMPLETED, FAILED, UNKNOWN, LEFT = End(State.COMPLETED), End(State.FAILED, "moderated"), End(State.UNKNOWN), End(None)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([COMPLETED], ("COMPLETED", "Completed", "completed")),
        ([FAILED], ("FAILED", "Failed", "moderated")),
        ([End(State.REJECTED, "refused")], ("FAILED", "Rejected", "refused")),
        ([UNKNOWN], ("FAILED", "Unknown", "unknown")),
        ([End(State.HELD, "by a person")], ("FAILED", "Held", "by a person")),
        ([LEFT], ("CANCELLED", "Left", "left to the next run")),
        ([End(State.SUBMITTED)], ("CANCELLED", "Left", "left to the next run")),
        ([COMPLETED] * 3, ("COMPLETED", "Completed", "3 completed")),
        ([COMPLETED, FAILED, FAILED], ("COMPLETED", "CompletedWithFailures", "2 failed, 1 completed")),
        ([COMPLETED, COMPLETED, UNKNOWN], ("FAILED", "Unknown", "2 completed, 1 unknown")),
        ([COMPLETED, COMPLETED, LEFT], ("CANCELLED", "Left", "2 completed, 1 left to the next run")),
    ],
)
def test_a_task_run_ends_as_its_takes_did(ends: list[End], expected: tuple[str, str, str]) -> None:
    state = final_state(ends)
    assert (state.type.value, state.name, state.message) == expected


def test_tags_find_task_runs_with_takes_that_ended_badly() -> None:
    assert tags_of([COMPLETED, LEFT]) == []
    assert tags_of([COMPLETED, FAILED, UNKNOWN]) == ["unknown", "failed"]


def test_manifests_of_one_name_have_artifacts_of_their_own() -> None:
    one, other = artifact_key(None, "file:///a/shots.csv"), artifact_key(None, "file:///b/shots.csv")
    assert one != other
    assert one.startswith("run-shots-")
    assert artifact_key("Nightly Film", "s3://bucket/Ünïcode & more.csv").startswith("nightly-film-n-code-more-")
