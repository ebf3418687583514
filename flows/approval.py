"""Approval: a deployed run whose plan costs more than it may buy alone asks a person, in Prefect's own form.

The run suspends, so while it waits it has no process, no lock and no slot. The answer is read from Prefect by its key
before anything is asked again, since a run that crashes afterwards starts from its first line, and Prefect itself
forgets then that it has asked.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput, keyset_from_base_key
from prefect.input.actions import aread_flow_run_input
from pydantic import ConfigDict, Field, ValidationError, create_model

from animatic.errors import BudgetError, SettingsError
from animatic.errors.text import counted, one_line
from animatic.planning.priced import PricedPlan
from animatic.takes.money.amounts import MOST_USD, as_number, dollars, limit_microusd
from flows.order import ApprovalRule, Order
from flows.run import Run
from tasks.alerts import APPROVAL_WANTED, alert
from tasks.deployment import deployment_id

MOST_QUESTIONS = 5
"""Times that one run may ask, each time because the plan costs more by then than was approved."""

MOST_CLASSES_NAMED = 10


class Approval(RunInput):
    """The form in Prefect, and its answer."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="Approval")

    decision: Literal["approve", "refuse"] = Field(description="Whether the run may buy. Refused, it ends.")
    max_usd: float = Field(
        ge=0,
        le=MOST_USD,
        allow_inf_nan=False,
        title="Limit in dollars",
        description="The most that this run may commit (max_usd).",
    )
    note: str = Field("", max_length=500, description="Who decided, or why; kept in the run's log.")


def require_deployment(order: Order) -> None:
    """Refuse an approval where Prefect cannot suspend the run. Raises SettingsError."""
    if order.approval is not None and deployment_id() is None:
        raise SettingsError(
            f"approve_above_usd: found {order.approval.above_usd} for a run without a deployment, which Prefect cannot "
            "suspend; allowed: a run of a deployment. Leave it out; `animatic run` asks at the terminal, and max_usd "
            "is a limit"
        )


@dataclass(frozen=True, slots=True)
class ApprovedRun:
    """A run that may buy its plan: a person approved that in Prefect, or it needs no approval.

    Attributes:
        approved_microusd: the sum that was approved for the whole flow run; None without an approval.
    """

    run: Run
    priced: PricedPlan
    approved_microusd: int | None = None

    @property
    def max_microusd(self) -> int | None:
        """The most that this process may reserve.

        The flow run's limit, less what earlier processes of it have reserved: without an approval no more than needs
        none, with one no more than was approved.
        """
        run, rule = self.run, self.run.order.approval
        alone, most = self.approved_microusd, run.ceiling_microusd
        if alone is None:
            if rule is None:
                return most
            alone = rule.above_microusd
        return run.left_of(alone) if most is None else min(run.left_of(alone), most)


async def approve(run: Run, priced: PricedPlan) -> ApprovedRun:
    """Ask for an approval if the plan needs one; return the run with the limit that it has then.

    Raises:
        Pause: no one has answered yet; the process ends, and Prefect starts another once there is an answer.
        SettingsError: the answer is no, or it cannot be read.
        BudgetError: the price is not known, or the plan has grown after each of several approvals.
    """
    rule = run.order.approval
    if rule is None or not priced.plan.to_buy:
        return ApprovedRun(run, priced)
    if priced.cost is None:
        raise BudgetError(
            "approve_above_usd: the price of a take cannot be had from the API, so there is no sum to approve; set "
            "ANIMATIC_PRICE_USD to what one take costs"
        )
    asked, approved = await _approved_so_far(run, priced.cost)
    enough = run.left_of(rule.above_microusd if approved is None else approved)
    if priced.cost <= enough:
        return ApprovedRun(run, priced, approved)
    if asked == MOST_QUESTIONS:
        raise BudgetError(
            f"approve_above_usd: the plan costs {dollars(priced.cost)}, more than the last of {asked} approvals. "
            "Nothing was bought. Start the run anew"
        )
    raise await _ask(run, priced, approved, number=asked + 1)


async def _approved_so_far(run: Run, cost: int) -> tuple[int, int | None]:
    """Return how often this flow run was answered, up to an answer that suffices, and the sum of the last one.

    Raises:
        SettingsError: an answer is no, or cannot be read.
    """
    approved: int | None = None
    for number in range(1, MOST_QUESTIONS + 1):
        keys = _keyset(number)
        answer: Any = await aread_flow_run_input(keys["response"])
        if not answer:
            return number - 1, approved
        approved = approved_by(answer, _suggested(await aread_flow_run_input(keys["schema"])))
        run.warn(f"approved up to {dollars(approved)}{_signed(answer)}")
        if cost <= run.left_of(approved):
            return number, approved
        run.warn(f"the plan costs {dollars(cost)}, more than that: nothing of it is bought without another approval")
    return MOST_QUESTIONS, approved


async def _ask(run: Run, priced: PricedPlan, approved: int | None, *, number: int) -> SettingsError:
    """Suspend the run with its plan; return an error where Prefect does not, since it holds that this was answered.

    Raises:
        Pause: the run is suspended.
    """
    rule = run.order.approval or ApprovalRule(0.0)
    lines = plan_lines(run, priced, rule, approved)
    alert(APPROVAL_WANTED, lines[0], run.warn)
    form, wait_s = _form(run, priced, lines), max(int(rule.within_hours * 3_600), 1)
    with contextlib.suppress(ValidationError):  # of an answer that is not there
        await asuspend_flow_run(wait_for_input=form, timeout=wait_s, key=_key(number))
    return SettingsError(
        "approval: the run was resumed without an answer; allowed: decision and max_usd, in the form behind Resume. "
        "Nothing was bought"
    )


def plan_lines(run: Run, priced: PricedPlan, rule: ApprovalRule, approved: int | None) -> Sequence[str]:
    """Return the plan in Markdown: its takes and cost, and what changed since the run asked before."""
    plan, cost = priced.plan, priced.cost or 0
    lines = [f"{one_line(run.order.manifest, 300)}: buy {counted(plan.to_buy, 'take')} for {dollars(cost)}"]
    prices = priced.prices
    for each, count in list(plan.price_classes.items())[:MOST_CLASSES_NAMED]:
        inputs = ", ".join(f"{name} {value}" for name, value in each.inputs.items())
        kind = one_line(f"{each.model}{f' ({inputs})' if inputs else ''}", 200)
        lines.append(f"- {count:,} of {kind} at {dollars(prices[each] or 0)}")
    if len(plan.price_classes) > MOST_CLASSES_NAMED:
        lines.append(f"- and {len(plan.price_classes) - MOST_CLASSES_NAMED:,} more kinds")
    if plan.settled or plan.resumable:
        lines.append(f"- {plan.settled.total():,} are there from earlier runs, {plan.resumable:,} are watched")
    if run.reserved_before:
        lines.append(f"- this run has reserved {dollars(run.reserved_before)} before")
    if approved is not None:
        lines.append(f"- {dollars(approved)} were approved, less than it costs: nothing was bought since then")
    if run.order.policy.attempts > 1:
        lines.append(f"- a take that WaveSpeed fails is bought up to {run.order.policy.attempts} times")
    lines.append(f"- up to {dollars(rule.above_microusd)} need no approval")
    return lines


def _form(run: Run, priced: PricedPlan, lines: Sequence[str]) -> type[Approval]:
    """Return the form with the plan above it, and its cost as the limit that is suggested."""
    field = Approval.model_fields["max_usd"]
    most = _most(run, priced)
    ceiling = MOST_USD if run.ceiling_microusd is None else as_number(_ceiling(run))
    suggested = Field(
        as_number(most), ge=0, le=ceiling, title=field.title, description=field.description, allow_inf_nan=False
    )
    form = create_model("Approval", __base__=Approval, max_usd=(float, suggested))
    return form.with_initial_data(description="\n".join([f"**{lines[0]}**", "", *lines[1:]]))


def _most(run: Run, priced: PricedPlan) -> int:
    """Return the sum that is suggested: what the plan can cost with all attempts, within the run's own limit."""
    most = run.reserved_before + (priced.cost or 0) * run.order.policy.attempts
    return most if run.ceiling_microusd is None else min(most, _ceiling(run))


def _ceiling(run: Run) -> int:
    return (run.ceiling_microusd or 0) + run.reserved_before


def _suggested(schema: Any) -> float | None:
    """Return the limit that a form suggested, by its schema as Prefect kept it; None where it has none."""
    try:
        return float(schema["properties"]["max_usd"]["default"])
    except (KeyError, TypeError, ValueError):
        return None


def approved_by(answer: Mapping[str, Any], suggested: float | None = None) -> int:
    """Return the sum of an answer, in millionths of a dollar; the one that the form suggested where it has none.

    Raises:
        SettingsError: it is no approval.
    """
    answered: dict[str, Any] = {} if suggested is None else {"max_usd": suggested}
    try:
        found = Approval(**{**answered, **answer})
    except (ValidationError, TypeError) as error:
        raise SettingsError(
            f"approval: found {one_line(str(answer), 200)}; allowed: decision (approve or refuse) and max_usd "
            f"({type(error).__name__}). Nothing was bought"
        ) from None
    if found.decision == "refuse":
        raise SettingsError(f"approval: refused{_signed(answer)}. Nothing was bought")
    return limit_microusd(found.max_usd)


def _signed(answer: Mapping[str, Any]) -> str:
    note = one_line(str(answer.get("note") or ""), 500)
    return f" ({note})" if note else ""


def _keyset(number: int) -> Mapping[Any, str]:
    """Return the names under which Prefect keeps a question and its answer."""
    return keyset_from_base_key(f"suspended-{_key(number)}")


def _key(number: int) -> str:
    return f"approval-{number}"
