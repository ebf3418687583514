"""Rules for what Prefect may retry and cache of our tasks, without a server."""

import asyncio
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from asked import price_class_of

from animatic.errors import (
    AccountRefusedError,
    ApiBusyError,
    ApiRefusedError,
    ApiUnavailableError,
    ApiUnreachableError,
    BudgetError,
    LedgerError,
    LedgerRestoredError,
    LocationError,
    ProxyRefusedError,
    SubmissionUnknownError,
)


class Failed:
    """The part of a Prefect state that a retry condition reads."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def aresult(self, *, raise_on_failure: bool) -> Exception:
        assert not raise_on_failure
        return self._error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ApiUnreachableError("no route"), True),
        (ApiBusyError("429"), True),
        (ApiUnavailableError("503"), True),
        (ApiRefusedError("400", 400), False),
        (AccountRefusedError("401", 401), False),
        (SubmissionUnknownError("cut"), False),
        (LedgerError("full"), False),
        (LocationError("gone"), False),
        (ProxyRefusedError("407"), False),
        (BudgetError("dear"), False),
        (LedgerRestoredError("old"), False),
        (RuntimeError("a bug"), False),
    ],
)
def test_only_what_may_pass_is_retried(error: Exception, passes: bool) -> None:
    from tasks.policies import may_pass  # noqa: PLC0415 - imports Prefect, which collecting should not

    state: Any = Failed(error)
    assert asyncio.run(may_pass(None, None, state)) is passes  # pyright: ignore[reportArgumentType]


def test_a_cache_key_is_the_tasks_name_and_its_own_argument() -> None:
    from tasks.policies import keyed_by_argument  # noqa: PLC0415 - imports Prefect

    policy: Any = keyed_by_argument("quote")
    key = policy.compute_key(None, {"cache_key": "abc", "client": object()}, {})
    assert key == "animatic-quote-1-abc"
    assert policy.compute_key(None, {"cache_key": "abd"}, {}) != key


def test_content_keys_keep_their_parts_apart() -> None:
    from tasks.policies import content_key  # noqa: PLC0415 - imports Prefect

    keys = {content_key("ab", "c"), content_key("a", "bc"), content_key("abc"), content_key("c", "ab"), content_key()}
    assert len(keys) == 5
    assert content_key("a\ud800") == content_key("a\ud800")


class TestTasks:
    """Declarations of the tasks."""

    free: ClassVar[dict[str, timedelta]] = {
        "quote_prices": timedelta(minutes=10),
        "probe_stills": timedelta(days=7),
    }

    def declared(self) -> dict[str, Any]:
        from tasks.quotes import quote_prices  # noqa: PLC0415 - imports Prefect
        from tasks.reconcile import reconcile_takes  # noqa: PLC0415
        from tasks.results import publish_summary, write_results  # noqa: PLC0415
        from tasks.stills import probe_stills, upload_stills  # noqa: PLC0415
        from tasks.takes import shoot_takes  # noqa: PLC0415

        tasks = (
            quote_prices,
            probe_stills,
            upload_stills,
            shoot_takes,
            write_results,
            publish_summary,
            reconcile_takes,
        )
        return {task.fn.__name__: task for task in tasks}

    def test_what_is_free_expires(self) -> None:
        tasks = self.declared()
        assert {name: tasks[name].cache_expiration for name in self.free} == self.free

    def test_uploads_are_forgotten_before_wavespeed_deletes_them(self) -> None:
        from animatic.media.uploads import KEPT  # noqa: PLC0415 - beside its use

        assert timedelta(days=6) == KEPT < timedelta(days=7)

    def test_what_costs_money_or_writes_is_never_cached_nor_kept(self) -> None:
        from prefect.cache_policies import NO_CACHE  # noqa: PLC0415 - imports Prefect

        tasks = self.declared()
        for name in ("upload_stills", "shoot_takes", "write_results", "publish_summary", "reconcile_takes"):
            assert tasks[name].cache_policy == NO_CACHE
            assert tasks[name].persist_result is False

    def test_tasks_retry_with_backoff_only_errors_that_may_pass(self) -> None:
        from tasks.policies import may_pass  # noqa: PLC0415 - imports Prefect

        tasks = self.declared()
        for name in ("quote_prices", "upload_stills", "shoot_takes"):
            assert tasks[name].retries >= 1
            assert tasks[name].retry_condition_fn is may_pass
            assert tasks[name].retry_jitter_factor == 0.5
        waits = tasks["shoot_takes"].retry_delay_seconds
        assert waits == [2, 4, 8, 16]


def test_what_probing_found_survives_its_trip_through_json() -> None:
    import json  # noqa: PLC0415 - beside its use

    from animatic.takes.stills import Still  # noqa: PLC0415
    from tasks.stills import read_probed  # noqa: PLC0415 - imports Prefect

    found = {"a.png": ["0" * 64, 10, 1280, 720, "PNG"], "b.png": "is empty"}
    assert read_probed(json.loads(json.dumps(found))) == {
        "a.png": Still("0" * 64, 10, 1280, 720, "PNG"),
        "b.png": "is empty",
    }


def test_quotes_survive_json_and_stay_as_old_as_they_are() -> None:
    import json  # noqa: PLC0415 - beside its use

    from animatic.takes.money.amounts import Quote  # noqa: PLC0415
    from tasks.quotes import read_quotes  # noqa: PLC0415 - imports Prefect

    price_classes = [price_class_of("5s"), price_class_of("8s")]
    found = [(2_500_000, False, 1_700_000_000.5), (3_000_001, True, 0.0)]
    assert read_quotes(price_classes, json.loads(json.dumps(found))) == {
        price_classes[0]: Quote(2_500_000, is_floor=False, asked_at_s=1_700_000_000.5),
        price_classes[1]: Quote(3_000_001, is_floor=True, asked_at_s=0.0),
    }
