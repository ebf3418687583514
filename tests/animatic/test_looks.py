"""What looks at a prediction show: what is odd about a status, and for how long it has been missing."""

from animatic.looks import Watched


def test_only_a_status_that_goes_back_or_is_not_known_is_odd() -> None:
    watched = Watched()
    assert [watched.see(status) for status in ("created", "processing", "processing")] == [None] * 3
    assert "went back from processing to created" in (watched.see("created") or "")
    assert "not known" in (watched.see("hibernating") or "")
    assert watched.see("hibernating") is None
    assert watched.see("completed") is None


def test_it_is_missing_from_the_first_miss_to_the_next_look_that_shows_it() -> None:
    watched = Watched()
    assert watched.missing_s(100.0) == 0.0
    watched.miss(100.0)
    watched.miss(150.0)
    assert watched.missing_s(160.0) == 60.0
    watched.see("processing")
    assert watched.missing_s(170.0) == 0.0
    watched.miss(180.0)
    watched.show()
    assert watched.missing_s(190.0) == 0.0
    watched.miss(200.0)
    assert watched.missing_s(201.0) == 1.0
