import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.errors.text import escaped
from animatic.manifest import cells
from animatic.manifest.faults import Problem
from animatic.takes.models import BUILT_IN
from animatic.takes.veo2 import ASPECT_RATIO, DURATION


def hint_of(found: object) -> str | None:
    assert isinstance(found, Problem)
    return found.hint


@pytest.mark.parametrize("text", ["5s", "5", "5.0", " 5s ", "5.00"])
def test_a_duration_may_be_a_number(text: str) -> None:
    assert cells.choice(DURATION, text) == "5s"


@pytest.mark.parametrize("text", ["5S", "5 sec", "5 s", "05", "5 Seconds", "5,0"])
def test_a_duration_in_another_form_gets_a_hint(text: str) -> None:
    assert hint_of(cells.choice(DURATION, text)) == 'did you mean "5s"?'


@pytest.mark.parametrize("text", ["9s", "4", "5.5", "-5", "five", "５", "1e1", "inf"])
def test_other_durations_are_faults_without_a_hint(text: str) -> None:
    assert hint_of(cells.choice(DURATION, text)) is None


@given(st.text(max_size=8))
def test_no_text_becomes_a_duration_that_the_api_does_not_take(text: str) -> None:
    found = cells.choice(DURATION, text)
    assert isinstance(found, Problem) or found in DURATION.allowed


@pytest.mark.parametrize(
    ("text", "meant"),
    [("16x9", "16:9"), ("16/9", "16:9"), ("9x16", "9:16"), ("16 : 9", "16:9")],
)
def test_an_aspect_ratio_in_another_form_gets_a_hint(text: str, meant: str) -> None:
    assert hint_of(cells.choice(ASPECT_RATIO, text)) == f'did you mean "{meant}"?'


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        *[(text, "16:9") for text in ("16:09", "16:09:00", "04:09:00 PM", "4:09 PM", "4:09:00 pm", "16:09:00.000")],
        *[(text, "9:16") for text in ("09:16", "9:16:00", "9:16:00 AM", "09:16 am")],
    ],
)
def test_a_ratio_that_a_spreadsheet_turned_into_a_time_is_read_back(text: str, ratio: str) -> None:
    assert cells.choice(ASPECT_RATIO, text) == ratio


@pytest.mark.parametrize("text", ["04:09:00", "16:9:30", "9:16 PM", "16:09 AM", "25:09", "12:09 AM"])
def test_other_times_are_no_ratio(text: str) -> None:
    assert isinstance(cells.choice(ASPECT_RATIO, text), Problem)


@pytest.mark.parametrize("text", ["#N/A", "#REF!", " #value! ", "#NAME?", "#DIV/0!", "#NUM!", "#ERROR!", "Loading..."])
def test_the_error_of_a_formula_is_a_fault(text: str) -> None:
    found = cells.formula_error(text)
    assert found is not None
    assert "the error of a formula" in found.found


@pytest.mark.parametrize("text", ["#1 hero shot", "# N/A", "Loading the boat...", "", "N/A"])
def test_text_that_only_looks_like_an_error_is_text(text: str) -> None:
    assert cells.formula_error(text) is None


def test_aspect_ratios_are_two() -> None:
    assert [cells.choice(ASPECT_RATIO, text) for text in ("16:9", " 9:16")] == ["16:9", "9:16"]
    assert hint_of(cells.choice(ASPECT_RATIO, "16:16")) is None
    assert hint_of(cells.choice(ASPECT_RATIO, "4:3")) is None


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("3.0", 3), (" 16 ", 16)])
def test_takes_are_whole_numbers(text: str, count: int) -> None:
    assert cells.takes(text) == count


@pytest.mark.parametrize("text", ["0", "17", "-1", "1.5", "two", "1e0", "٣", "9999999999", "true"])
def test_other_numbers_of_takes_are_faults(text: str) -> None:
    assert isinstance(cells.takes(text), Problem)


@pytest.mark.parametrize("text", ["wavespeed-ai/veo2-i2v", " wavespeed-ai/veo2-i2v\t"])
def test_the_one_model_passes(text: str) -> None:
    assert cells.model(BUILT_IN, text) == "wavespeed-ai/veo2-i2v"


@pytest.mark.parametrize(
    "text",
    ["veo", "a/../b", "/a/b", "a/b/", "a//b", "a/b?x", "a/b c", "a/" + "b" * 199, "a/é", "wavespeed-ai/veo3-i2v"],
)
def test_what_is_no_model_id_is_a_fault(text: str) -> None:
    assert isinstance(cells.model(BUILT_IN, text), Problem)


@pytest.mark.parametrize("text", ["a/b/c", "x.y/z_1"])
def test_another_model_is_a_fault_that_names_the_one(text: str) -> None:
    found = cells.model(BUILT_IN, text)
    assert isinstance(found, Problem)
    assert found.allowed == "wavespeed-ai/veo2-i2v, or an empty cell"
    assert found.hint == "`animatic models` lists them"


@pytest.mark.parametrize("text", ["veo2-i2v", "wavespeed-ai/veo2_i2v "[:-1].upper().replace("_", "-"), "Veo2-I2V"])
def test_a_model_id_that_is_nearly_right_gets_a_hint(text: str) -> None:
    assert hint_of(cells.model(BUILT_IN, text)) == 'did you mean "wavespeed-ai/veo2-i2v"?'


@pytest.mark.parametrize("text", ["\u200b", "\ufeff \u200d\u2060", "\u00ad\n", "\u180e"])
def test_an_invisible_prompt_is_empty(text: str) -> None:
    assert cells.prompt(text) == cells.EMPTY_PROMPT


def test_a_prompt_is_taken_verbatim() -> None:
    text = "  push in\n\tslowly\r\nשלום é 🎬 "
    assert cells.prompt(text) == text
    assert cells.prompt("x" * 2_500) == "x" * 2_500


@pytest.mark.parametrize("text", ["x" * 2_501, "a\0b", "a\x1b[31mb", "a\x7f", "a\x85", "a\ud800"])
def test_a_prompt_with_hidden_characters_or_too_many_is_a_fault(text: str) -> None:
    assert isinstance(cells.prompt(text), Problem)


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "a\0b", "x" * 201])
@pytest.mark.parametrize("rule", [cells.shot_id, cells.storyboard])
def test_names_are_short_and_on_one_line(rule: object, text: str) -> None:
    assert callable(rule)
    assert isinstance(rule(text), Problem)


@given(st.text(max_size=200))
def test_nothing_that_is_shown_can_steer_a_terminal(text: str) -> None:
    shown = escaped(text)
    assert shown.isprintable()
    assert len(escaped(text, 10)) <= 10 * len(r"\U0001f3ac") + 1
