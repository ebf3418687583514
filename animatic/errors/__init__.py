"""Everything that can go wrong, sorted by what the caller does next.

    AnimaticError
    ├── FixInputError            fix the input, then run again; nothing was bought
    │   ├── ManifestError            every fault of a manifest, in one report
    │   ├── SettingsError            the environment, the key or an option
    │   │   └── KeyRefusedError          WaveSpeed refuses the key or the account before anything was sent
    │   ├── LocationError            a URI that we cannot read, write or accept
    │   │   └── NoSuchFileError          there is nothing to read
    │   ├── BudgetError              the plan costs more than it may
    │   │   └── DayBudgetError           the day has spent what it may
    │   ├── LedgerClosedError        the ledger was copied elsewhere, or is half a copy
    │   └── LedgerRestoredError      the ledger is older than what was done with it
    ├── TryLaterError            the same call may well succeed later
    │   ├── ApiUnreachableError      nothing was sent
    │   ├── ApiBusyError             429: more starts than the account allows
    │   ├── ApiUnavailableError      a reading call failed on their side, or answered nonsense
    │   ├── ClipUnavailableError     a clip did not come, or not all of it
    │   └── ResultsUnwrittenError    takes were bought, and the table cannot be written; the ledger has it all
    ├── NeverAgainError          the same call will not succeed unchanged
    │   ├── ApiRefusedError          the API refused the request; nothing was bought
    │   │   └── FileRefusedError         the API refused a local file; its takes cannot be sent
    │   ├── AccountRefusedError      401, 402, 403: key or account; stops the whole run
    │   ├── ClipRefusedError         what is behind a URL is no clip, or must not be fetched
    │   └── ProxyRefusedError        a proxy refused to pass the request on; nothing was sent; stops the whole run
    ├── SourceError              a take that cannot start from another now; look at this one take
    ├── SubmissionUnknownError   a take may have been bought; never send it again
    └── LedgerError              the ledger cannot be read or written
        ├── LedgerVersionError       written by a newer animatic
        ├── LedgerUnusableError      cannot be opened, read or written
        │   └── LedgerAwayError          its server does not answer; the same may succeed later
        └── TakenError               a take that may not be bought now; another run was faster: look again

What is expected of a single shot (failed, rejected, flagged) is a row in the results, not an exception.
Errors take positional arguments only, so that they survive pickling, and never hold a key or a request.
"""


class AnimaticError(Exception):
    """The root of the tree; `str()` of it is a sentence for people."""


class FixInputError(AnimaticError):
    """The caller must change the input."""


class ManifestError(FixInputError):
    """A manifest with faults. `args[0]` is the whole report, one fault a line; `args[1]` how many faults there are."""

    def __init__(self, report: str, fault_count: int = 1) -> None:
        super().__init__(report, fault_count)
        self.report = report
        self.fault_count = fault_count

    def __str__(self) -> str:
        return self.report


class SettingsError(FixInputError):
    """The environment or an option says something we cannot work with."""


class KeyRefusedError(SettingsError):
    """WaveSpeed refuses the key or the account, so that nothing can be bought with it."""


class LocationError(FixInputError):
    """A URI or path that cannot be read, written, or is not acceptable."""


class NoSuchFileError(LocationError):
    """There is no such file."""


class BudgetError(FixInputError):
    """The plan would commit more money than allowed, or its price cannot be known."""


class DayBudgetError(BudgetError):
    """All runs together have reserved what a day may have; the next day has its own."""


class LedgerRestoredError(FixInputError):
    """The ledger was restored from a backup: it does not know what was bought since."""


class LedgerClosedError(FixInputError):
    """The ledger was copied to another database, which goes on; or it is a copy that is not whole."""


class TryLaterError(AnimaticError):
    """A failure that may pass: a network, a limit, a server."""


class ApiUnreachableError(TryLaterError):
    """The request provably never reached the API."""


class ApiBusyError(TryLaterError):
    """429. `retry_after_s` is what the API asked for, already clamped, or None."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class ApiUnavailableError(TryLaterError):
    """A reading call failed on the API's side, timed out, or answered something that is not an answer."""


class ClipUnavailableError(TryLaterError):
    """A clip did not come, or not all of it. `is_gone`: its URL has died; the API may sign another."""

    def __init__(self, message: str, is_gone: bool = False) -> None:
        super().__init__(message, is_gone)
        self.is_gone = is_gone

    def __str__(self) -> str:
        return str(self.args[0])


class ResultsUnwrittenError(TryLaterError):
    """A run did its work and could not write its table. Nothing is lost: the table can be made from the ledger."""


class NeverAgainError(AnimaticError):
    """The same call will not succeed unchanged."""


class ApiRefusedError(NeverAgainError):
    """The API refused this request with `code` (its own code, or the HTTP status); nothing was bought."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class AccountRefusedError(NeverAgainError):
    """401, 402 or 403: the key or the account, not this request. Nothing more should be sent."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class FileRefusedError(ApiRefusedError):
    """The API refused a local file of a take, so that the take cannot be sent; nothing was bought."""


class ClipRefusedError(NeverAgainError):
    """A URL that must not be fetched, or that leads to no clip."""


class ProxyRefusedError(NeverAgainError):
    """A proxy answered 407, or refused a connection to the API. Nothing was sent."""


class SourceError(AnimaticError):
    """A take cannot start from the last frame of another now; nothing was bought, and all other takes go on."""


class SubmissionUnknownError(AnimaticError):
    """A submission was sent, and nothing proves whether it was accepted."""


class LedgerError(AnimaticError):
    """The ledger cannot be read or written; nothing more should be bought."""


class LedgerVersionError(LedgerError):
    """The ledger has a schema that this version does not know."""


class LedgerUnusableError(LedgerError):
    """The ledger cannot be opened, read or written."""


class LedgerAwayError(LedgerUnusableError):
    """The ledger's server does not answer; the same call may succeed later."""


class TakenError(LedgerError):
    """A take that may not be bought now: another run has bought it, or is about to, since it was looked up."""
