"""Notes on the polls of a prediction: odd statuses, other models, and the time for which it has been missing."""

import pytest

from animatic.buying.polling.poll_history import PollHistory, finish_of
from animatic.takes.states import State
from animatic.wavespeed.wire import Prediction, read_data

MODEL = "wavespeed-ai/veo2-i2v"


def test_only_a_status_that_goes_back_or_is_not_known_is_odd() -> None:
    history = PollHistory()
    assert [history.note_status(status) for status in ("created", "processing", "processing")] == [None] * 3
    assert "went back from processing to created" in (history.note_status("created") or "")
    assert "not known" in (history.note_status("hibernating") or "")
    assert history.note_status("hibernating") is None
    assert history.note_status("completed") is None


def test_it_is_missing_until_a_poll_shows_it() -> None:
    history = PollHistory()
    assert history.missing_s(100.0) == 0.0
    history.miss(100.0)
    history.miss(150.0)
    assert history.missing_s(160.0) == 60.0
    history.note_status("processing")
    assert history.missing_s(170.0) == 0.0
    history.miss(180.0)
    history.show()
    assert history.missing_s(190.0) == 0.0
    history.miss(200.0)
    assert history.missing_s(201.0) == 1.0


def test_each_other_model_is_reported_once() -> None:
    history = PollHistory()
    assert history.see_model(MODEL, MODEL) is None
    assert "wavespeed-ai/veo3-i2v made it" in (history.see_model("wavespeed-ai/veo3-i2v", MODEL) or "")
    assert history.see_model("wavespeed-ai/veo3-i2v", MODEL) is None
    assert "other/model made it" in (history.see_model("other/model", MODEL) or "")
    assert history.see_model("", MODEL) is None


def prediction(**fields: object) -> Prediction:
    return read_data(
        Prediction, {"id": "p1", "status": "completed", "outputs": ["https://a/1.mp4"]} | fields, what="it"
    )


@pytest.mark.parametrize("flags", [None, [None], [True], [None, False]])
def test_what_was_not_judged_stays_so_in_the_ledger(flags: list[bool | None] | None) -> None:
    finish = finish_of(prediction(has_nsfw_contents=flags))
    assert finish.state is State.COMPLETED
    assert finish.has_nsfw_contents == (None if flags is None else tuple(flags))


def test_the_model_is_kept_as_the_api_names_it() -> None:
    assert finish_of(prediction(model="Other/Model")).prediction_model == "Other/Model"
    assert finish_of(prediction(model=None)).prediction_model is None
