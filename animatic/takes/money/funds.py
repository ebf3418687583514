"""Money of the account beside what is to be bought with it. Pure."""

from dataclasses import dataclass

from animatic.takes.money.amounts import dollars


@dataclass(frozen=True, slots=True)
class Funds:
    """Money of the account, and what is to be bought with it, in millionths of a dollar.

    Attributes:
        balance: may be negative.
        cost: None where a price is not known; with `is_least` it is the least that it can be.
    """

    balance: int
    cost: int | None
    is_least: bool = False

    @property
    def missing(self) -> int | None:
        """Amount that the account lacks, 0 where it has enough; None where that is not known."""
        if self.cost is None:
            return None
        missing = max(self.cost - self.balance, 0)
        return missing if missing or not self.is_least else None

    @property
    def note(self) -> str | None:
        """Note before a purchase that the account cannot pay for; None where it can, as far as is known."""
        if not self.missing:
            return None
        least = "at least " if self.is_least else ""
        return (
            f"the account has {signed_dollars(self.balance)}, {least}{dollars(self.missing)} less than this costs. "
            "WaveSpeed refuses what it cannot pay for, and the run stops there; nothing is lost, and the next run goes "
            "on. Add money first to have it in one run"
        )

    @property
    def left_in_words(self) -> str:
        """Amount that the rest of a plan lacks, for a run that WaveSpeed stopped."""
        has = f"The account has {signed_dollars(self.balance)}"
        if self.cost is None:
            return f"{has}; what the rest costs is not known"
        rest = f"the rest of the plan costs {'at least ' if self.is_least else ''}{dollars(self.cost)}"
        return f"{has}, {rest}: {dollars(self.missing)} is missing" if self.missing else f"{has}, and {rest}"


def signed_dollars(microusd: int) -> str:
    """Format an amount that may be negative: `-$2.50`."""
    return f"-{dollars(-microusd)}" if microusd < 0 else dollars(microusd)
