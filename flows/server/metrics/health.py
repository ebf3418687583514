"""Health of a run: alive, its ledger reached, its polls made. Pure.

WaveSpeed that cannot be reached makes no run unwell: to start it again would not help.
"""

import json
import math
from dataclasses import asdict, dataclass

from animatic.pace.meters import Meters

SILENT_AFTER_S = 60.0
"""Longest time without a sign of the event loop or of the ledger, and by which a poll may be late."""


@dataclass(frozen=True, slots=True)
class Health:
    """Health at a moment.

    Attributes:
        reason: why it is unwell; empty where it is well.
        loop_age_s: since the event loop turned.
        ledger_age_s: since the ledger answered.
        last_poll_age_s: since a poll was answered; None where none was.
        unreachable_s: for how long WaveSpeed could not be reached.
    """

    run_id: str
    reason: str
    loop_age_s: float | None
    ledger_age_s: float | None
    last_poll_age_s: float | None
    in_flight: int
    unreachable_s: float

    @property
    def is_well(self) -> bool:
        """True where there is no reason to worry."""
        return not self.reason

    def as_json(self) -> bytes:
        """Return it as a JSON object in one line; seconds are rounded."""
        shown = {name: round(value, 1) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return json.dumps({"status": "ok" if self.is_well else "unwell", **shown}).encode() + b"\n"


def health_of(meters: Meters, run_id: str, now: float, in_flight: int = 0, unreachable_s: float = 0.0) -> Health:
    """Return the health of a run at a moment of its clock."""
    loop_age_s, ledger_age_s = _since(meters.looped_at, now), _since(meters.ledger_at, now)
    overdue_s = now - meters.next_poll_at if math.isfinite(meters.next_poll_at) else 0.0
    reason = ""
    if loop_age_s is not None and loop_age_s > SILENT_AFTER_S:
        reason = f"the event loop has not turned for {loop_age_s:.0f} s"
    elif ledger_age_s is not None and ledger_age_s > SILENT_AFTER_S:
        reason = f"the ledger has not answered for {ledger_age_s:.0f} s"
    elif overdue_s > SILENT_AFTER_S:
        reason = f"a poll has been due for {overdue_s:.0f} s"
    return Health(
        run_id=run_id,
        reason=reason,
        loop_age_s=loop_age_s,
        ledger_age_s=ledger_age_s,
        last_poll_age_s=_since(meters.polled_at, now),
        in_flight=in_flight,
        unreachable_s=unreachable_s,
    )


def _since(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(now - moment, 0.0)
