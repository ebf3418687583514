"""Failures of file systems and their clients, as LocationErrors: the only errors that leave this package."""

import re
from collections.abc import Generator
from contextlib import contextmanager

from animatic.errors import LocationError, NoSuchFileError
from animatic.errors.text import escaped
from animatic.machine.extras import installs_extra
from animatic.storage import disk
from animatic.storage.locations import Location
from animatic.storage.sheets import SHARE
from animatic.storage.stores import STORES, NoBucketError, Store, is_passing, is_refusal

_BAD_REQUEST = 400
_REFUSALS = frozenset({_BAD_REQUEST, 401, 403, 410})


@contextmanager
def location_errors(location: Location, deed: str) -> Generator[None]:
    """Turn any error into a LocationError. `from None`: a client's error may hold its request."""
    try:
        yield
    except LocationError:
        raise
    except ImportError:
        raise LocationError(
            f"{location.shown}: cannot {deed} {location.scheme}:// here, the package {location.package} is missing; "
            f"{_remedy(location)}"
        ) from None
    except NoBucketError as error:
        raise LocationError(f"{location.shown}: {error.strerror}; make it, or check its name") from None
    except FileNotFoundError:
        if location.is_web:
            problem = "there is no such file, or its server cannot be reached"
            raise LocationError(f"{location.shown}: {problem}; check the path") from None
        raise NoSuchFileError(f"{location.shown}: there is no such file; check the path") from None
    except disk.NotAFileError as error:
        raise LocationError(f"{location.shown}: cannot {deed} it: {error}; give a file") from None
    except Exception as error:  # noqa: BLE001 - file systems raise whatever their clients raise
        status = getattr(error, "status", None)
        if location.is_web and status in _REFUSALS:
            raise LocationError(_refused(location, int(status))) from None
        store = STORES.get(location.scheme)
        if store is not None:
            raise LocationError(_of_store(location, deed, store, error)) from None
        raise LocationError(f"{location.shown}: cannot {deed} it: {_reason(error, location)}") from None


def _remedy(location: Location) -> str:
    store = STORES.get(location.scheme)
    if store is None:
        return f"install it next to animatic: pip install {location.package}"
    return f"install the extra: {installs_extra(store.extra)}"


def _of_store(location: Location, deed: str, store: Store, error: Exception) -> str:
    """Return the error for an object store that refuses, or has not answered after all tries of its client."""
    found = f"{location.shown}: cannot {deed} it: {_reason(error, location)}"
    if is_refusal(error):
        return f"{found}; the {store.root} refuses these credentials: check them, and what they may do"
    if isinstance(error, TimeoutError) or is_passing(error):
        return f"{found}; it was tried several times: check the network and the store, and do the same again"
    return found


def _refused(location: Location, status: int) -> str:
    """Return the error for a web server that refuses to hand a file out."""
    if location.sheet is None:
        advice = "give a link that needs no sign-in, or download the file and give its path"
        return f"{location.shown}: its server refuses it (HTTP {status}); {advice}"
    if status == _BAD_REQUEST:
        return f"{location.shown}: Google refuses the link (HTTP 400); is there a sheet with this gid?"
    return f"{location.shown}: Google refuses it (HTTP {status}): the sheet is not shared; {SHARE}"


def _reason(error: Exception, location: Location) -> str:
    """One line of the error, without the location, whose query or user may be a credential."""
    text = getattr(error, "strerror", None) or str(error).replace(location.path, location.shown)
    line = re.sub(r"\?\S*", "", text.strip().partition("\n")[0])
    return escaped(f"{type(error).__name__}: {line}" if line else type(error).__name__, 300)
