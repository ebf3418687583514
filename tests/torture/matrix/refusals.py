"""Replies that say no in some form, and final replies that are odd around what counts."""

from typing import Any

import aiohttp
import httpx
import yarl
from multidict import CIMultiDict, CIMultiDictProxy

from animatic.pace.limits import Limits
from torture.matrix.lies import RESULT, SUBMIT, Liar, reply
from torture.matrix.stage import CASES, Setup, case

ONE_AT_A_TIME = Limits(1_000, 1)
BODIES: dict[str, Any] = {
    '{"error": …}': {"error": "these words say no"},
    '{"detail": […]}': {"detail": [{"loc": ["body", "image"], "msg": "these words say no", "type": "value_error"}]},
    "plain text": "these words say no",
}


def _refusal_case(status: int, form: str, body: Any) -> None:
    """A refusal in this form: known to have bought nothing, and never sent again by itself."""
    is_of_the_account = status == 403

    async def work(setup: Setup) -> bool:
        async with setup.sandbox():
            takes = setup.takes(*(f"take {number}" for number in range(4)))
            liar = Liar(before={SUBMIT: lambda _: reply(status, body)})
            ran = await setup.run(takes, limits=ONE_AT_A_TIME, client={"transport": liar})
            assert ran.error is None
            assert not setup.accepted
            if is_of_the_account:
                assert liar.lied[SUBMIT] == 1, "it went on after one"
                assert "these words say no" in (ran.shoot.stop_signal.reason or ""), ran.shoot.stop_signal.reason
                assert await setup.states(takes) == ["unsent", "planned", "planned", "planned"]
                await setup.run(takes)
                return setup.bought == {take.shot.inputs["prompt"]: 1 for take in takes}
            assert await setup.states(takes) == ["rejected"] * 4
            errors = [record.error or "" for record in await setup.records(takes) if record]
            assert all("these words say no" in error for error in errors), errors
            await setup.run(takes, client={"transport": Liar(before={SUBMIT: lambda _: reply(status, body)})})
            again = Liar()
            await setup.run(takes, client={"transport": again})
            assert again.asked[SUBMIT] == 0
            assert await setup.states(takes) == ["rejected"] * 4
            return liar.lied[SUBMIT] == 4

    promise = (
        "the run stops after one, with its words; nothing was bought"
        if is_of_the_account
        else "rejected with its words, sent once, never unknown"
    )
    CASES[f"{status}, {form}"] = ("reply", promise, work)


for _status in (400, 403, 422):
    for _form, _body in BODIES.items():
        _refusal_case(_status, _form, _body)


@case("reply", "400 around a prediction id", "what has an id was bought: it is watched to its end")
async def _refusal_with_id(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("one", "two")
        liar = Liar(after={SUBMIT: lambda _, reported: reply(400, reported | {"code": 400, "message": "no"})})
        ran = await setup.run(takes, client={"transport": liar})
        assert ran.error is None
        assert await setup.states(takes) == ["completed"] * 2
        assert set(setup.bought.values()) == {1}
        return liar.lied[SUBMIT] == 2


@case("reply", "407 of a proxy", "the run stops before more is sent, names HTTPS_PROXY, and nothing was bought")
async def _proxy(setup: Setup) -> bool:
    def refuse_to_connect(request: httpx.Request) -> httpx.Response:
        url = yarl.URL(str(request.url))
        info = aiohttp.RequestInfo(url, "CONNECT", CIMultiDictProxy(CIMultiDict()), url)
        raise aiohttp.ClientHttpProxyError(info, (), status=407, message="who asks?")

    fired = 0
    async with setup.sandbox():
        takes = setup.takes(*(f"take {number}" for number in range(4)))
        for lie in (lambda _: reply(407, "<html>who asks?</html>"), refuse_to_connect):
            liar = Liar(before={SUBMIT: lie})
            ran = await setup.run(takes, limits=ONE_AT_A_TIME, client={"transport": liar})
            assert liar.asked[SUBMIT] == 1, "it went on after one"
            assert "HTTPS_PROXY" in (ran.shoot.stop_signal.reason or ""), ran.shoot.stop_signal.reason
            assert set(await setup.states(takes)) == {"unsent", "planned"}
            fired += liar.asked[SUBMIT]
        await setup.run(takes)
        assert setup.bought == {take.shot.inputs["prompt"]: 1 for take in takes}
    return fired == 2


ODD: dict[str, dict[str, Any]] = {
    "fractional timings": {"timings": {"inference": 1_234.56}},
    "timings as text": {"timings": {"inference": "1234.56"}},
    "flags null": {"has_nsfw_contents": None},
    "flags [null]": {"has_nsfw_contents": [None]},
    "outputs as objects": {"outputs": [{"url": "https://cdn.example/a.mp4", "type": "video"}]},
    "code as text": {"code": "none"},
    "model null": {"model": None},
    "error as an object": {"error": {"message": ""}},
}


@case("status", "a completed reply that is odd around its outputs", "completed, and what was not judged is not clean")
async def _odd_but_completed(setup: Setup) -> bool:
    def odd(_: httpx.Request, reported: dict[str, Any]) -> dict[str, Any] | None:
        if reported["data"]["status"] != "completed":
            return None
        name = next(each.inputs["prompt"] for each in setup.accepted if each.id == reported["data"]["id"])
        return reported | {"code": "200", "data": reported["data"] | ODD[name]}

    async with setup.sandbox():
        takes, liar = setup.takes(*ODD), Liar(after={RESULT: odd})
        ran = await setup.run(takes, client={"transport": liar})
        records = dict(zip(ODD, await setup.records(takes), strict=True))
        assert {name: record and record.state.value for name, record in records.items()} == dict.fromkeys(
            ODD, "completed"
        )
        found = {name: record for name, record in records.items() if record is not None}
        assert all(record.outputs and isinstance(record.outputs[0], str) for record in found.values())
        assert found["outputs as objects"].outputs == ("https://cdn.example/a.mp4",)
        assert {found[name].inference_ms for name in ("fractional timings", "timings as text")} == {1_235}
        assert found["flags null"].has_nsfw_contents is None
        assert found["flags [null]"].has_nsfw_contents == (None,)
        assert ran.progress.not_judged == 2, f"{ran.progress.not_judged} takes pass for not judged"
        assert (await setup.run(takes)).progress.submissions == 0
        return liar.lied[RESULT] >= len(ODD)
