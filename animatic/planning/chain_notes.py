"""Notes on the chains of a plan, for people to read before they say yes. Pure."""

from collections.abc import Sequence

from animatic.errors.text import counted, escaped
from animatic.planning.plan import Plan
from animatic.takes.chains import Link, Source
from animatic.takes.fingerprints import FingerprintSet, digests_of

MOST_NAMED = 10


def chain_notes(plan: Plan) -> list[str]:
    """Return lines on takes that wait for others, and on shots that stand on a take which is not the current one."""
    chains = plan.manifest.chains
    linked = [(link, found.source) for link in chains.links if (found := chains.linked.get(link.row)) is not None]
    return [*_waiting(plan), *_left_behind(plan, linked), *_followed(linked), *_on_renewed(plan, linked)]


def _waiting(plan: Plan) -> list[str]:
    reasons = list(dict.fromkeys(plan.following.blocked.values()))
    more = [f"and {len(reasons) - MOST_NAMED:,} more reasons"] if len(reasons) > MOST_NAMED else []
    shown = [*reasons[:MOST_NAMED], *more]
    takes = counted(len(plan.following.blocked), "take")
    return [f"{takes} cannot be bought by this run: {'; '.join(shown)}"] if shown else []


def _left_behind(plan: Plan, linked: Sequence[tuple[Link, Source]]) -> list[str]:
    """Name shots that keep the take which they were bought with, though another is current."""
    kept = [(link, source) for link, source in linked if source.newer is not None]
    if not kept:
        return []
    known = FingerprintSet(plan.manifest.digests)
    replaced = known.positions(digests_of(source.fingerprint for _, source in kept)) < 0
    shown: list[str] = []
    for (link, source), is_replaced in zip(kept[:MOST_NAMED], replaced.tolist(), strict=False):
        of = "an earlier version of " if is_replaced else ""
        shown.append(f"{escaped(link.name, 60)} on {of}{escaped(link.source, 60)} (take {source.fingerprint[:12]})")
    more = f" and {len(kept) - MOST_NAMED:,} more" if len(kept) > MOST_NAMED else ""
    stand = "shot stands" if len(kept) == 1 else "shots stand"
    what = f"{len(kept):,} {stand} on a take that is not the current one: {', '.join(shown)}{more}"
    return [f"{what}; --follow-approved buys them again from the current one"]


def _followed(linked: Sequence[tuple[Link, Source]]) -> list[str]:
    followed = [escaped(link.name, 60) for link, source in linked if source.instead_of is not None]
    more = f" and {len(followed) - MOST_NAMED:,} more" if len(followed) > MOST_NAMED else ""
    shown = ", ".join(followed[:MOST_NAMED])
    return [f"bought again from another take than before, as --follow-approved says: {shown}{more}"] if followed else []


def _on_renewed(plan: Plan, linked: Sequence[tuple[Link, Source]]) -> list[str]:
    """Name bought shots that stand on a take which is bought again since its still has changed."""
    renewals = plan.renewals
    names = [
        escaped(link.name, 60)
        for link, source in (linked if renewals else ())
        if source.fingerprint in renewals
        and not plan.is_to_buy[plan.manifest.take_of[link.at : link.at + link.takes]].all()
    ]
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    shown = ", ".join(names[:MOST_NAMED])
    what = "shots that stand on a take which is bought again, and keep the last frame that they began with"
    return [f"{what}: {shown}{more}"] if names else []
