"""`python -m animatic.sandbox --folder DIR`: the sandbox in the foreground.

Prints one JSON line when it is ready: `url`, `folder`, `key`. Ends with 0 on SIGTERM or SIGINT; 2 for settings that
it cannot work with, 3 where another sandbox serves the folder.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from animatic.errors import SettingsError
from animatic.sandbox.config import CARD, DEFAULT_KEY, INFERENCE_S, LEVELS, SHAPES, SandboxConfig
from animatic.sandbox.folder import FolderServedError, wait_until_unused
from animatic.sandbox.server import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal or the end of stdin; return the exit code."""
    os.umask(0o077)  # its folder holds prompts and stills
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_serve(_config_from(options), dies_with_parent=options.die_with_parent))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 3 if isinstance(error, FolderServedError) else 2
    return 0


async def _serve(config: SandboxConfig, *, dies_with_parent: bool) -> None:
    ending, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    async with serve(config) as sandbox:
        if dies_with_parent:
            _watch_stdin(loop, ending, config.folder)
        ready = {"url": sandbox.url, "folder": str(sandbox.folder), "key": sandbox.key}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await ending.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, ending: asyncio.Event, folder: Path) -> None:
    """End when our stdin is closed, which the death of the process that started us does too, and no run uses us."""

    def read_to_the_end() -> None:
        while os.read(0, 4_096):
            pass
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # the other ends of these are gone, and other runs may use us for long
        os.dup2(nowhere, 2)
        wait_until_unused(folder)
        loop.call_soon_threadsafe(ending.set)

    threading.Thread(target=read_to_the_end, daemon=True).start()


def _config_from(options: argparse.Namespace) -> SandboxConfig:
    starts_per_minute, max_in_flight = LEVELS[options.level]
    return SandboxConfig(
        folder=options.folder or Path(mkdtemp(prefix="animatic-sandbox-")),
        host=options.host,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        port=None if options.own_port else options.port,
        key=options.key,
        inference_s=options.inference_s,
        spread=options.spread,
        starts_per_minute=starts_per_minute if options.starts_per_minute is None else options.starts_per_minute,
        max_in_flight=max_in_flight if options.max_in_flight is None else options.max_in_flight,
        renders=not (options.no_render or options.bench),
        renders_ahead=not options.render_late,
        drawn=options.drawn,
        clip_bytes=options.clip_bytes,
        clip_fps=options.clip_fps,
        syncs=not (options.no_sync or options.bench),
        notes_first_seen=options.bench,
        scenario=options.scenario,
        scenario_of=dict(options.scenario_of),
        list_delay_s=options.list_delay_s,
        list_inputs=not options.no_list_inputs,
        list_fails_on=frozenset(options.list_fails_on),
        clock_offset_s=options.clock_offset_s,
        balance_usd=options.balance_usd,
        is_strict=options.strict,
        shape=options.shape,
        sync_timeout_s=options.sync_timeout_s,
        refund_delay_s=options.refund_delay_s,
        list_null_items=options.list_null_items,
        zero_discount=options.zero_discount,
        lacks_price=options.no_model_price,
        forgets_deleted=options.forget_deleted,
        models=options.models,
        seed=options.seed,
    )


def _numbered(text: str) -> tuple[int, str]:
    number, _, scenario = text.partition(":")
    return int(number), scenario


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m animatic.sandbox", description="The WaveSpeed API, from here.")
    add = parser.add_argument
    add("--folder", type=Path, help="where its state lives (default: a new temporary folder)")
    add("--host", default="127.0.0.1", help="an address of this machine; another than loopback needs the next two")
    add("--tls-cert", type=Path, metavar="FILE", help="serve over TLS with this certificate (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")
    add("--port", type=int, default=0, help="0 (default) picks a free one")
    add("--own-port", action="store_true", help="the port that the folder had last; another where that one is taken")
    add("--key", default=DEFAULT_KEY, help="the key that it accepts; it buys nothing anywhere")
    add("--inference-s", type=float, default=INFERENCE_S, help="median seconds of work of a prediction")
    add("--spread", type=float, default=0.2, help="coefficient of variation of those seconds")
    add("--level", choices=LEVELS, default="ultra", help="the account's level, which sets the next two")
    add("--starts-per-minute", type=int)
    add("--max-in-flight", type=int)
    add("--no-render", action="store_true", help="give blank clips: quicker than those of stills")
    add("--render-late", action="store_true", help="render a clip when it is first fetched, not ahead of that")
    add("--drawn", type=Path, metavar="FOLDER", help="keep clips here, so that none is drawn twice (default: nowhere)")
    add("--clip-bytes", type=int, default=0, help="how large a blank clip is, if that is more than it needs")
    add("--clip-fps", type=int, default=1, help="frames a second of a blank clip (default: 1)")
    add("--no-sync", action="store_true", help="do not fsync the witness: faster, and not proof against power cuts")
    add("--bench", action="store_true", help="both of these, and note when each prediction was first seen final")
    add("--scenario", default="ok", help="what happens to submissions that ask for nothing: NAME or NAME=VALUE")
    add("--scenario-of", type=_numbered, action="append", default=[], metavar="N:NAME", help="for the n-th submission")
    add("--list-delay-s", type=float, default=0.0, help="how late a prediction shows up in the list")
    add("--no-list-inputs", action="store_true", help="never echo inputs in the list")
    add("--list-fails-on", type=int, action="append", default=[], metavar="PAGE", help="answer 500 to this page")
    add("--clock-offset-s", type=float, default=0.0, help="how far its clock is from this machine's")
    add("--balance-usd", type=float, default=100_000.0)
    add("--strict", action="store_true", help="refuse fields that the model does not know, instead of dropping them")
    add("--shape", choices=SHAPES, default=CARD, help="form of replies: the model's own page, or recorded exchanges")
    add("--sync-timeout-s", type=float, default=60.0, help="how long a reply in sync mode waits")
    add("--refund-delay-s", type=float, default=0.0, help="how long after its failure a prediction is refunded")
    add("--list-null-items", action="store_true", help="`items` is null past the end of the list")
    add("--zero-discount", action="store_true", help="a quote's discounted price is 0")
    add(
        "--no-model-price", action="store_true", help="answer 404 on /model/price, so that only /model/pricing is there"
    )
    add(
        "--forget-deleted", action="store_true", help="a deleted prediction is a 404, not one with the status `deleted`"
    )
    add("--models", type=Path, metavar="DIR", help="a folder of JSON files with more models on sale")
    add("--seed", type=int, default=0, help="of latencies and clips")
    add("--die-with-parent", action="store_true", help="end when stdin does")
    return parser


if __name__ == "__main__":
    sys.exit(main())
