"""The doctor's checks of this machine: versions, settings, proxies, ledger, disks, open files."""

import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from animatic.errors import LedgerError, SettingsError
from animatic.ledger import files_of, ledger_name, look_into
from animatic.machine.home import log_folder, prefect_home
from animatic.machine.start_folder import start_folder
from animatic.planning.lookup import is_new_ledger
from animatic.takes.canonical import provider_in_words
from animatic.takes.states import State
from flows.command.doctor.findings import Finding, fault, note, ok
from flows.process import connections_that_fit
from flows.settings import Settings

LEAST_ROOM_BYTES = 256_000_000
"""Room below which a ledger or a table may not be written any more."""

LITTLE_ROOM_BYTES = 5_000_000_000
"""Room for some thousand clips."""

_STORES = {"s3fs": "s3://", "gcsfs": "gs://", "adlfs": "abfs://"}


def look_at_versions() -> Finding:
    """Return what is installed."""
    stores = [uri for package, uri in _STORES.items() if find_spec(package)]
    more = (
        f"; {', '.join(stores)} can be used" if stores else "; no object store (install s3fs, gcsfs or adlfs for one)"
    )
    found = f"animatic {_version_of('animatic')}, Prefect {_version_of('prefect')}, Python {platform.python_version()}"
    return ok("versions", f"{found} on {platform.system()} {platform.machine()}{more}")


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def read_settings(environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, if they can be used, and what was found about them."""
    try:
        settings = Settings.from_environment(environ)
    except SettingsError as error:
        return None, [fault("settings", line) for line in str(error).splitlines()]
    names = sorted(name for name in environ if name.startswith(("ANIMATIC_", "WAVESPEED_BASE_URL")))
    return settings, [ok("settings", f"set: {', '.join(names)}" if names else "none is set; the defaults hold")]


def look_at_key(settings: Settings) -> Finding:
    """Return whether there is a key that can be one; never the key."""
    try:
        settings.require_key()
    except SettingsError as error:
        return fault("key", str(error))
    if not settings.is_real:
        return ok("key", "the sandbox's own; without --sandbox, WAVESPEED_API_KEY counts")
    return ok("key", "set in WAVESPEED_API_KEY, and has the form of one")


def look_at_network(settings: Settings) -> Finding:
    """Return which proxies and certificates count on the way to the API."""
    network = settings.network
    proxy = network.proxy_for(settings.base_url)
    way = f"by the proxy {proxy.url}" if proxy else "directly"
    passed = " (NO_PROXY names it)" if proxy is None and network.proxies else ""
    trusted = network.ca_file or network.ca_folder
    return ok("network", f"{settings.base_url} {way}{passed}{f', trusting {trusted} only' if trusted else ''}")


def look_at_limits(settings: Settings) -> Finding:
    """Return the account's limits as a run would hold them, and whether this process can use them."""
    limits, most = settings.limits, connections_that_fit()
    text = (
        f"{settings.account_level}: {limits.starts_per_minute:,} starts a minute, {limits.max_in_flight:,} takes in "
        f"flight"
    )
    if settings.account_level == "bronze" and "ANIMATIC_ACCOUNT_LEVEL" not in os.environ:
        return note("limits", f"{text}; ANIMATIC_ACCOUNT_LEVEL is not set: set it if the account has more")
    if most < min(limits.max_in_flight, 64):
        return note("limits", f"{text}; only {most:,} connections fit, since few files may be open: raise ulimit -n")
    return ok("limits", text)


def look_at_files() -> Finding:
    """Return how many files may be open. Fewer than a run needs ends every command before this one."""
    import resource  # noqa: PLC0415 - not on every system

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    return ok(
        "open files",
        f"{'no limit' if soft == unlimited else f'{soft:,}'} at once"
        f"{'' if hard in {soft, unlimited} else f' (the system allows {hard:,})'}, "
        f"so {connections_that_fit():,} connections to the API each for submissions and for polls",
    )


async def look_at_ledger(settings: Settings) -> list[Finding]:
    """Return whether the ledger can be trusted with money, what it holds, and what is open in it."""
    try:
        name = ledger_name(settings.ledger)
        with look_into(settings.ledger) as ledger:
            if ledger is None:
                return [note("ledger", f"{name} does not exist yet; the first run makes it. {_elsewhere()}")]
            await ledger.require_sound()
            if await is_new_ledger(ledger, settings.origin):
                return [note("ledger", f"{name} holds no take of {provider_in_words(settings.origin)}. {_elsewhere()}")]
            takes = await ledger.open_takes(settings.origin, also=[State.SUBMITTED, State.SUBMITTING])
    except (LedgerError, SettingsError) as error:
        return [fault("ledger", str(error))]
    unclear = [each for each in takes if each.state in {State.UNKNOWN.value, State.HELD.value}]
    found = [ok("ledger", f"{name} is sound; {len(takes) - len(unclear):,} takes are in flight")]
    if unclear:
        found.append(
            note("ledger", f"{len(unclear):,} takes are unknown or held, oldest since "
                 f"{unclear[0].since:%Y-%m-%d %H:%M} UTC: money may be at stake. Settle them: animatic reconcile")
        )  # fmt: skip
    return found


def _elsewhere() -> str:
    return (
        "If takes were bought elsewhere, take them over first: animatic ledger import RESULTS, or set ANIMATIC_LEDGER "
        "to the ledger that knows them"
    )


def look_at_disks(settings: Settings) -> list[Finding]:
    """Return the room on each disk that a run writes to, and whether it may write there."""
    places = {
        "ledger": files_of(settings.ledger)[0].parent,
        "logs": log_folder(os.environ),
        "Prefect": prefect_home(os.environ),
        "temporary files": Path(tempfile.gettempdir()),
        "results and clips, if they go here": Path(start_folder()),
    }
    by_disk: dict[int, tuple[Path, list[str]]] = {}
    found: list[Finding] = []
    for what, folder in places.items():
        nearest = next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))
        if not os.access(nearest, os.W_OK | os.X_OK):
            found.append((note if what.startswith("results") else fault)(
                "disk", f"{folder} ({what}) cannot be written to; name another folder, or change its mode"
            ))  # fmt: skip
            continue
        by_disk.setdefault(nearest.stat().st_dev, (nearest, []))[1].append(what)
    return found + [_room(place, uses) for place, uses in by_disk.values()]


def _room(place: Path, uses: list[str]) -> Finding:
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:,.1f} GB free at {place}: {', '.join(uses)}"
    if free < LEAST_ROOM_BYTES:
        return fault("disk", f"{text}. That is too little for a ledger or a table; make room")
    if free < LITTLE_ROOM_BYTES:
        return note("disk", f"{text}. A clip takes about 5 MB: make room, or give --archive")
    return ok("disk", text)
