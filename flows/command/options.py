"""Arguments and options that several commands share, as typer takes them."""

from collections.abc import Callable
from typing import Annotated

import typer

from animatic.errors.text import nearest

Manifest = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST", help="File of shots (CSV, TSV, .xlsx, JSON Lines, Parquet): a path, a URI, a Google sheet."
    ),
]
Results = Annotated[
    str,
    typer.Option(
        "--results",
        metavar="URI",
        show_default=False,
        help="Table to write, required; the suffix picks .parquet, .csv, .jsonl or .xlsx.",
    ),
]
ResultsTables = Annotated[
    list[str],
    typer.Argument(
        metavar="RESULTS...", help="Results tables, oldest first: URIs, patterns such as 'runs/*.parquet', folders."
    ),
]
Sandbox = Annotated[
    bool,
    typer.Option("--sandbox", show_default="WaveSpeed", help="Use the embedded sandbox: no key, no network, no cost."),
]
SkipInvalid = Annotated[
    bool,
    typer.Option("--skip-invalid", show_default="refuse it", help="Run the good rows of a manifest with bad ones."),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", show_default="leave them", help="Buy takes again that an earlier run left failed or rejected."
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", show_default="no", help="Make the last line of stdout one JSON object.")
]
Debug = Annotated[
    bool, typer.Option("--debug", show_default="no", help="Show tracebacks, and Prefect's logs on stderr.")
]

ClipNameOption = Annotated[
    str,
    typer.Option(
        "--clip-name",
        metavar="TEMPLATE",
        help="Names of the clips; also {version:02} and {prediction_id}. The suffix follows from what a clip is.",
    ),
]

Only = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="COLUMN=VALUE",
        show_default="all rows",
        help="Only rows with this value; may be given several times.",
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, show_default="all", help="Only the first N of those rows.")
]
Map = Annotated[
    list[str],
    typer.Option(
        "--map", metavar="NAME=COLUMN", show_default="none", help="Read a column under another name, such as image=URL."
    ),
]
Models = Annotated[
    str | None,
    typer.Option(
        "--models", metavar="DIR", show_default="ask WaveSpeed", help="Read the list of models from JSON files."
    ),
]
CheckStills = Annotated[
    bool,
    typer.Option(
        "--check-stills",
        show_default="leave it to WaveSpeed",
        help="Look at stills on the web before anything is bought.",
    ),
]
StoryboardOnly = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="COLUMN=VALUE",
        show_default="all shots",
        help="Only this storyboard or shot_id; may be given several times.",
    ),
]
DecisionsOption = Annotated[
    str | None,
    typer.Option(
        "--decisions",
        metavar="URI",
        show_default="decisions.csv beside the results",
        help="Which takes were approved and discarded.",
    ),
]
DuckDB = Annotated[
    str | None,
    typer.Option(
        "--duckdb",
        metavar="FILE",
        show_default="none",
        help=r"Also make a DuckDB database of the table, with views. Needs animatic\[duckdb].",
    ),
]
ReviewOption = Annotated[
    str | None,
    typer.Option(
        "--review",
        metavar="DIR",
        show_default="make none",
        help="Keep a review page in this folder, on disk or in a bucket, fresh while the run works.",
    ),
]
FewerRows = Annotated[
    bool,
    typer.Option(
        "--fewer-rows",
        show_default="refuse, or ask",
        help="Go on though more than half of the rows are gone since the manifest was last run.",
    ),
]
FollowApproved = Annotated[
    bool,
    typer.Option(
        "--follow-approved",
        show_default="keep what they began with",
        help="Buy shots again that start from another take than the approved one.",
    ),
]
ChangedStills = Annotated[
    bool,
    typer.Option(
        "--changed-stills",
        show_default="leave them",
        help="Look as well, and buy takes again whose still on the web has changed since.",
    ),
]

Stills = Annotated[
    str | None,
    typer.Option(
        "--stills",
        metavar="URI",
        show_default="the manifest's folder",
        help="Folder that relative paths of stills start from: a path, s3://bucket/stills and the like.",
    ),
]


SpendUpTo = Annotated[
    float | None,
    typer.Option(
        "--spend-up-to",
        metavar="N",
        min=0,
        show_default="all of it",
        help="Buy in manifest order as far as N dollars go, and leave the rest for a later run.",
    ),
]
AcceptEstimates = Annotated[
    bool,
    typer.Option(
        "--accept-estimates",
        show_default="price not known",
        help="Where WaveSpeed quotes no price, go by what such takes cost before.",
    ),
]
Attempts = Annotated[
    int,
    typer.Option(
        "--attempts", min=1, max=10, help="How often a take may be bought when WaveSpeed reports its own failure."
    ),
]
KeepPlan = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        show_default="keep none",
        help="Keep the plan in a file, for run --plan FILE; good for 24 hours.",
    ),
]
PlanOption = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        show_default="plan MANIFEST",
        help="Do exactly what this plan says, for its sum and without a question, or refuse.",
    ),
]
AllowUnpriced = Annotated[
    list[str],
    typer.Option(
        "--allow-unpriced",
        metavar="MODEL=USD",
        show_default="none",
        help="With --plan: buy takes of this model whose price is not known, for so many dollars each at most.",
    ),
]


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a check of an option that takes one of a few words; a wrong one is told with the nearest."""

    def check(value: str) -> str:
        if value not in allowed:
            near = nearest(value, allowed, 0.5)
            hint = f"; did you mean {near}?" if near else ""
            raise typer.BadParameter(f'found "{value}"; allowed: {", ".join(allowed)}{hint}')
        return value

    return check
