"""Plans in files: `plan -o` keeps one, `run --plan` carries it out or refuses and says what moved."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from urllib.parse import unquote, urlsplit

from animatic import storage
from animatic.errors import LocationError, SettingsError
from animatic.errors.text import PROGRAM, command, counted, one_line, positional
from animatic.ledger import ledger_name
from animatic.machine.start_folder import from_start
from animatic.pace.limits import LEVELS
from animatic.planning import plan_file
from animatic.planning.manifests import sheet_of
from animatic.planning.moves import MOST_NAMED, Agreed, Allowed, agreed_prices, misplaced, moved_rows
from animatic.planning.plan_file import PlanFile, shown_moment
from animatic.planning.plan_form import (
    VERSION,
    HeadPart,
    ManifestPart,
    OptionsPart,
    PricePart,
    as_text,
    cost_of,
)
from animatic.planning.planned_rows import asked_in, models_and_asked, rows_of
from animatic.planning.purchases import Purchases, purchases_of
from animatic.takes.canonical import EMBEDDED_SANDBOX
from animatic.takes.money.amounts import dollars, microusd, read_limit
from animatic.takes.schemas import PriceClass
from animatic.takes.states import BuyingPolicy
from flows.command.next_steps import NextStep
from flows.command.plan_in_words import Preview
from flows.order import RowOptions
from flows.settings import Settings
from flows.terminal import without_passwords

GOOD_FOR = timedelta(hours=24)
"""A plan is refused when it is older: quotes are good for a day at most, and the world moves on."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Options that a run carries a plan out with."""

    allow_unpriced: Sequence[str] = ()
    accept_estimates: bool = False


def require_place(uri: str) -> None:
    """Refuse to write a plan over anything but a plan.

    Raises:
        LocationError: there is something else at the place, or it cannot be written.
    """
    with storage.open_existing(uri, max_bytes=plan_file.MAX_FILE_BYTES) as old:
        if old is not None and not old.read(len(plan_file.BEGINNING)) == plan_file.BEGINNING:
            raise LocationError(f"-o {uri}: it holds something else than a plan; give another place, or move it away")
    storage.require_writable(uri)


def keep(  # noqa: PLR0913, PLR0917 - the plan, and what it was made with
    uri: str,
    manifest: str,
    shown: Preview,
    settings: Settings,
    policy: BuyingPolicy,
    rows: RowOptions,
    *,
    skip_invalid: bool,
) -> HeadPart:
    """Write a plan into a file, in place of the plan that is there; return its head.

    Raises:
        LocationError: it cannot be written.
        SettingsError: the manifest's URI holds a password, which a file would keep.
    """
    planned, now = rows_of(shown.plan), datetime.now(UTC).replace(microsecond=0)
    prices = [_price(shown, price_class) for price_class in shown.plan.price_classes]
    head = HeadPart(
        animatic_plan=VERSION,
        made_at=now,
        valid_until=now + GOOD_FOR,
        made_by=f"animatic {version('animatic')}",
        manifest=ManifestPart(
            uri=_lasting_manifest(manifest), sha256=shown.plan.manifest.sha256, rows=shown.plan.manifest.num_rows
        ),
        provider=settings.origin,
        ledger=ledger_name(settings.ledger),
        options=OptionsPart(
            only=[*rows.only],
            limit=rows.limit,
            map=[*rows.map],
            models=None if rows.models is None else from_start(rows.models),
            stills=_lasting(rows.stills),
            check_stills=rows.check_stills,
            decisions=_lasting(rows.decisions),
            follow_approved=rows.follow_approved,
            changed_stills=rows.changed_stills,
            skip_invalid=skip_invalid,
            retry_failed=policy.retry_failed,
            attempts=policy.attempts,
        ),
        counts=planned.counts(),
        cost=cost_of(prices, policy.attempts),
        time_s=_times(shown),
        prices=prices,
    )
    with storage.copy_of(plan_file.written(head, planned, models_and_asked(shown.plan, planned))) as copy:
        storage.replace_with(uri, copy)
    return head


def _lasting_manifest(manifest: str) -> str:
    """Return the manifest's URI as it means the same from any folder. Raises SettingsError as `_lasting`."""
    place, sheet = sheet_of(manifest)
    lasting = _lasting(place) or ""
    return lasting if sheet is None else f"{lasting}#{sheet}"


def _lasting(uri: str | None) -> str | None:
    """Return a URI as it means the same from any folder. Raises SettingsError for one with a password."""
    if uri is None or "://" not in uri or uri.startswith("file:"):
        return None if uri is None else storage.absolute_uri(uri)
    if urlsplit(uri).password is not None:
        raise SettingsError(f"-o: {without_passwords(uri)} holds a password, which the plan would keep; leave it out")
    return uri


def _price(shown: Preview, price_class: PriceClass) -> PricePart:
    quote, price = shown.priced.quotes.get(price_class), shown.priced.prices[price_class]
    is_quoted = quote is not None and not quote.is_floor
    estimate = shown.estimates.get(price_class)
    return PricePart(
        model=price_class.model,
        inputs=dict(price_class.inputs),
        takes=shown.plan.price_classes[price_class],
        usd=as_text(price),
        source=None if price is None else "quote" if is_quoted else "setting",
        from_usd=as_text(quote.microusd) if quote is not None and quote.is_floor else None,
        estimated_usd=None if estimate is None else as_text(estimate.microusd),
        estimated_from=0 if estimate is None else estimate.takes,
    )


def _times(shown: Preview) -> dict[str, float]:
    levels = {name: shown.duration_at_s(limits) for name, limits in LEVELS.items()}
    return {name: float(round(each)) for name, each in {**levels, "yours": shown.duration_s}.items()}


def open_plan(uri: str) -> PlanFile:
    """Read the file of a plan.

    Raises:
        LocationError: it cannot be read, or is too large.
        SettingsError: it is no plan, or was changed since it was written.
    """
    with storage.open_copy(uri, max_bytes=plan_file.MAX_FILE_BYTES) as copy:
        return plan_file.read(copy, uri)


def purchases_in(file: PlanFile) -> Purchases:
    """Return the takes that a plan says are to be bought."""
    return purchases_of(file.rows)


def require_here(file: PlanFile, settings: Settings) -> None:
    """Refuse a plan that is too old, or that was made for another provider or ledger.

    Raises:
        SettingsError: each reason in a line.
    """
    found = misplaced(file.head, settings.origin, ledger_name(settings.ledger), datetime.now(UTC))
    if found:
        raise _refusal(file, found)


def require_unmoved(file: PlanFile, shown: Preview, settings: Settings, options: PlanOptions) -> Agreed:
    """Return the prices that a plan agrees to; `shown` holds what is left to buy of it.

    Raises:
        SettingsError: rows or prices have moved since it was made, or a price is not known and nothing allows it.
    """
    allowed = _allowed(file, options)
    found: list[str] = []
    manifest = shown.plan.manifest
    found += moved_rows(file.rows, rows_of(shown.plan), functools.partial(asked_in, manifest))
    agreed = agreed_prices(file, shown.plan, shown.priced.quotes, settings.price_microusd, allowed)
    found += agreed.moved
    if found:
        raise _refusal(file, found)
    if agreed.unpriced:
        raise _unpriced(file, agreed.unpriced)
    return agreed


def notes_on(file: PlanFile, shown: Preview) -> list[str]:
    """Return lines on what is another since a plan was made, and does not stand in its way."""
    plan, notes = shown.plan, list[str]()
    bought = int(file.rows.is_bought.sum()) - plan.to_buy
    if bought:
        was, them = ("was", "is not bought again") if bought == 1 else ("were", "are not bought again")
        notes.append(f"{counted(bought, 'take')} of {file.name} {was} submitted since it was made, and {them}")
    if plan.left_out:
        notes.append(
            f"{counted(plan.left_out, 'take')} may be bought now and stay as they are: {file.name} does not buy them"
        )
    if plan.manifest.sha256 != file.head.manifest.sha256:
        notes.append("the manifest changed since the plan was made, but for none of its takes")
    return notes


def _refusal(file: PlanFile, found: Sequence[str]) -> SettingsError:
    lines = [f"  {line}" for line in found[:MOST_NAMED]]
    if len(found) > MOST_NAMED:
        lines.append(f"  and {len(found) - MOST_NAMED:,} more")
    return SettingsError(
        f"--plan: {file.name} of {file.made_at} does not hold any more, and nothing was bought:\n"
        + "\n".join(lines)
        + f"\nmake it again, and look at it:\n    {again_command(file)}"
    )


def _unpriced(file: PlanFile, models: Sequence[str]) -> SettingsError:
    takes = {
        model: sum(each.takes for each in file.head.prices if each.model == model and each.usd is None)
        for model in models
    }
    named = "\n".join(f"  {one_line(model, 200)}: {counted(count, 'take')}" for model, count in takes.items())
    guesses = [each for each in file.head.prices if each.model in models and each.usd is None and each.estimated_usd]
    estimate = "; --accept-estimates goes by what such takes cost before" if guesses else ""
    return SettingsError(
        f"--plan: {file.name}: prices that are not known, and nothing was bought:\n{named}\n"
        "allow each model by its name, with the most dollars that a take may cost: --allow-unpriced MODEL=USD"
        f"{estimate}"
    )


def again_command(file: PlanFile) -> str:
    """Return the command that makes a plan of the same manifest with the same options."""
    return command("plan", *plan_arguments(file.head), "-o", file.name)


def plan_arguments(head: HeadPart) -> list[str]:
    """Return the manifest of a plan and the options that it was made with, as they are typed."""
    options = head.options
    return [
        as_typed(head.manifest.uri),
        *(["--sandbox"] if head.provider == EMBEDDED_SANDBOX else []),
        *(["--skip-invalid"] if options.skip_invalid else []),
        *(["--retry-failed"] if options.retry_failed else []),
        *(["--attempts", str(options.attempts)] if options.attempts != 1 else []),
        *rows_in(head).typed,
    ]


def rows_in(head: HeadPart) -> RowOptions:
    """Return how the manifest of a plan is read, and which of its rows count."""
    of = head.options
    return RowOptions(
        *(of.only, of.limit, of.map, of.models, of.stills),
        *(of.check_stills, of.decisions, of.follow_approved),
        changed_stills=of.changed_stills,
    )


def as_typed(uri: str) -> str:
    """Return a manifest's URI as people type it: the path of a local file."""
    return positional(unquote(uri.removeprefix("file://"))) if uri.startswith("file:///") else uri


def _allowed(file: PlanFile, options: PlanOptions) -> Allowed:
    """Return what may be bought without a price. Raises SettingsError for an option that allows nothing of the plan."""
    found: dict[str, int] = {}
    unpriced = sorted({each.model for each in file.head.prices if each.usd is None and each.takes})
    for option in options.allow_unpriced:
        model, mark, amount = option.rpartition("=")
        most = read_limit(amount) if mark else None
        if not most:
            raise SettingsError(
                f'--allow-unpriced: found "{one_line(option, 200)}"; allowed: MODEL=USD, the most that one take of it '
                "may cost, such as wavespeed-ai/veo2-i2v=3.50"
            )
        if model not in unpriced:
            these = ", ".join(unpriced) or "none: every price of the plan is known"
            raise SettingsError(
                f'--allow-unpriced: found "{one_line(model, 200)}"; allowed: a model of {file.name} whose price is not '
                f"known ({one_line(these, 500)})"
            )
        found[model] = most
    return Allowed(found, options.accept_estimates)


def carry_out(uri: str, manifest: str, head: HeadPart) -> NextStep:
    """Return the command that carries a plan out, and what that comes to."""
    cost, count = head.cost, sum(each.takes for each in head.prices)
    stem = storage.name_of(sheet_of(manifest)[0]).partition(".")[0] or "shots"
    price = f" for {dollars(_micro(cost.usd))}" if cost.usd is not None else ""
    most = f", at most {dollars(_micro(cost.most_usd))}" if cost.most_usd not in {None, cost.usd} else ""
    what = f"carry it out: buys {counted(count, 'take')}{price}{most}" if count else "carry it out: buys nothing"
    unpriced = list(dict.fromkeys(one_line(each.model, 100) for each in head.prices if each.usd is None))
    if unpriced:
        named = " ".join(f"--allow-unpriced {model}=USD" for model in unpriced[:MOST_NAMED])
        return NextStep(f"{what}; run --plan {uri} needs {named}, the most that such a take may cost")
    return NextStep(what, (PROGRAM, "run", "--plan", uri, "--results", f"{stem}-results.csv"))


def kept_lines(uri: str, head: HeadPart, following: NextStep | None) -> list[str]:
    """Return lines for people on the file of a plan, and the command that carries it out."""
    kept = f"  plan: {uri}, good until {shown_moment(head.valid_until)}"
    return [kept, *([] if following is None else following.lines(indent=2))]


def _micro(text: str | None) -> int:
    return microusd(text or "0")


def json_of(uri: str, head: HeadPart) -> Mapping[str, object]:
    """Return the part of `plan --json` on the file that was written."""
    return {"plan": uri, "valid_until": head.valid_until.isoformat().replace("+00:00", "Z")}
