"""The handlers about money: catalogue, quotes, balance, bill, usage."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from animatic.sandbox.account import Account, json_in, origin_of
from animatic.sandbox.catalogue import MODELS, Model
from animatic.sandbox.lifecycle import COMPLETED
from animatic.sandbox.listed import ListedModel
from animatic.sandbox.predictions import DEDUCT, REFUND, Charge, Window
from animatic.sandbox.replies import answer
from animatic.sandbox.wire import bill_data, bill_page_from, span_from

_MOST_USAGE_S = 31 * 86_400


class AccountPages:
    """The pages of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.post("/api/v3/model/price", self.quote),
            web.post("/api/v3/model/pricing", self.quote_by_the_older_page),
            web.get("/api/v3/models", self.list_models),
            web.get("/api/v3/balance", self.show_balance),
            web.post("/api/v3/billings/search", self.list_charges),
            web.post("/api/v3/user/usage_stats", self.show_usage),
        ]

    async def quote(self, request: web.Request) -> web.StreamResponse:
        """Quote a submission, as the newer clients ask."""
        if self._account.config.lacks_price:
            return self._account.refuse("path", 404, "no such path: POST /api/v3/model/price")
        model_id, price_usd = await _price_in(self._account, request)
        discounted_usd = 0 if self._account.config.zero_discount else price_usd
        return answer(
            {
                "model_id": model_id,
                "price": price_usd,
                "discounted_price": discounted_usd,
                "discount_rate": 0,
                "currency": "USD",
            }
        )

    async def quote_by_the_older_page(self, request: web.Request) -> web.StreamResponse:
        """Quote a submission, as the documentation has it."""
        model_id, price_usd = await _price_in(self._account, request)
        return answer({"model_id": model_id, "unit_price": price_usd, "currency": "USD"})

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        """List the models on sale."""
        origin = origin_of(request)
        return answer([model.described(origin) for model in self._account.models.values()])

    async def show_balance(self, _: web.Request) -> web.StreamResponse:
        """Show the money left, in USD."""
        return answer({"balance": self._account.predictions.balance_at(self._account.clock())})

    async def list_charges(self, request: web.Request) -> web.StreamResponse:
        """List charges and refunds, newest first unless asked otherwise."""
        asked, now = bill_page_from(await json_in(request)), self._account.clock()
        page = asked.page
        found = self._account.predictions.bill(page.window, now, billing_type=asked.billing_type, ids=asked.ids)
        if not asked.is_ascending:
            found.reverse()
        first, end = page.span
        items = [bill_data(each, now) for each in found[first:end]]
        has_more = end < len(found)
        return answer(
            {"page": page.number, "page_size": page.size, "total": len(found), "has_more": has_more, "items": items}
        )

    async def show_usage(self, request: web.Request) -> web.StreamResponse:
        """Show the sums of a span, by model and by day."""
        start, end, model_id = span_from(await json_in(request), _MOST_USAGE_S)
        now = self._account.clock()
        return answer(
            usage_data(self._account.predictions.bill(Window(start, end, model_id), now), now, self._account.models)
        )


def usage_data(
    charges: list[Charge], now: float, on_sale: Mapping[str, Model | ListedModel] = MODELS
) -> dict[str, Any]:
    """Sum up the usage. Pure. That a refund lowers the cost, on the day on which it comes, is a guess."""
    cost_of: defaultdict[tuple[str, str], float] = defaultdict(float)
    count_of: Counter[tuple[str, str]] = Counter()
    successes = 0
    for each in charges:
        key = (each.prediction.accepted.model, datetime.fromtimestamp(each.at, UTC).date().isoformat())
        cost_of[key] += each.prediction.accepted.price_usd * (-1 if each.billing_type == REFUND else 1)
        count_of[key] += each.billing_type == DEDUCT
        successes += each.billing_type == DEDUCT and each.prediction.status_at(now) == COMPLETED
    summary = {
        "total_cost": round(sum(cost_of.values()), 4),
        "total_requests": sum(count_of.values()),
        "success_requests": successes,
    }
    models, days = (dict.fromkeys(key[place] for key in cost_of) for place in (0, 1))
    per_model = [
        _model_usage(
            model, on_sale.get(model), [key for day in days if (key := (model, day)) in cost_of], cost_of, count_of
        )
        for model in models
    ]
    per_day = [_day_usage(day, [(model, day) for model in models if (model, day) in cost_of], cost_of, count_of)
               for day in days]  # fmt: skip
    return {"summary": summary, "per_model_usage": per_model, "daily_usage": per_day}


def _model_usage(
    model_id: str,
    model: Model | ListedModel | None,
    keys: list[tuple[str, str]],
    cost_of: dict[tuple[str, str], float],
    count_of: Counter[Any],
) -> dict[str, Any]:
    return {
        "model_uuid": model_id,
        "model_type": model.model_type if model else "",
        "unit_price": model.cheapest_usd if model else 0,
        "total_cost": round(sum(cost_of[key] for key in keys), 4),
        "total_count": sum(count_of[key] for key in keys),
        "last_used_date": max(day for _, day in keys),
    }


def _day_usage(
    day: str, keys: list[tuple[str, str]], cost_of: dict[tuple[str, str], float], count_of: Counter[Any]
) -> dict[str, Any]:
    models = [{"model_uuid": key[0], "amount": round(cost_of[key], 4), "count": count_of[key]} for key in keys]
    return {
        "date": day,
        "amount": round(sum(cost_of[key] for key in keys), 4),
        "count": sum(count_of[key] for key in keys),
        "models": models,
    }


async def _price_in(account: Account, request: web.Request) -> tuple[str, float]:
    body = await json_in(request)
    model = account.find_model(body.get("model_id"))
    return model.model_id, model.quote_usd(body.get("inputs"))
