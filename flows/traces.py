"""Traces of runs, which Prefect makes where a tracer of OpenTelemetry is set up: the last of them are sent in time."""

import sys
import threading
from typing import Any

SENDS_WITHIN_S = 3.0


def send_traces() -> None:
    """Send the spans that wait to be sent, for a bounded time; nothing where no tracer is set up in this process."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or "opentelemetry.sdk.trace" not in sys.modules:
        return
    flush = getattr(api.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        sending = threading.Thread(target=flush, args=(int(1_000 * SENDS_WITHIN_S),), name="traces", daemon=True)
        sending.start()
        sending.join(SENDS_WITHIN_S)
