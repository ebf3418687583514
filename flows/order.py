"""Order: the request to the flow, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from animatic import storage
from animatic.errors import SettingsError
from animatic.errors.text import quoted
from animatic.manifest import Selection, read_mapping, read_only
from animatic.media.clip_names import DEFAULT_CLIP_NAME, ClipName
from animatic.media.still_copies import StillCopies
from animatic.planning.manifests import FindModels, ManifestFile
from animatic.results import formats
from animatic.results.decision_files import find_decisions, read_decisions
from animatic.results.decisions import Decisions
from animatic.takes.chains import Choices
from animatic.takes.money.amounts import MOST_USD, limit_microusd
from animatic.takes.money.budgets import MAX_USD, SPEND_UP_TO, Allowance, DayBudget, spent_up_to
from animatic.takes.states import BuyingPolicy
from flows.settings import Settings

APPROVE_WITHIN_HOURS = 24.0
MIN_APPROVE_HOURS, MAX_APPROVE_HOURS = 0.001, 24.0 * 90


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Options on how a manifest is read and which of its rows count, as typed.

    Attributes:
        only, map: as `COLUMN=VALUE` and `NAME=COLUMN`.
        models: a folder with the schemas of models; None is WaveSpeed's list.
        stills: URI of the folder that relative paths of stills start from; None is the manifest's own.
        check_stills: stills on the web are looked at before anything is bought.
        decisions: a table that says which takes were approved; None is `decisions.csv` beside the results.
        follow_approved: shots that start from another take than the approved one are bought again.
        changed_stills: they are looked at as well, and takes whose still has changed since are bought again.
    """

    only: Sequence[str] = ()
    limit: int | None = None
    map: Sequence[str] = ()
    models: str | None = None
    stills: str | None = None
    check_stills: bool = False
    decisions: str | None = None
    follow_approved: bool = False
    fewer_rows: bool = False
    changed_stills: bool = False

    def choices(self, results: str | None = None) -> Choices:
        """Return which takes people have approved and discarded.

        Raises:
            LocationError: there is a table of decisions, and it cannot be read.
        """
        if self.decisions is not None:
            found = read_decisions(self.decisions)
        else:
            found = Decisions() if results is None else find_decisions(storage.beside(results, "decisions.csv"))
        return found.choices(is_followed=self.follow_approved)

    @property
    def looks(self) -> bool:
        """Tell if stills on the web are looked at."""
        return self.check_stills or self.changed_stills

    @property
    def typed(self) -> list[str]:
        """The options as they were typed."""
        return [
            *(each for value in self.only for each in ("--only", value)),
            *(["--limit", str(self.limit)] if self.limit is not None else []),
            *(each for value in self.map for each in ("--map", value)),
            *(["--models", self.models] if self.models is not None else []),
            *(["--stills", self.stills] if self.stills is not None else []),
            *(["--check-stills"] if self.check_stills else []),
            *(["--decisions", self.decisions] if self.decisions is not None else []),
            *(["--follow-approved"] if self.follow_approved else []),
            *(["--changed-stills"] if self.changed_stills else []),
        ]

    @property
    def selection(self) -> Selection:
        """Rows that the run is about. Raises SettingsError."""
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"--limit: found {self.limit}; allowed: 1 or more")
        return Selection(read_only(self.only), self.limit)

    @property
    def mapping(self) -> Mapping[str, str]:
        """Columns of the manifest that are read as ours, by our name. Raises SettingsError."""
        return read_mapping(self.map)

    @property
    def stills_folder(self) -> str | None:
        """URI of the folder of stills. Raises SettingsError for what is no folder on this machine, LocationError."""
        if self.stills is None:
            return None
        is_local = bool(self.stills.strip()) and storage.real_path(self.stills) is not None
        found = storage.kind_of(self.stills) if is_local else "a folder" if self.stills.strip() else "an empty text"
        if found != "a folder":
            raise SettingsError(
                f"--stills: found {found or 'no folder'} at {quoted(self.stills)}; "
                "allowed: a folder that is there, or a URI such as s3://bucket/stills"
            )
        return self.stills


def file_of(
    manifest: str, settings: Settings, rows: RowOptions, find_models: FindModels, copies: StillCopies | None = None
) -> ManifestFile:
    """Return a manifest's file, and how it is read. Raises SettingsError."""
    return ManifestFile(
        manifest,
        settings.origin,
        settings.written_origin,
        settings.network,
        rows.mapping,
        rows.selection,
        find_models,
        rows.stills_folder,
        copies or StillCopies(),
    )


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Limits from which a deployed run asks for approval in Prefect, and the time that it waits.

    Attributes:
        above_usd: a plan that costs more is not bought before a person has approved it.
        within_hours: without an answer after so long, the run ends as Refused.
    """

    above_usd: float
    within_hours: float = APPROVE_WITHIN_HOURS

    def __post_init__(self) -> None:
        _require_limit("approve_above_usd", self.above_usd)
        if not MIN_APPROVE_HOURS <= self.within_hours <= MAX_APPROVE_HOURS:
            raise SettingsError(
                f"approve_within_hours: found {self.within_hours}; allowed: {MIN_APPROVE_HOURS} to {MAX_APPROVE_HOURS}"
            )

    @property
    def above_microusd(self) -> int:
        """The amount in millionths of a dollar."""
        return limit_microusd(self.above_usd)


@dataclass(frozen=True, slots=True)
class Order:
    """Request to the flow, checked.

    Attributes:
        archive: URI of the folder that clips go to; None for the usual one, empty for none.
        accepts_estimates: whether what takes cost before is a price where no other is known.
        review: URI of the folder of the review page; None for no page.
        spend_up_to: dollars to buy for, in manifest order; the rest is left for a later run. None for all of it.
        approval: when a person is asked in Prefect; None for never.
    """

    manifest: str
    results: str
    max_usd: float | None
    skip_invalid: bool
    policy: BuyingPolicy
    archive: str | None = None
    clip_name_template: str = DEFAULT_CLIP_NAME
    rows: RowOptions = RowOptions()
    accepts_estimates: bool = False
    review: str | None = None
    spend_up_to: float | None = None
    approval: ApprovalRule | None = None

    def __post_init__(self) -> None:
        ClipName(self.clip_name_template)
        _ = self.rows.selection, self.rows.mapping
        formats.check_suffix(storage.name_of(self.results))
        for uri in filter(None, (self.results, self.archive)):
            storage.require_lasting(uri)
        _require_limit("--max-usd", self.max_usd)
        _require_limit("--spend-up-to", self.spend_up_to)
        if not 1 <= self.policy.attempts <= 10:
            raise SettingsError(f"--attempts: found {self.policy.attempts}; allowed: 1 to 10")

    @property
    def uri(self) -> str:
        """The manifest's absolute URI, which the ledger knows it by."""
        return storage.absolute_uri(self.manifest)

    @property
    def archive_uri(self) -> str:
        """URI of the folder that clips go to: what was given, else `STEM.clips` beside the results; empty for none."""
        if self.archive is not None:
            return self.archive
        return storage.beside(self.results, f"{storage.stem_of(self.results)}.clips")

    @property
    def clip_name(self) -> ClipName:
        """Template of clip names."""
        return ClipName(self.clip_name_template)

    def max_microusd(self, agreed_microusd: int | None) -> int | None:
        """Return the most that the run may reserve: what was given, else what was agreed to."""
        given = [limit_microusd(each) for each in (self.max_usd, self.spend_up_to) if each is not None]
        return min(given, default=agreed_microusd)

    @property
    def is_limited(self) -> bool:
        """Tell if an option bounds what the run may reserve, with no one asked before."""
        return self.approval is not None or self.max_microusd(None) is not None

    def refuses_beyond_microusd(self, agreed_microusd: int | None) -> int | None:
        """Return the most that the plan may cost: more is refused, where `--spend-up-to` does not shorten it."""
        if self.max_usd is not None:
            return limit_microusd(self.max_usd)
        return agreed_microusd if self.spend_up_to is None else None

    @property
    def limited_by(self) -> str:
        """The option that sets the most that the run may reserve."""
        if self.spend_up_to is None or (self.max_usd is not None and self.max_usd <= self.spend_up_to):
            return MAX_USD
        return SPEND_UP_TO

    def allowances(self, day: DayBudget | None = None, reserved_before: int = 0) -> list[Allowance]:
        """Return the amounts that the run may go as far as: its own, and what is left for the day.

        Of its own, earlier processes of the same flow run have reserved some already.
        """
        return allowances_of(self.spend_up_to, day, reserved_before)


def allowances_of(spend_up_to: float | None, day: DayBudget | None, reserved_before: int = 0) -> list[Allowance]:
    """Return the amounts that a run may go as far as: what is left of what was given, and of the day."""
    own = [] if spend_up_to is None else [spent_up_to(max(limit_microusd(spend_up_to) - reserved_before, 0))]
    return own if day is None else [*own, day.allowance]


def _require_limit(name: str, usd: float | None) -> None:
    if usd is not None and not 0 <= usd <= MOST_USD:
        raise SettingsError(f"{name}: found {usd}; allowed: 0 to {MOST_USD:,}")
