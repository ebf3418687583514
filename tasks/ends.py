"""Final states of task runs that see takes through, by how the takes ended. Pure."""

from collections import Counter
from collections.abc import Sequence

from prefect.client.schemas.objects import State as RunState
from prefect.states import Cancelled, Completed, Failed

from animatic.buying.ends import End
from animatic.takes.states import State

LEFT = "left to the next run"
_BAD = (State.UNKNOWN, State.HELD, State.FAILED, State.REJECTED)
"""Ends that a person should see, the most urgent first."""


def final_state(ends: Sequence[End]) -> RunState[None]:
    """Return the state of a task run: that of its take, or the worst of its batch, with the counts in its message.

    A bar is red where a take failed, or where it is not known whether it was bought; grey where it was left.
    """
    if len(ends) == 1:
        return _of_one(ends[0])
    counts = Counter(end.state for end in ends)
    message = ", ".join(f"{count:,} {state or LEFT}" for state, count in counts.most_common())
    worst = next((state for state in _BAD if counts[state]), None)
    if worst is State.UNKNOWN or worst is State.HELD:
        return Failed(name=name_of(worst), message=message)
    if worst is not None:
        return Completed(name="CompletedWithFailures", message=message)
    return Cancelled(name="Left", message=message) if counts[None] else Completed(message=message)


def _of_one(end: End) -> RunState[None]:
    match end.state:
        case State.COMPLETED:
            return Completed(message="completed")
        case State.FAILED | State.REJECTED | State.UNKNOWN | State.HELD as state:
            return Failed(name=name_of(state), message=end.error or state.value)
        case _:
            return Cancelled(name="Left", message=end.error or LEFT)


def name_of(state: State) -> str:
    """Return the name of a take's end as Prefect writes states: `Failed`, `Unknown`."""
    return state.value.capitalize()


def tags_of(ends: Sequence[End]) -> list[str]:
    """Return tags that find task runs with takes that ended badly: `failed`, `rejected`, `unknown`, `held`."""
    return [state.value for state in _BAD if any(end.state is state for end in ends)]
