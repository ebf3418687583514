"""The API's own shapes: the envelope, the data of a prediction, the body of a list. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from animatic.sandbox.book import Prediction, Window
from animatic.sandbox.catalogue import InvalidInputError
from animatic.sandbox.life import COMPLETED
from animatic.sandbox.moments import moment_from
from animatic.sandbox.scenarios import Data

MAX_PAGE_SIZE = 100


def envelope(data: Any, code: int = 200, message: str = "success") -> bytes:
    """`{code, message, data}`; NaN is let through, since a scenario sends it."""
    return json.dumps({"code": code, "message": message, "data": data}, separators=(",", ":")).encode()


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body; raises InvalidInputError."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInputError("the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise InvalidInputError("the body must be a JSON object")
    return parsed


def prediction_data(prediction: Prediction, now: float, origin: str) -> Data:
    """`data` of a submission's reply and of a result, before a scenario alters it."""
    accepted, scenario = prediction.accepted, prediction.asked.scenario
    status, is_final = prediction.status_at(now), prediction.is_final_at(now)
    outputs = [output_url(prediction, number, origin) for number in range(1, prediction.outputs + 1)]
    data: Data = {
        "id": accepted.id,
        "model": accepted.model,
        "outputs": outputs if status == COMPLETED else [],
        "urls": {"get": f"{origin}/api/v3/predictions/{accepted.id}/result"},
        "has_nsfw_contents": [False] * len(outputs) if status == COMPLETED else [],
        "status": status,
        "created_at": accepted.accepted_at,
        "error": scenario.error if is_final else "",
        "timings": {"inference": round(accepted.latency_s * 1_000) if is_final else 0},
    }
    if is_final and prediction.asked.error_code:
        data["code"] = prediction.asked.error_code
    return data


def result_data(prediction: Prediction, now: float, origin: str) -> Data:
    """`data` of a look at the result: altered, once it is completed, as its scenario says."""
    data, asked = prediction_data(prediction, now, origin), prediction.asked
    if asked.scenario.alters is None or asked.is_for_the_submission or data["status"] != COMPLETED:
        return data
    return asked.scenario.alters(data, asked.value or asked.scenario.default)


def submission_data(prediction: Prediction, origin: str) -> Data:
    """`data` of the reply to a submission: `created`, whatever comes after."""
    data, asked = prediction_data(prediction, prediction.life.accepted_at, origin), prediction.asked
    data |= {"status": "created", "outputs": [], "has_nsfw_contents": [], "error": "", "timings": {"inference": 0}}
    data.pop("code", None)
    if asked.scenario.alters is None or not asked.is_for_the_submission:
        return data
    value = "" if asked.value == "submit" else asked.value
    return asked.scenario.alters(data, value or asked.scenario.default)


def listed_data(prediction: Prediction, now: float, origin: str, *, includes_inputs: bool) -> Data:
    """One item of the list."""
    data = prediction_data(prediction, now, origin)
    if includes_inputs:
        data["inputs"] = dict(prediction.accepted.inputs)
    return data


def charge_data(prediction: Prediction, now: float) -> Data:
    """One item of the bill."""
    accepted = prediction.accepted
    return {
        "uuid": f"charge-{accepted.id}",
        "billing_type": "deduct",
        "price": accepted.price_usd,
        "created_at": accepted.accepted_at,
        "prediction": {"uuid": accepted.id, "model_uuid": accepted.model, "status": prediction.status_at(now)},
    }


def output_url(prediction: Prediction, number: int, origin: str) -> str:
    """Where a clip is, once it is there; counted from 1."""
    return f"{origin}/outputs/{prediction.accepted.id}/{number}.mp4"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a window, from 1."""

    number: int
    size: int
    window: Window
    includes_inputs: bool

    @property
    def span(self) -> tuple[int, int]:
        """Its first and its last place in the window, from 0, the last excluded."""
        return (self.number - 1) * self.size, self.number * self.size


def page_from(body: Mapping[str, Any], after: str, before: str) -> Page:
    """What a list's body asks for; `after` and `before` name its fields for the window. Raises InvalidInputError."""
    includes_inputs = body.get("include_inputs", False)
    if not isinstance(includes_inputs, bool):
        raise InvalidInputError("include_inputs: must be true or false")
    window = Window(
        created_after=_moment(body, after, 0.0),
        created_before=_moment(body, before, float("inf")),
        model=_optional_text(body, "model"),
        status=_optional_text(body, "status"),
    )
    page, size = _whole(body, "page", 1_000_000), _whole(body, "page_size", MAX_PAGE_SIZE)
    return Page(page, size, window, includes_inputs)


def _whole(body: Mapping[str, Any], name: str, most: int) -> int:
    value = body.get(name)
    if type(value) is not int or not 1 <= value <= most:
        raise InvalidInputError(f"{name}: must be a whole number from 1 to {most}")
    return value


def _moment(body: Mapping[str, Any], name: str, default: float) -> float:
    text = _optional_text(body, name)
    if not text:
        return default
    try:
        return moment_from(text)
    except (ValueError, OverflowError):
        raise InvalidInputError(f"{name}: must be an ISO 8601 moment") from None


def _optional_text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidInputError(f"{name}: must be a string")
    return value
