"""Exit codes of the command, with their meanings."""

DONE, UNEXPECTED, REFUSED, INCOMPLETE, UNCLEAR, INTERRUPTED = 0, 1, 2, 3, 4, 130

MEANINGS = {
    DONE: "every take is `completed`, or the command did what it was asked to do",
    REFUSED: "usage, settings, a missing key, an invalid manifest, or what `doctor` found; nothing was bought",
    INCOMPLETE: (
        "some takes are `failed`, `rejected`, `invalid` or `pending`; also when 401, 402 or 403 stopped the run, and "
        "when the clip of a completed take could not be archived, or `bill` found that bill and ledger differ"
    ),
    UNCLEAR: (
        "some takes are `unknown` or `held`, whatever the others are: money may be at stake; also takes that a dead run"
        " of this manifest left open and that are no longer in it"
    ),
    INTERRUPTED: "interrupted; the results are written, and the next run goes on",
    UNEXPECTED: "an unexpected error; a line on stderr says which, and `--debug` shows the traceback",
}
"""In the order in which people meet them."""
