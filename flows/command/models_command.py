"""The `models` command: which models make a clip of a still, what they take, and what that costs. Buys nothing."""

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from animatic.errors import ApiRefusedError, FixInputError, NeverAgainError, TryLaterError
from animatic.errors.text import one_line, printable
from animatic.machine.start_folder import from_start
from animatic.manifest.model_rows import INSISTS, NEVER_SENT
from animatic.planning.catalogues import kept_list, read_folder
from animatic.takes.models import BUILT_IN, Catalogue, Property, RequestSchema, read_catalogue
from animatic.takes.money.amounts import as_number, dollars
from animatic.wavespeed.client import Price, WaveSpeedClient
from flows.command.embedded import provider
from flows.session import new_run_id
from flows.settings import Settings
from flows.terminal import PlainConsole, complain, say, say_json

FROM_STILL = "image-to-video"
MOST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class ModelsOptions:
    """The options of `models`, as typed."""

    model: str | None = None
    models: str | None = None
    sandbox: bool = False
    as_json: bool = False


def show_models(options: ModelsOptions) -> int:
    """List the models, or show one; 0.

    Raises:
        FixInputError: there is no such model, or the list cannot be had.
    """
    with provider(
        Settings.from_environment(), new_run_id(), sandbox=options.sandbox, models=options.models
    ) as settings:
        return asyncio.run(_show(options, settings))


async def _show(options: ModelsOptions, settings: Settings) -> int:
    catalogue, price = await _catalogue(options, settings)
    for problem in catalogue.problems[:MOST_PROBLEMS]:
        complain(f"note: {one_line(problem, 300)}")
    if options.model is None:
        listed = [each for each in catalogue.values() if each.type == FROM_STILL]
        say_json(_list_as_json(listed)) if options.as_json else _print_list(listed)
        return 0
    schema = _find(catalogue, options.model)
    if options.as_json:
        say_json(json.dumps(_as_dict(schema) | {"quote_usd": as_number(price.microusd if price else None)}))
    else:
        _print_model(schema, price)
    return 0


async def _catalogue(options: ModelsOptions, settings: Settings) -> tuple[Catalogue, Price | None]:
    """Return the models, and a quote for the one that is asked about, where that can be had."""
    if options.models is not None:
        return read_catalogue(read_folder(Path(from_start(options.models)))), None
    if settings.api_key is None:
        complain(
            "note: WAVESPEED_API_KEY is not set, so only the model that is built in is known; export it to see all"
        )
        return BUILT_IN, None
    async with WaveSpeedClient(settings.base_url, settings.require_key(), network=settings.network) as client:
        try:
            entries = await client.list_models()
            kept_list(settings.ledger, settings.origin).write(entries)
            catalogue = read_catalogue(entries)
        except (TryLaterError, NeverAgainError) as error:
            raise FixInputError(f"{error}. The list of models cannot be had; give --models DIR to use files") from None
        schema = catalogue.get(options.model or "")
        return catalogue, await _quote(client, schema) if schema else None


async def _quote(client: WaveSpeedClient, schema: RequestSchema) -> Price | None:
    """Return the price of one take with WaveSpeed's own defaults; None where there is no quote."""
    try:
        return await client.quote(schema.model, example_inputs(schema))
    except (TryLaterError, ApiRefusedError):
        return None


def example_inputs(schema: RequestSchema) -> dict[str, Any]:
    """Return inputs for a quote: WaveSpeed's defaults, the first of allowed values, and made-up media and texts."""
    made_up = {"array": ["https://example.com/still.jpg"], "object": {}, "boolean": False, "integer": 1, "number": 1}
    inputs: dict[str, Any] = {}
    for each in schema.properties.values():
        if each.default is not None:
            inputs[each.name] = each.default
        elif each.allowed:
            inputs[each.name] = each.allowed[0]
        elif each.is_required:
            usual = "https://example.com/still.jpg" if each.media else "a quote"
            inputs[each.name] = each.minimum if each.minimum is not None else made_up.get(each.type, usual)
    return inputs


def _find(catalogue: Catalogue, model: str) -> RequestSchema:
    schema = catalogue.get(model)
    if schema is None:
        near = catalogue.near(model)
        hint = (
            f"; did you mean {' or '.join(near)}?"
            if near
            else "; `animatic models` lists those that make a clip of a still"
        )
        raise FixInputError(
            f"{one_line(model, 200)}: found no such model among the {len(catalogue):,} that are known{hint}"
        )
    return schema


def _print_list(models: Sequence[RequestSchema]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "price from", "inputs"):
        table.add_column(name, no_wrap=name != "inputs")
    for each in models:
        price = "" if each.base_microusd is None else dollars(each.base_microusd)
        table.add_row(printable(each.model), price, printable(", ".join(each.properties)))
    PlainConsole().print(table, soft_wrap=False)


def _print_model(schema: RequestSchema, price: Price | None) -> None:
    say(f"{schema.model} ({schema.type or 'type not named'})")
    if schema.description:
        say(one_line(schema.description, 500))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("input", "required", "default", "allowed"):
        table.add_column(name, no_wrap=name != "allowed")
    for each in schema.properties.values():
        required, default = "yes" if each.is_required else "", "" if each.default is None else json.dumps(each.default)
        table.add_row(printable(each.name), required, printable(default), printable(each.allowed_in_words))
    PlainConsole().print(table, soft_wrap=False)
    say(f"header: {header_of(schema)}")
    if price is not None:
        say(f"one take with WaveSpeed's own defaults: {'from ' if price.is_floor else ''}{dollars(price.microusd)}")


def header_of(schema: RequestSchema) -> str:
    """Return the first line of a manifest for this model, to copy: required inputs first."""
    required = [name for name in schema.properties if schema.properties[name].is_required]
    others = [name for name in schema.properties if name not in required]
    text = io.StringIO(newline="")
    inputs = [INSISTS + name if name in NEVER_SENT else name for name in (*required, *others)]
    csv.writer(text, lineterminator="").writerow(["shot_id", *inputs, "model"])
    return text.getvalue()


def _list_as_json(models: Sequence[RequestSchema]) -> str:
    return json.dumps({"models": [_as_dict(each) for each in models]})


def _as_dict(schema: RequestSchema) -> dict[str, Any]:
    return {
        "model": schema.model,
        "type": schema.type,
        "base_price_usd": as_number(schema.base_microusd),
        "formula": schema.formula,
        "inputs": [_property_as_dict(each) for each in schema.properties.values()],
        "header": header_of(schema),
    }


def _property_as_dict(each: Property) -> dict[str, Any]:
    return {
        "name": each.name,
        "type": each.type,
        "required": each.is_required,
        "default": each.default,
        "allowed": list(each.allowed) or None,
        "minimum": each.minimum,
        "maximum": each.maximum,
        "step": each.step,
        "media": each.media or (each.items.media if each.items else ""),
    }
