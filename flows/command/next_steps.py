"""Commands that go on, for each way in which takes of a run ended. Pure."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from animatic.errors.text import ADVICE, PROGRAM, one_line, positional, printable, reason_of, shell_line
from animatic.results.reason_groups import MOST_NAMED, ReasonGroup
from animatic.takes.money.amounts import dollars
from animatic.wavespeed.outcomes import ACCOUNT_ADVICE

MOST_GROUPS = 20
GO_ON = "run again to go on; nothing is bought twice"
GO_ON_THEN = "then run again; nothing is bought twice"
THEN = ", then run again"


@dataclass(frozen=True, slots=True)
class NextStep:
    """One thing to do.

    Attributes:
        text: what it does, for people.
        argv: the command, its program first; empty where there is none to type.
    """

    text: str
    argv: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command as a shell takes it."""
        return shell_line(self.argv)

    def lines(self, indent: int = 0) -> list[str]:
        """Return the text, and the command in a line of its own, where it can be copied."""
        blanks = " " * indent
        return [f"{blanks}{self.text}:", f"{blanks}    {self.command}"] if self.argv else [f"{blanks}{self.text}"]


def go_on_after(limit: str | None) -> str:
    """Return what to do about takes that a limit left pending; `limit` is the option or variable that sets it."""
    match limit:
        case "ANIMATIC_MAX_USD_PER_DAY":
            return f"run again after 00:00 UTC to go on, or raise {limit} first; nothing is bought twice"
        case "--spend-up-to":
            return "run again for the next part; nothing is bought twice"
        case "--max-usd":
            return "raise --max-usd, then run again to go on; nothing is bought twice"
        case _:
            return GO_ON


@dataclass(frozen=True, slots=True)
class Typed:
    """The run as it was typed.

    Attributes:
        options: those that belong to the next run too, such as `--sandbox`.
        plan: the file of the plan that was carried out; empty where none was.
        of_plan: the options that belong to the next run of that plan.
        go_on: the text of a step that goes on with what is pending.
    """

    manifest: str
    results: str
    options: tuple[str, ...] = ()
    plan: str = ""
    of_plan: tuple[str, ...] = ()
    go_on: str = GO_ON

    def on(self) -> tuple[str, ...]:
        """Return the command that goes on with the same: with the plan, if there is one."""
        if not self.plan:
            return self.again()
        return (PROGRAM, "run", "--plan", self.plan, "--results", self.results, *self.of_plan)

    def again(self, *more: str) -> tuple[str, ...]:
        """Return the command that goes on, with more options."""
        target = [positional(self.manifest), "--results", self.results]
        options = [each for each in more if each not in self.options]
        return (PROGRAM, "run", *target, *self.options, *options)


def reconcile_argv(*, is_of_sandbox: bool) -> tuple[str, ...]:
    """Return the command that settles what is unknown."""
    return (PROGRAM, "reconcile", *(["--sandbox"] if is_of_sandbox else []))


def step_for(  # noqa: PLR0911 - one return a case
    group: ReasonGroup, typed: Typed, others: Sequence[ReasonGroup] = ()
) -> NextStep:
    """Return what to do about takes that ended so; `others` are those that `--retry-failed` would buy again as well."""
    them = "it" if group.count == 1 else "them"
    code, again = group.error_code, NextStep(typed.go_on, typed.on())
    match group.status:
        case "failed" if code is not None and 1_000 <= code < 2_000:
            return NextStep(f"change the prompt or the still of {them}{THEN}", typed.again())
        case "failed":
            return _retry(group, typed, others)
        case "rejected" if code in {401, 402, 403}:
            return NextStep(f"{ACCOUNT_ADVICE} Then run again", typed.again("--retry-failed"))
        case "rejected":
            return NextStep(f"correct {them} in the manifest{THEN}", typed.again())
        case "unknown":
            return NextStep("settle what is unknown", reconcile_argv(is_of_sandbox="--sandbox" in typed.options))
        case "held":
            name = group.fingerprints[0][:12] if group.fingerprints else ""
            return NextStep("see what is known of it, then decide", (PROGRAM, "ledger", "show", name))
        case "invalid":
            return NextStep(f"correct {them} in the manifest{THEN}", typed.again())
        case "not archived" if "instead of a clip" in group.reason or "no video" in group.reason:
            return NextStep(
                f"run again to ask WaveSpeed for {them} once more; what it has deleted comes back as another take only "
                "(column takes, or another prompt)",
                typed.again(),
            )
        case "not archived":
            return NextStep(f"fetch {'the clip' if group.count == 1 else 'the clips'} again", typed.on())
        case _:
            return again


def _retry(group: ReasonGroup, typed: Typed, others: Sequence[ReasonGroup]) -> NextStep:
    """Return the purchase of just these takes again, or of all that failed where they are too many to name."""
    them = "it" if group.count == 1 else "them"
    cost = f" for {dollars(group.quoted_microusd)}" if group.quoted_microusd else ""
    if not others:
        return NextStep(f"buy {them} again{cost}", typed.again("--retry-failed"))
    shots = list(dict.fromkeys(group.shot_ids))
    if group.count > len(group.shot_ids) or not all(shots) or "--only" in typed.options:
        more = sum(each.count for each in others)
        return NextStep(
            f"buy {them} again, and {more:,} more that failed or were rejected", typed.again("--retry-failed")
        )
    only = tuple(part for shot in shots for part in ("--only", f"shot_id={shot}"))
    return NextStep(f"buy {them} again{cost}", (*typed.again("--retry-failed"), *only))


def _others(group: ReasonGroup, groups: Sequence[ReasonGroup]) -> list[ReasonGroup]:
    return [each for each in groups if each is not group and each.status in {"failed", "rejected"}]


def group_lines(groups: Sequence[ReasonGroup], typed: Typed) -> list[str]:
    """Return lines for people: each group with its names and its reason, the largest first, and what to do.

    Groups that the same command goes on with stand together, and it stands below the last of them.
    """
    steps = [step_for(each, typed, _others(each, groups)) for each in groups[:MOST_GROUPS]]
    lines: list[str] = []
    for argv in dict.fromkeys(step.argv for step in steps):
        together = [number for number, step in enumerate(steps) if step.argv == argv]
        if len(together) == 1:
            lines += [*_lines_of(groups[together[0]]), *steps[together[0]].lines(indent=4)]
            continue
        is_first_something_else = all(THEN in steps[number].text for number in together)
        for number in together:
            first, comma, _ = steps[number].text.partition(THEN)
            lines += [*_lines_of(groups[number]), *([f"    {first}"] if comma else [])]
        texts = {steps[number].text for number in together}
        own = texts.pop() if len(texts) == 1 and not is_first_something_else else GO_ON
        lines += NextStep(GO_ON_THEN if is_first_something_else else own, argv).lines()
    if len(groups) > MOST_GROUPS:
        rest = sum(each.count for each in groups[MOST_GROUPS:])
        lines.append(f"and {rest:,} more for {len(groups) - MOST_GROUPS:,} other reasons (columns error_code, error)")
    return lines


def _lines_of(group: ReasonGroup) -> list[str]:
    reason = one_line(reason_of(group.reason), 300) or "for different reasons (column error)"
    is_said = group.error_code is None or str(group.error_code) in reason
    code = "" if is_said else f" (code {group.error_code})"
    lines = [printable(f"{group.count:,} {group.status}: {reason}{code}")]
    if group.count <= MOST_NAMED:
        lines.append(f"    {', '.join(printable(one_line(each, 60)) for each in group.names)}")
    return lines


def commands_in(error: str) -> list[str]:
    """Return lines with what an error of the ledger says to do, each command in a line of its own."""
    found = ADVICE.search(error)
    if found is None:
        return []
    text, *commands = re.split(rf": (?={PROGRAM} )", found[0].lstrip("; ."))
    return [f"{text}:", *(f"    {each.removesuffix(', or')}" for each in commands)]


def step_in(error: str) -> NextStep | None:
    """Return the command that an error's text gives in a line of its own; None for none, several, or a placeholder."""
    commands = [line.strip() for line in error.split("\n") if line.startswith(f"    {PROGRAM} ")]
    if len(commands) != 1:
        return None
    try:
        argv = shlex.split(commands[0])
    except ValueError:
        return None
    if any(re.fullmatch(r"[A-Z_]{3,}", each) for each in argv):
        return None
    return NextStep("type this", tuple(argv))


def as_dict(step: NextStep | None) -> dict[str, object]:
    """Return a step as `--json` has it: `next`, quoted for a shell, `next_argv` and `advice`; nulls where none is."""
    argv = list(step.argv) if step and step.argv else None
    return {"next": step.command if step and argv else None, "next_argv": argv, "advice": step.text if step else None}


def next_step(groups: Sequence[ReasonGroup], typed: Typed) -> NextStep | None:
    """Return the first thing to do: what may cost money first, then the largest group; None where all is done."""
    if not groups:
        return None
    urgent = {"unknown": 0, "held": 1}
    first = min(groups, key=lambda each: (urgent.get(each.status, 2), -each.count))
    return step_for(first, typed, _others(first, groups))
