"""Arguments and options that several commands share, as typer takes them."""

from collections.abc import Callable
from typing import Annotated

import typer

from animatic.text import nearest

Manifest = Annotated[str, typer.Argument(metavar="MANIFEST", help="CSV or Parquet file of shots, any fsspec URI.")]
Results = Annotated[
    str,
    typer.Option(
        "--results",
        metavar="URI",
        show_default=False,
        help="Table to write, required; the suffix picks .parquet, .csv or .jsonl.",
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


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a check of an option that takes one of a few words; a wrong one is told with the nearest."""

    def check(value: str) -> str:
        if value not in allowed:
            near = nearest(value, allowed, 0.5)
            hint = f"; did you mean {near}?" if near else ""
            raise typer.BadParameter(f'found "{value}"; allowed: {", ".join(allowed)}{hint}')
        return value

    return check
