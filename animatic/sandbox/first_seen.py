"""First poll that showed each prediction final: the lag of the client's polls, for benchmarks.

`seen.jsonl` in the sandbox's folder, a line for each prediction polled once it was final. Nothing depends on it:
it is written now and then, and in full when the stats are asked for or the sandbox ends.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NAME = "seen.jsonl"
_BUFFER_BYTES = 1 << 16
_SEEN = -1


@dataclass(frozen=True, slots=True)
class FirstSeenPoll:
    """The first poll that returned a final status, and how many polls it took.

    Moments are seconds since 1970, by the sandbox's clock.
    """

    id: str
    final_at: float
    seen_at: float
    looks: int


class FirstSeenFile:
    """The open file of first polls."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / _NAME).open("a", buffering=_BUFFER_BYTES, encoding="ascii")
        self._polls = dict.fromkeys((each.id for each in read_first_seen(folder)), _SEEN)

    def note(self, prediction_id: str, final_at: float, now: float, *, is_final: bool) -> None:
        """Record a poll at `now`; `final_at` is when the prediction became final, if it has."""
        before = self._polls.get(prediction_id)
        if before == _SEEN:
            return
        looks = (before or 0) + 1
        self._polls[prediction_id] = _SEEN if is_final else looks
        if is_final:
            line = f'{{"id":"{prediction_id}","final_at":{final_at:.3f},"seen_at":{now:.3f},"looks":{looks}}}\n'
            self._file.write(line)

    def flush(self) -> None:
        """Hand all of it to the file."""
        self._file.flush()

    def close(self) -> None:
        """Close the file; `note` must not follow."""
        self._file.close()


def read_first_seen(folder: Path) -> list[FirstSeenPoll]:
    """Return the first poll of each prediction once it was final, in order; none where nothing was recorded."""
    return list(_first_seen_in(folder / _NAME))


def _first_seen_in(path: Path) -> Iterator[FirstSeenPoll]:
    if not path.exists():
        return
    with path.open(encoding="ascii") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield FirstSeenPoll(**json.loads(line))
