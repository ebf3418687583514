"""Progress of runs for tests, each take counted as the shoot counts it."""

from typing import Any

from animatic.progress import Progress
from animatic.takes.states import State


def progress_of(total: int, settled: dict[str, State] | None = None, **more: Any) -> Progress:
    """Return the progress of a run that has brought these takes to their ends."""
    progress = Progress(total=total, **more)
    for name, state in (settled or {}).items():
        finish(progress, name.encode().hex(), state)
    return progress


def finish(
    progress: Progress, fingerprint: str, state: State, *, submitted_at: float | None = None, **more: bool
) -> None:
    """Count a take: only one that the API accepted has been submitted and in flight."""
    if state in {State.REJECTED, State.UNKNOWN}:
        progress.finished(fingerprint, state)
        return
    progress.submitted(fingerprint, submitted_at)
    progress.began_polling(fingerprint, submitted_at=submitted_at or 0.0)
    progress.finished(fingerprint, state, **more)
    progress.stopped_polling(fingerprint)
