"""The API's own shapes: the envelope, the data of a prediction, the bodies of list and bill."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from animatic.sandbox.catalogue import InvalidInputError
from animatic.sandbox.config import RECORDED
from animatic.sandbox.lifecycle import COMPLETED, CREATED, PROCESSING
from animatic.sandbox.moments import iso_from, moment_from, moment_from_milliseconds, to_milliseconds, with_nanoseconds
from animatic.sandbox.predictions import DEDUCT, REFUND, Charge, Prediction, Window
from animatic.sandbox.scenarios import Data

MAX_PAGE_SIZE = 100
MAX_IDS = 100
SYNC_TIMEOUT_CODE = 5004
_KEY_ID, _KEY_NAME = "sandbox-access-key", "default"


def envelope(data: Any, code: int = 200, message: str = "success") -> bytes:
    """`{code, message, data}`; NaN is let through, since a scenario sends it."""
    return json.dumps({"code": code, "message": message, "data": data}, separators=(",", ":")).encode()


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body; raises InvalidInputError."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInputError("the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise InvalidInputError("the body must be a JSON object")
    return parsed


def prediction_data(prediction: Prediction, now: float, origin: str) -> Data:
    """Return `data` of a submission's reply and of a result in the form of the card, before a scenario alters it."""
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
    if now >= prediction.deleted_at:
        return data | {"error": "the prediction was deleted"}
    if is_final and prediction.asked.error_code:
        data["code"] = prediction.asked.error_code
    return data


def as_recorded(data: Data, prediction: Prediction, *, is_submission: bool) -> Data:
    """Return the data as recorded exchanges show it: no flags at first, null later, nine decimals, more fields.

    Source: exchanges that others published; not tried live.
    """
    accepted = prediction.accepted
    more = {"executionTime": data["timings"]["inference"], "input": dict(accepted.inputs)}
    if is_submission:
        return {name: value for name, value in data.items() if name != "has_nsfw_contents"} | more
    created_at = with_nanoseconds(accepted.accepted_at, int(accepted.id[:8], 16))
    return {"code": 0} | data | {"has_nsfw_contents": None, "created_at": created_at} | more


def result_data(prediction: Prediction, now: float, origin: str, shape: str = "") -> Data:
    """Return `data` of a poll of the result: altered, once it is completed, as its scenario says."""
    data, asked = prediction_data(prediction, now, origin), prediction.asked
    if RECORDED in {shape, asked.name}:
        data = as_recorded(data, prediction, is_submission=False)
    if asked.scenario.alters is None or asked.is_for_the_submission or data["status"] != COMPLETED:
        return data
    return asked.scenario.alters(data, asked.value or asked.scenario.default)


def submission_data(prediction: Prediction, origin: str, shape: str = "") -> Data:
    """Return `data` of the reply to a submission: `created`, whatever comes after."""
    data, asked = prediction_data(prediction, prediction.life.accepted_at, origin), prediction.asked
    data |= {"status": CREATED, "outputs": [], "has_nsfw_contents": [], "error": "", "timings": {"inference": 0}}
    data.pop("code", None)
    if RECORDED in {shape, asked.name}:
        data = as_recorded(data, prediction, is_submission=True)
    if asked.scenario.alters is None or not asked.is_for_the_submission:
        return data
    value = "" if asked.value == "submit" else asked.value
    return asked.scenario.alters(data, value or asked.scenario.default)


def sync_timeout_data(data: Data) -> Data:
    """Return a result that a reply in sync mode could not wait for: not final, whatever its code says."""
    return data | {"status": PROCESSING, "code": SYNC_TIMEOUT_CODE, "error": "Sync mode timed out", "outputs": []}


def webhook_data(prediction: Prediction, data: Data) -> Data:
    """Return the body of a webhook: the result without its envelope, with the input."""
    return data | {"input": dict(prediction.accepted.inputs)}


def listed_data(prediction: Prediction, now: float, origin: str, *, includes_inputs: bool, shape: str = "") -> Data:
    """One item of the list: without flags, as the list's own page has it."""
    data = prediction_data(prediction, now, origin)
    del data["has_nsfw_contents"]
    data["executionTime"] = data["timings"]["inference"]
    if RECORDED in {shape, prediction.asked.name}:
        data["created_at"] = with_nanoseconds(prediction.accepted.accepted_at, int(prediction.accepted.id[:8], 16))
    if includes_inputs:
        data["inputs"] = dict(prediction.accepted.inputs)
    return data


def charge_data(prediction: Prediction, now: float) -> Data:
    """Return the item of the bill for the price of a prediction. The order's `status` is a guess."""
    accepted = prediction.accepted
    order = {
        "uuid": f"order-{accepted.id}",
        "state": "done" if prediction.is_final_at(now) else "pre",
        "price": accepted.price_usd,
        "origin_price": accepted.price_usd,
        "status": "success",
        "ak_id": _KEY_ID,
    }
    return _bill_item(prediction, DEDUCT, accepted.accepted_at, now) | {"order": order}


def bill_data(charge: Charge, now: float) -> Data:
    """Return an item of the bill. That the price of a refund is positive is a guess."""
    if charge.billing_type == DEDUCT:
        return charge_data(charge.prediction, now)
    return _bill_item(charge.prediction, REFUND, iso_from(charge.at), now)


def _bill_item(prediction: Prediction, billing_type: str, at: str, now: float) -> Data:
    accepted = prediction.accepted
    return {
        "uuid": f"{'charge' if billing_type == DEDUCT else REFUND}-{accepted.id}",
        "access_key_id": _KEY_ID,
        "access_key_name": _KEY_NAME,
        "billing_type": billing_type,
        "price": accepted.price_usd,
        "created_at": at,
        "updated_at": at,
        "prediction": {"uuid": accepted.id, "model_uuid": accepted.model, "status": prediction.status_at(now)},
    }


def output_url(prediction: Prediction, number: int, origin: str) -> str:
    """Return the URL of an output, counted from 1."""
    return f"{origin}/outputs/{prediction.accepted.id}/{number}{prediction.suffix}"


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
    """Read a list request; `after` and `before` name its fields for the window. Raises InvalidInputError."""
    includes_inputs = body.get("include_inputs") or False
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


@dataclass(frozen=True, slots=True)
class BillPage:
    """A page of the bill."""

    page: Page
    billing_type: str
    ids: frozenset[str]
    is_ascending: bool


def bill_page_from(body: Mapping[str, Any]) -> BillPage:
    """Read the body of a bill request. Raises InvalidInputError."""
    billing_type, sort = _optional_text(body, "billing_type"), _optional_text(body, "sort") or "created_at DESC"
    if billing_type not in {"", DEDUCT, REFUND}:
        raise InvalidInputError(f"billing_type: must be {DEDUCT} or {REFUND}")
    words = sort.lower().split()
    if words not in (["created_at", "asc"], ["created_at", "desc"]):
        raise InvalidInputError('sort: must be "created_at ASC" or "created_at DESC"')
    ids = [] if body.get("prediction_uuids") is None else ids_from(body, "prediction_uuids")
    return BillPage(page_from(body, "start_time", "end_time"), billing_type, frozenset(ids), words[1] == "asc")


def ids_from(body: Mapping[str, Any], name: str) -> list[str]:
    """Read a list of prediction ids. Raises InvalidInputError."""
    ids: Any = body.get(name)
    if not isinstance(ids, list) or len(ids) > MAX_IDS or not all(isinstance(each, str) and each for each in ids):
        raise InvalidInputError(f"{name}: must be a list of prediction ids, {MAX_IDS} at most")
    return ids


def span_from(body: Mapping[str, Any], most_s: float) -> tuple[float, float, str]:
    """Read the window of the usage statistics and the model they are limited to. Raises InvalidInputError."""
    start, end = _moment(body, "start_time", None), _moment(body, "end_time", None)
    if not 0 <= end - start <= most_s:
        raise InvalidInputError(f"end_time: must be after start_time, by {most_s / 86_400:.0f} days at most")
    return start, end, _optional_text(body, "model_uuid")


def _whole(body: Mapping[str, Any], name: str, most: int) -> int:
    value = body.get(name)
    if type(value) is not int or not 1 <= value <= most:
        raise InvalidInputError(f"{name}: must be a whole number from 1 to {most}")
    return value


def _moment(body: Mapping[str, Any], name: str, default: float | None) -> float:
    text = _optional_text(body, name)
    if not text:
        if default is None:
            raise InvalidInputError(f"{name}: required, an ISO 8601 moment")
        return default
    milliseconds = moment_from_milliseconds(text) if name in {"start_time", "end_time"} else None
    if milliseconds is not None:
        return milliseconds
    try:
        return to_milliseconds(moment_from(text))
    except (ValueError, OverflowError, OSError):
        raise InvalidInputError(f"{name}: must be an ISO 8601 moment") from None


def _optional_text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInputError(f"{name}: must be a string")
    return value
