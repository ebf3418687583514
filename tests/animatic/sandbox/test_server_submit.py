"""Submitting and looking: the key, the fields, the shape of what comes back, the account's limits and money."""

import io
import json
import re
from typing import Any

import pytest

from animatic.sandbox.witness import read_witness

SUBMIT = "/api/v3/wavespeed-ai/veo2-i2v"
GOOD = {"prompt": "push in", "image": "https://stills.example/a.png"}


@pytest.mark.parametrize("key", [None, "", "wrong", " sandbox-key", "sandbox-keyé"])
@pytest.mark.parametrize(
    "path", ["/api/v3/balance", "/api/v3/models", "/api/v3/predictions/x/result", "/api/v3/nothing"]
)
async def test_without_the_key_everything_of_the_api_is_401(caller: Any, key: str | None, path: str) -> None:
    reply = await caller.ask("GET", path, key=key)
    assert (reply.status, reply.json["code"], reply.json["data"]) == (401, 401, None)


async def test_the_key_must_be_a_bearer(caller: Any) -> None:
    for headers in (
        {"X-API-Key": "sandbox-key"},
        {"Authorization": "sandbox-key"},
        {"Authorization": "Basic sandbox-key"},
    ):
        assert (await caller.ask("GET", "/api/v3/balance", key=None, headers=headers)).status == 401


async def test_a_submission_comes_back_in_the_shape_of_the_card(caller: Any, clock: Any) -> None:
    reply = await caller.submit("push in")
    body = reply.json
    assert set(body) == {"code", "message", "data"}
    assert body["code"] == 200
    prediction_id = body["data"]["id"]
    assert re.fullmatch(r"[0-9a-f]{32}", prediction_id)
    assert "Date" in reply.headers
    assert body["data"] == {
        "id": prediction_id,
        "model": "wavespeed-ai/veo2-i2v",
        "outputs": [],
        "urls": {"get": f"{caller.sandbox.url}/api/v3/predictions/{prediction_id}/result"},
        "has_nsfw_contents": [],
        "status": "created",
        "created_at": "2027-01-15T08:00:00.000Z",
        "error": "",
        "timings": {"inference": 0},
    }
    clock.advance(10)
    done = (await caller.ask("GET", body["data"]["urls"]["get"])).data
    assert done["outputs"] == [f"{caller.sandbox.url}/outputs/{prediction_id}/1.mp4"]
    assert (done["status"], done["has_nsfw_contents"], done["timings"]) == ("completed", [False], {"inference": 10_000})


async def test_both_spellings_of_a_poll_give_the_same(caller: Any) -> None:
    taken = await caller.submit_id()
    assert (await caller.ask("GET", f"/api/v3/predictions/{taken}")).body == (await caller.poll(taken)).body


async def test_the_witness_holds_the_inputs_with_their_defaults(caller: Any) -> None:
    await caller.submit("tilt up", duration="8s")
    [accepted] = read_witness(caller.sandbox.folder)
    assert accepted.inputs == GOOD | {"prompt": "tilt up", "aspect_ratio": "16:9", "duration": "8s"}
    assert accepted.price_usd == 4.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "x" * 2_501}, "prompt"),
        ({"image": None}, "image"),
        ({"image": "file:///etc/passwd"}, "image"),
        ({"image": "a.png"}, "image"),
        ({"image": "https://[oops"}, "image"),
        ({"image": "https://stills.example/" + "a" * 2_083}, "image"),
        ({"aspect_ratio": "1:1"}, "aspect_ratio"),
        ({"aspect_ratio": ["16:9"]}, "aspect_ratio"),
        ({"duration": "9s"}, "duration"),
        ({"duration": 5}, "duration"),
        ({"duration": None}, "duration"),
        ({"image": "data:text/html;base64,PGI+"}, "image"),
        ({"enable_sync_mode": 1}, "enable_sync_mode"),
        ({"enable_base64_output": "yes"}, "enable_base64_output"),
    ],
)
async def test_a_wrong_field_is_a_400_that_names_it(caller: Any, change: dict[str, Any], named: str) -> None:
    reply = await caller.ask("POST", SUBMIT, json=GOOD | change)
    assert reply.status == 400
    assert named in reply.json["message"]
    assert read_witness(caller.sandbox.folder) == []


@pytest.mark.parametrize(
    "body", [b"", b"push in", b"[]", b"null", b'{"prompt":', b"\xff\xfe", b"[" * 100_000, b'"' + b"a" * 100 + b'"']
)
async def test_a_body_that_is_no_json_object_is_a_400(caller: Any, body: bytes) -> None:
    for path in (SUBMIT, "/api/v3/predictions", "/api/v3/model/price", "/api/v3/billings/search"):
        assert (await caller.ask("POST", path, data=body)).status == 400


async def test_a_body_beyond_a_megabyte_is_refused(caller: Any) -> None:
    assert (await caller.ask("POST", SUBMIT, data=io.BytesIO(b" " * 1_100_000))).status == 413


async def test_a_prompt_in_any_writing_is_taken_as_it_is(caller: Any) -> None:
    prompt = "\U0001f3ac «émue»\n\t雪 \u202e \ud800"
    await caller.ask("POST", SUBMIT, data=json.dumps(GOOD | {"prompt": prompt}).encode())
    [item] = (await caller.list_page(include_inputs=True)).data["items"]
    assert item["inputs"]["prompt"] == prompt
    assert read_witness(caller.sandbox.folder)[0].inputs["prompt"] == prompt


async def test_a_field_that_the_model_does_not_know_is_dropped(caller: Any) -> None:
    assert (await caller.submit(seed=1, enable_base64_output=False, negativ_prompt="x")).status == 200
    [accepted] = read_witness(caller.sandbox.folder)
    assert accepted.inputs == GOOD | {"aspect_ratio": "16:9", "duration": "5s"}


async def test_a_strict_sandbox_refuses_it_and_names_it(open_sandbox: Any) -> None:
    caller = await open_sandbox(is_strict=True)
    reply = await caller.submit(seed=1)
    assert reply.status == 400
    assert "seed" in reply.json["message"]
    assert (await caller.submit(enable_sync_mode=False)).status == 200, "fields about the reply are known to all models"


@pytest.mark.parametrize("path", ["/api/v3/wavespeed-ai/veo9", "/api/v3/a/b/c/d"])
async def test_an_unknown_model_is_a_400(caller: Any, path: str) -> None:
    reply = await caller.ask("POST", path, json=GOOD)
    assert reply.status == 400
    assert "model not found" in reply.json["message"]
    assert path.removeprefix("/api/v3/") in reply.json["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v3/x"),
        ("POST", "/api/v3/media/nothing"),
        ("POST", "/api/v3/predictions/x/cancel"),
        ("POST", "/api/v3/user/nothing"),
        ("GET", "/api/v3/nothing/at/all"),
        ("GET", "/nowhere"),
    ],
)
async def test_a_path_that_does_not_exist_is_a_404_that_names_it(caller: Any, method: str, path: str) -> None:
    reply = await caller.ask(method, path, json=GOOD)
    assert (reply.status, reply.json["data"]) == (404, None)
    assert f"{method} {path}" in reply.json["message"]


@pytest.mark.parametrize("prediction_id", ["0" * 32, "..%2f..%2fbalance", "%00", "é", "x" * 5_000])
async def test_an_unknown_prediction_is_a_404_in_an_envelope(caller: Any, prediction_id: str) -> None:
    reply = await caller.poll(prediction_id)
    assert (reply.status, reply.json["data"]) == (404, None)


async def test_a_prediction_is_gone_after_seven_days(caller: Any, clock: Any) -> None:
    taken = await caller.submit_id()
    clock.advance(7 * 86_400 - 1)
    before = await caller.poll(taken)
    clock.advance(1)
    assert (before.status, (await caller.poll(taken)).status) == (200, 404)


async def test_starts_beyond_the_limit_get_429_until_the_minute_is_over(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(starts_per_minute=2)
    first = await caller.submit()
    clock.advance(20)
    second = await caller.submit()
    refused = await caller.submit()
    clock.advance(float(refused.headers["Retry-After"]) - 1)
    early = await caller.submit()
    clock.advance(1)
    in_time = await caller.submit()
    again = await caller.submit()
    assert [each.status for each in (first, second, refused, early, in_time, again)] == [200, 200, 429, 429, 200, 429]
    assert (refused.headers["Retry-After"], again.headers["Retry-After"]) == ("40", "20")
    assert (await caller.stats())["refused_rate"] == 3


async def test_beyond_those_in_flight_it_waits_as_created(open_sandbox: Any, clock: Any) -> None:
    caller = await open_sandbox(max_in_flight=2)
    taken = [await caller.submit_id() for _ in range(5)]
    seen = [[await caller.status(each) for each in taken]]
    in_flight = [(await caller.stats())["in_flight"]]
    for _ in range(3):
        clock.advance(10)
        seen.append([await caller.status(each) for each in taken])
        in_flight.append((await caller.stats())["in_flight"])
    c, p, d = "created", "processing", "completed"
    assert seen == [[p, p, c, c, c], [d, d, p, p, c], [d, d, d, d, p], [d, d, d, d, d]]
    assert in_flight == [5, 3, 1, 0]


async def test_equal_submissions_differ_and_equal_histories_do_not(open_sandbox: Any, tmp_path: Any) -> None:
    histories: list[list[tuple[float, int]]] = []
    for name, port in (("one", 8_787), ("two", 40_001)):
        caller = await open_sandbox(folder=tmp_path / name, spread=0.3)
        for prompt in ("a", "a", "b"):
            await caller.submit(prompt)
        await caller.submit("a", image=f"http://127.0.0.1:{port}/uploads/{'0' * 32}.png")
        histories.append([(each.latency_s, each.seed) for each in read_witness(tmp_path / name)])
    assert histories[0] == histories[1]
    assert len(set(histories[0])) == 4


async def test_the_balance_goes_down_by_each_price_and_then_nothing_is_accepted(open_sandbox: Any) -> None:
    caller = await open_sandbox(balance_usd=9.0)
    assert [(await caller.submit(duration=duration)).status for duration in ("5s", "8s")] == [200, 200]
    assert (await caller.ask("GET", "/api/v3/balance")).data == {"balance": 2.5}
    assert (await caller.submit(duration="6s")).status == 403
    assert (await caller.submit(duration="5s")).status == 200
    assert len(read_witness(caller.sandbox.folder)) == 3


@pytest.mark.parametrize(
    ("inputs", "price_usd"),
    [
        ({"duration": "5s"}, 2.5),
        ({"duration": "6s"}, 3.0),
        ({"duration": "7s"}, 3.5),
        ({"duration": "8s"}, 4.0),
        ({}, 2.5),
    ],
)
async def test_a_quote_without_a_duration_is_the_cheapest(caller: Any, inputs: Any, price_usd: float) -> None:
    body = {"model_id": "wavespeed-ai/veo2-i2v", "inputs": inputs}
    data = (await caller.ask("POST", "/api/v3/model/price", json=body)).data
    assert (data["price"], data["discounted_price"]) == (price_usd, price_usd)


@pytest.mark.parametrize(
    "body",
    [{}, {"model_id": 5}, {"model_id": "nope"}, {"model_id": "wavespeed-ai/veo2-i2v", "inputs": {"duration": []}}],
)
async def test_a_quote_for_nothing_on_sale_is_a_400(caller: Any, body: Any) -> None:
    assert (await caller.ask("POST", "/api/v3/model/price", json=body)).status == 400


async def test_models_come_with_the_schema_of_the_card(caller: Any) -> None:
    model, *others = (await caller.ask("GET", "/api/v3/models")).data
    run = model["api_schema"]["api_schemas"][0]
    schema = run["request_schema"]
    assert (model["model_id"], model["base_price"]) == ("wavespeed-ai/veo2-i2v", 2.5)
    assert schema["required"] == ["prompt", "image"]
    assert schema["properties"]["duration"] == {"type": "string", "enum": ["5s", "6s", "7s", "8s"], "default": "5s"}
    assert schema["properties"]["image"]["x-ui-component"] == "uploader"
    assert schema["x-order-properties"] == ["prompt", "image", "aspect_ratio", "duration"]
    assert (run["type"], run["method"], run["server"]) == ("model_run", "POST", caller.sandbox.url)
    assert run["api_path"] == SUBMIT
    assert model["description"]
    assert isinstance(model["sort_order"], int)
    assert model["formula"] == (
        'base_price * (duration = "6s" ? 1.2 : duration = "7s" ? 1.4 : duration = "8s" ? 1.6 : 1)'
    )
    assert {each["type"] for each in others} > {"text-to-image", "text-to-video"}


async def test_every_model_on_sale_is_bought_with_its_required_fields_alone(caller: Any, clock: Any) -> None:
    for model in (await caller.ask("GET", "/api/v3/models")).data:
        run = model["api_schema"]["api_schemas"][0]
        body = {name: GOOD[name] for name in run["request_schema"]["required"]}
        reply = await caller.ask("POST", run["api_path"], json=body)
        assert reply.data["model"] == model["model_id"]
        clock.advance(10)
        [url] = (await caller.poll(reply.data["id"])).data["outputs"]
        assert url.endswith(".png" if model["type"].endswith("image") else ".mp4")


async def test_unknown_paths_and_methods_answer_in_the_envelope(caller: Any) -> None:
    for method, path, http in (("GET", "/nowhere", 404), ("DELETE", "/api/v3/balance", 405)):
        reply = await caller.ask(method, path)
        assert (reply.status, reply.json["code"], reply.json["data"]) == (http, http, None)
