"""Times that operations wait for a ledger's server."""

import time

from animatic.ledger.outages import CLOSES_WITHIN_S, FIRST_PAUSE_S, Outage, Patience


def test_an_operation_waits_as_long_as_the_database_says() -> None:
    assert Patience(600.0).ends_s(100.0) == 700.0


def test_a_ledger_that_is_closed_waits_for_a_minute_at_most() -> None:
    patience = Patience(600.0)
    patience.close(100.0)
    patience.close(130.0)
    assert patience.ends_s(90.0) == patience.ends_s(110.0) == 100.0 + CLOSES_WITHIN_S
    assert patience.ends_s(-550.0) == 50.0, "it does not wait longer than before"


def test_where_nothing_is_waited_for_the_first_error_counts() -> None:
    outage = Outage(Patience(0.0))
    assert not outage.waits("ledger x: it is away")
    outage.ended("x")  # nobody was told that it was away


def test_the_last_operations_of_a_closed_ledger_are_retried_at_short_pauses() -> None:
    patience = Patience(600.0)
    outage = Outage(patience)
    patience.close(time.monotonic())
    assert outage.waits("ledger x: it is away")
    assert outage.seconds >= FIRST_PAUSE_S
    patience.longest_s = 0.0
    assert not outage.waits("ledger x: it is away")
