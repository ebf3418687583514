"""Numbers of examples that Hypothesis tries: all in `make test`, a tenth where only the pure ring runs."""

from typing import Any

from hypothesis import HealthCheck, settings

ALL, QUICK = 100, "quick"
settings.register_profile(QUICK, max_examples=ALL // 10)


def examples(count: int = ALL, **more: Any) -> settings:
    """Return settings for a test of this many examples, without a deadline: a machine may be busy."""
    share = settings.default.max_examples / ALL if settings.default else 1
    return settings(
        deadline=None, max_examples=round(count * share), suppress_health_check=[HealthCheck.too_slow], **more
    )
