"""The embedded sandbox as an account of its own: settings that buy from it, and the process that serves it."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from animatic.machine.home import data_folder
from animatic.machine.start_folder import from_start
from animatic.sandbox.config import DEFAULT_KEY, INFERENCE_S
from animatic.takes.canonical import EMBEDDED_SANDBOX
from flows.logs import log_path
from flows.server import child_processes
from flows.settings import Settings

_OWN_ACCOUNT = {"ANIMATIC_ACCOUNT_LEVEL": ("account_level", "ultra"), "ANIMATIC_POLL_FLOOR_S": ("poll_floor_s", 0.5)}


def default_folder() -> Path:
    """Return the folder that the sandbox of `--sandbox` keeps its state in."""
    return data_folder(os.environ) / "sandbox"


def sandbox_settings(settings: Settings, url: str | None = None, folder: Path | None = None) -> Settings:
    """Return settings that buy from the embedded sandbox, as fast as it can unless the environment says how fast.

    Without a URL they are good for the ledger only. Each folder is an account of its own: its uploads are there only.
    """
    account = {field: value for name, (field, value) in _OWN_ACCOUNT.items() if not os.environ.get(name)}
    place = {} if url is None else {"base_url": url}
    where = str((folder or default_folder()).resolve())
    own = {"provider": EMBEDDED_SANDBOX, "sandbox_folder": where, "usual_latency_s": INFERENCE_S}
    return settings.with_key(DEFAULT_KEY).model_copy(update={**own, **place, **account})


@contextmanager
def provider(
    settings: Settings, run_id: str, *, sandbox: bool, models: str | None = None, renders_ahead: bool = False
) -> Generator[Settings]:
    """Yield the settings to ask and buy with; with `sandbox` those of the embedded one, served until the block ends.

    The models in the folder `models` are on sale there too. `renders_ahead` suits a run that archives its clips.
    """
    if not sandbox:
        yield settings
        return
    with embedded_sandbox(settings, run_id, models=models, renders_ahead=renders_ahead) as served:
        yield served


@contextmanager
def embedded_sandbox(
    settings: Settings,
    run_id: str,
    folder: Path | None = None,
    models: str | None = None,
    *,
    renders_ahead: bool = True,
) -> Generator[Settings]:
    """Serve the embedded sandbox for the length of the block; yield settings that buy from it."""
    log = log_path(f"{run_id}-sandbox")
    more = None if models is None else Path(from_start(models))
    with child_processes.sandbox(folder or default_folder(), log, more, renders_ahead=renders_ahead) as server:
        yield sandbox_settings(settings, server.url, folder)
