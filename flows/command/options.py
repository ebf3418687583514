"""Arguments and options that several commands share, as typer takes them."""

from typing import Annotated

import typer

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
Sandbox = Annotated[bool, typer.Option("--sandbox", help="Use the embedded sandbox: no key, no network, no cost.")]
SkipInvalid = Annotated[bool, typer.Option("--skip-invalid", help="Run the good rows of a manifest with bad ones.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Buy takes again that an earlier run left failed or rejected.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Make the last line of stdout one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks, and Prefect's logs on stderr.")]

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
    typer.Option("--only", metavar="COLUMN=VALUE", help="Only rows with this value; may be given several times."),
]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N of those rows.")]
Map = Annotated[
    list[str],
    typer.Option("--map", metavar="NAME=COLUMN", help="Read a column under another name, such as image=URL."),
]
