"""Commands that set things up, as they are typed: demo, new, models, doctor, sandbox."""

from pathlib import Path
from typing import Annotated

import typer

from animatic.machine.start_folder import from_start
from animatic.pace.limits import LEVELS
from flows.command.app import SET_UP, app
from flows.command.command_end import end, prefect_started
from flows.command.options import (
    AsJson,
    Debug,
    Models,
    Sandbox,
    one_of,
)
from flows.server.gc_pause import gc_paused
from flows.terminal import begin, stderr

SHAPES = ("card", "recorded")


@app.command(rich_help_panel=SET_UP, short_help="Run a bundled storyboard in the sandbox: no key, no cost.")
def demo(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results and clips go.")] = Path(
        "animatic-demo"
    ),
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Whether to open the review page in a browser, on a desktop.")
    ] = True,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run the bundled manifest against the embedded sandbox: no key, no network, no cost. Shows where all of it is."""

    def command() -> int:
        begin("starting …")
        with prefect_started() as start:
            with gc_paused():
                from flows.command.demo import open_page, run_demo  # noqa: PLC0415 - while the server comes up

            exit_code = run_demo(out, stderr(), start, as_json=as_json, debug=debug)
        if open_ and not as_json:
            open_page(out)
        return exit_code

    end(command, debug=debug, as_json=as_json)


@app.command(rich_help_panel=SET_UP, short_help="Make a starter manifest from a folder of stills.")
def new(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder with stills.")],
    *,
    debug: Debug = False,
) -> None:
    """Write a starter manifest, shots.csv, into a folder of stills: one row for each."""
    from flows.command.starter import make_starter  # noqa: PLC0415 - keeps --help quick

    end(lambda: make_starter(folder, stderr()), debug=debug)


@app.command(rich_help_panel=SET_UP, short_help="List the models that make a clip of a still; show one.")
def models(
    model: Annotated[str | None, typer.Argument(metavar="[ID]", help="A model, to see what it takes.")] = None,
    *,
    folder: Models = None,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List the models that make a clip of a still; with an ID, show its inputs, a manifest's header and a quote."""
    from flows.command.models_command import ModelsOptions, show_models  # noqa: PLC0415 - keeps --help quick

    end(lambda: show_models(ModelsOptions(model, folder, sandbox, as_json)), debug=debug, as_json=as_json)


@app.command(rich_help_panel=SET_UP, short_help="Say whether all that a run needs works.")
def doctor(
    *,
    sandbox: Sandbox = False,
    buy_one: Annotated[
        bool,
        typer.Option(
            "--buy-one",
            show_default="buy nothing",
            help="Buy one take, for what only the live API can tell; keep its replies.",
        ),
    ] = False,
    max_usd: Annotated[
        float | None,
        typer.Option(
            "--max-usd", metavar="N", min=0, show_default="none", help="The most that this take may cost, in dollars."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where that take and its replies go.")] = Path(
        "animatic-doctor"
    ),
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Look at what a run would use, and whether it works: key, API, clock, balance, ledger, disks, Prefect, proxies.

    Buys nothing without --buy-one. Ends with 2 where something is in the way of a run.
    """

    def command() -> int:
        with prefect_started() as start:
            with gc_paused():
                from flows.command.doctor.examination import DoctorOptions, run_doctor  # noqa: PLC0415 - keeps --help quick

            return run_doctor(DoctorOptions(sandbox, buy_one, max_usd, out, as_json, debug), stderr(), start)

    end(command, debug=debug, as_json=as_json)


@app.command(rich_help_panel=SET_UP, short_help="Serve the WaveSpeed API from this machine, for nothing.")
def sandbox(
    *,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", show_default="that of --sandbox", help="Where its state lives."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65_535, show_default="the folder's last, else 8787", help="0 picks a free one."
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="An address of this machine; over TLS but for loopback."),
    ] = "127.0.0.1",
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert", metavar="FILE", show_default="plain http", help="Serve over TLS with this certificate (PEM)."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", show_default="none", help="Its private key (PEM).")
    ] = None,
    inference_s: Annotated[float, typer.Option("--inference-s", min=0, help="Median seconds of work of a take.")] = 4.0,
    level: Annotated[
        str, typer.Option("--level", callback=one_of(*LEVELS), help=f"Account level to emulate: {', '.join(LEVELS)}.")
    ] = "ultra",
    render: Annotated[bool, typer.Option("--render/--no-render", help="Whether outputs are real clips.")] = True,
    scenario: Annotated[str, typer.Option("--scenario", help="What happens to prompts that ask for nothing.")] = "ok",
    shape: Annotated[
        str,
        typer.Option(
            "--shape",
            callback=one_of(*SHAPES),
            help="Form of its replies: card (the model's own page) or recorded (as seen live).",
        ),
    ] = "card",
    strict: Annotated[
        bool, typer.Option("--strict", show_default="drop them", help="Refuse fields that the model does not know.")
    ] = False,
) -> None:
    """Serve the sandbox in the foreground: the WaveSpeed API, with real clips, for nothing.

    On 127.0.0.1, where this machine alone reaches it, unless --host, --tls-cert and --tls-key say otherwise.
    """
    from flows.command.commands import serve_sandbox  # noqa: PLC0415 - keeps --help quick

    where = ["--own-port"] if port is None else ["--port", str(port)]
    flags = [*where, "--inference-s", str(inference_s), "--level", level, "--scenario", scenario]
    flags += ["--host", host]
    for option, file in (("--tls-cert", tls_cert), ("--tls-key", tls_key)):
        flags += [] if file is None else [option, from_start(str(file))]
    flags += ["--shape", shape, *(["--strict"] if strict else []), *([] if render else ["--no-render"])]
    end(lambda: serve_sandbox(folder, flags, stderr()), debug=False)
