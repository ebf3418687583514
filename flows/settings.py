"""The reader of the environment: one frozen object, built at the top, plain values handed down.

(`animatic.read_results`, which people call from Python, has no command above it and reads its proxies itself.)
"""

import os
import re
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from hashlib import pbkdf2_hmac
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from animatic.errors import SettingsError
from animatic.machine.home import HOME, ledger_file, require_one_ledger
from animatic.machine.kubernetes import is_of_kubernetes
from animatic.machine.start_folder import from_start
from animatic.pace.latencies import USUAL_LATENCY_S
from animatic.pace.limits import LEVELS, Limits
from animatic.takes.canonical import ACCOUNT_NAME, EMBEDDED_SANDBOX, is_loopback, provider_of
from animatic.takes.money.amounts import MOST_USD, limit_microusd, microusd
from animatic.web.certificates import certificate_faults
from animatic.web.network import Network, read_network

PREFIX = "ANIMATIC_"

_ROUNDS = 20_000

MOST_METRICS_PORTS = 100

VARIABLES = {
    "api_key": "WAVESPEED_API_KEY",
    "base_url": "WAVESPEED_BASE_URL",
    "ledger": "ANIMATIC_LEDGER",
    "account_name": "ANIMATIC_ACCOUNT",
    "account_level": "ANIMATIC_ACCOUNT_LEVEL",
    "starts_per_minute": "ANIMATIC_STARTS_PER_MINUTE",
    "max_in_flight": "ANIMATIC_MAX_IN_FLIGHT",
    "queued_ahead": "ANIMATIC_QUEUED_AHEAD",
    "poll_floor_s": "ANIMATIC_POLL_FLOOR_S",
    "take_deadline_s": "ANIMATIC_TAKE_DEADLINE_S",
    "give_up_s": "ANIMATIC_GIVE_UP_S",
    "settle_s": "ANIMATIC_SETTLE_S",
    "adopts_by_window": "ANIMATIC_ADOPT_BY_WINDOW",
    "price_usd": "ANIMATIC_PRICE_USD",
    "max_usd_per_day": "ANIMATIC_MAX_USD_PER_DAY",
    "new_ledger": "ANIMATIC_NEW_LEDGER",
    "metrics_port": "ANIMATIC_METRICS_PORT",
    "metrics_host": "ANIMATIC_METRICS_HOST",
    "log_format": "ANIMATIC_LOG_FORMAT",
    "media_deployment": "ANIMATIC_MEDIA_DEPLOYMENT",
}

READ_ELSEWHERE = {
    HOME: (
        "an absolute path: ledger, logs, Prefect's home, the sandbox's state and temporary files lie in it; an explicit"
        " `ANIMATIC_LEDGER`, `PREFECT_HOME` or `TMPDIR` wins"
    ),
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY": (
        "proxies towards the API and the web, as `http://` or `https://` and host and port; also in lower case. "
        "Loopback is always reached directly"
    ),
    "NO_PROXY": "hosts, domains and networks that are reached without a proxy, separated by commas",
    "SSL_CERT_FILE, SSL_CERT_DIR": (
        "PEM certificates of the only authorities to trust, as a file or a folder, for the API, the web and `https://` "
        "proxies; unset: certifi's, for the web also this machine's"
    ),
    "PREFECT_API_URL": (
        "the Prefect server that shows the runs; unset: an embedded one, for the time of a run. A server that cannot be"
        " reached within 60 s ends a run with 2 before anything is bought"
    ),
}
"""The meaning of variables that are no field of `Settings`."""


def default_ledger(environ: Mapping[str, str] | None = None) -> str:
    """Return the ledger's URL where none is set: a file in `ANIMATIC_HOME`, or in the user's data folder."""
    return f"sqlite:///{ledger_file(os.environ if environ is None else environ)}"


class Settings(BaseModel):
    """Settings of this installation; units in the names. Build it with `from_environment`.

    Fields with a description are read from the environment; the reference lists them.

    Attributes:
        provider: what takes are bought from, part of every fingerprint; the origin unless it is the embedded sandbox.
        usual_latency_s: latency of a take where none was seen yet, for forecasts.
        network: how the API and the web are reached: proxies, and whose certificates count.
        sandbox_folder: where the embedded sandbox keeps its uploads; empty for any other provider.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: SecretStr | None = Field(
        None, description="the key; never printed, logged, stored or passed on. Not needed with `--sandbox`"
    )
    base_url: str = Field(
        "https://api.wavespeed.ai", description="where WaveSpeed answers; plain http is accepted for loopback only"
    )
    ledger: str = Field(
        default_factory=default_ledger,
        description="the record of every take: `sqlite:///` and an absolute path on a local disk, or for many machines "
        "`postgresql://USER@HOST/DATABASE`; keep it and back it up. The folder `<ledger>.runs` beside "
        "it notices when an older copy is put back, so restore the file alone",
    )
    new_ledger: date | None = Field(
        None, description="today's UTC date, such as `2026-11-26`: unattended runs may begin a new ledger today"
    )
    account_name: str = Field(
        "",
        description="a name for the account behind the key, where several are used with one ledger: part of the "
        "provider, so limits, prices, evidence and the day's budget are the account's own. Another name is another "
        "provider, which has bought nothing yet",
    )
    account_level: str = Field(
        "bronze",
        description="the account's level, which sets starts per minute and takes in flight: "
        + ", ".join(f"`{name}` {each.starts_per_minute:,} and {each.max_in_flight:,}" for name, each in LEVELS.items()),
    )
    starts_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="takes to start in a minute, instead of the level's"
    )
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="takes in flight, instead of the level's"
    )
    queued_ahead: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        None,
        description="takes that WaveSpeed is given beyond its limit in flight, so that it never idles until the "
        "next poll; unset: as many as suit the polls",
    )
    poll_floor_s: Annotated[float, Field(ge=0.05, le=600)] = Field(
        5.0, description="never poll the same take again sooner than this"
    )
    take_deadline_s: Annotated[float, Field(ge=1, le=7 * 86_400)] = Field(
        1_800.0, description="after this a take that is not final is reported `pending` and left to the next run"
    )
    give_up_s: Annotated[float, Field(ge=1, le=90 * 86_400)] = Field(
        86_400.0,
        description="a take that is not final this long after its submission is `held`; every run still polls it once",
    )
    settle_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        600.0,
        description="how long a prediction may take to show up in WaveSpeed's list; absence needs two readings this"
        " far apart",
    )
    adopts_by_window: bool = Field(
        False,
        description="`1`: model and time are enough to tell which prediction an unknown take is; only for an "
        "account with one user",
    )
    price_usd: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        None, description="price of a take where WaveSpeed quotes none"
    )
    metrics_port: str | None = Field(
        None,
        description="port of `/metrics` and `/healthz` of each run; of a range such as `9464-9473`, each run takes the "
        "first free one; unset: none",
    )
    metrics_host: str = Field("127.0.0.1", description="IP address that they are served on")
    log_format: Literal["text", "json"] = Field(
        "text", description="form of the log of runs: `text`, or `json`, one object a line"
    )
    media_deployment: Annotated[str, Field(pattern=r"^[^/%&<>]+/[^/%&<>]+$")] | None = Field(
        None,
        description="deployment of the flow `media` on the Prefect server, such as `media/media`, whose workers "
        "archive and check clips; unset, or without workers: each run does that itself",
    )
    max_usd_per_day: Annotated[float, Field(ge=0, le=MOST_USD)] | None = Field(
        None,
        description="most dollars to commit in a UTC day at this provider, by all runs on the ledger together; what "
        "goes beyond stays `pending`. The embedded sandbox is never counted",
    )
    provider: str = ""
    sandbox_folder: str = ""
    usual_latency_s: float = USUAL_LATENCY_S
    network: Network = Network()

    @field_validator("account_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value not in LEVELS:
            raise ValueError(f"allowed: {', '.join(LEVELS)}")
        return value

    @field_validator("account_name")
    @classmethod
    def _plain_account(cls, value: str) -> str:
        if value and not ACCOUNT_NAME.fullmatch(value):
            raise ValueError("allowed: at most 64 letters, digits, `.`, `_` and `-`, such as north; never the key")
        return value.lower()

    @field_validator("base_url")
    @classmethod
    def _https_or_loopback(cls, value: str) -> str:
        parts = urlsplit(value)
        plain = f"{parts.scheme}://{parts.netloc}"
        is_plain = re.fullmatch(r"[\w.\-\[\]:]+", parts.netloc, re.ASCII) and parts.port != 0  # a wrong port raises
        if parts.path.strip("/") or parts.query or parts.fragment or not parts.hostname or not is_plain:
            raise ValueError("allowed: scheme, host and port only, such as https://api.wavespeed.ai")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname.rstrip("."))):
            raise ValueError("allowed: https, or http for loopback")
        return re.sub(r"(?<=^https://)(.*):443$|(?<=^http://)(.*):80$", r"\1\2", plain.lower())

    @field_validator("ledger")
    @classmethod
    def _absolute_ledger(cls, value: str) -> str:
        path = value.removeprefix("sqlite:///")
        if value.startswith("sqlite:///") and path and not path.startswith(("/", "~", ":")):
            raise ValueError(
                "its path depends on the folder that a run starts in, and another folder would have another ledger, "
                f"which buys everything again; allowed: an absolute path, from here sqlite:///{from_start(path)}"
            )
        return value

    @field_validator("metrics_port")
    @classmethod
    def _port_or_range(cls, value: str | None) -> str | None:
        if value is not None and not 0 < len(_ports_of(value)) <= MOST_METRICS_PORTS:
            raise ValueError(f"allowed: a port from 1 to 65535, or a range of at most {MOST_METRICS_PORTS}: 9464-9473")
        return value

    @field_validator("metrics_host")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            return value if value == "localhost" else str(ip_address(value))
        except ValueError:
            raise ValueError("allowed: an IP address, such as 127.0.0.1, or 0.0.0.0 for all of this machine") from None

    @property
    def metrics_ports(self) -> range:
        """The ports that a run may serve its metrics on, the first free one; empty where it has none to serve."""
        return range(0) if self.metrics_port is None else _ports_of(self.metrics_port)

    @property
    def limits(self) -> Limits:
        """The account's limits: those of its level, unless overridden one by one."""
        level = LEVELS[self.account_level]
        return Limits(
            self.starts_per_minute or level.starts_per_minute,
            self.max_in_flight or level.max_in_flight,
        )

    @property
    def origin(self) -> str:
        """The provider in every fingerprint: the canonical base URL, the account's name behind it where it has one.

        The embedded sandbox has a name instead, whatever the account.
        """
        return self.provider or provider_of(self.base_url, self.account_name)

    @property
    def asked_account(self) -> str:
        """The API and the account that answer a question: an answer is remembered for those."""
        return provider_of(self.base_url, self.account_name)

    @property
    def written_origin(self) -> str:
        """The provider as fingerprints had it before there was a canonical form, or a name for an account."""
        return self.provider or (self.origin if self.account_name else self.base_url)

    @property
    def is_real(self) -> bool:
        """True if a take costs money. A base URL on loopback can be a gateway or a tunnel: only --sandbox is play."""
        return self.provider != EMBEDDED_SANDBOX

    @property
    def price_microusd(self) -> int | None:
        """The price of a take where no quote can be had, in millionths of a dollar."""
        return None if self.price_usd is None else microusd(self.price_usd)

    @property
    def day_microusd(self) -> int | None:
        """The most that all runs together may reserve in a UTC day, in millionths of a dollar."""
        return None if self.max_usd_per_day is None or not self.is_real else limit_microusd(self.max_usd_per_day)

    def account(self) -> str:
        """Return a name for this account's uploads: a digest that does not give the key away.

        It takes some milliseconds, since a short key must not be guessed from it.
        """
        owner = "\0".join((self.origin, self.sandbox_folder or self.base_url))
        return pbkdf2_hmac("sha256", self.require_key().encode(), owner.encode(), _ROUNDS).hex()[:32]

    def require_key(self) -> str:
        """Return the key.

        Raises:
            SettingsError: there is none, or it cannot be one.
        """
        if self.api_key is None or not self.api_key.get_secret_value():
            raise SettingsError(
                "WAVESPEED_API_KEY: not set. Export it, keep it in the Prefect Secret block wavespeed-api-key, "
                "or use --sandbox, which needs none."
            )
        key = self.api_key.get_secret_value()
        if key[0] in "'\"`" and key[-1] == key[0]:
            raise SettingsError(
                "WAVESPEED_API_KEY: has quotes around it; allowed: the key alone. In the settings of a service or a "
                "container, quotes are part of the value"
            )
        if not re.fullmatch(r"[!-~]+", key):
            raise SettingsError("WAVESPEED_API_KEY: has characters that no key has (spaces, accents); copy it again")
        return key

    def with_key(self, key: str) -> Self:
        """Return the same settings with another key."""
        return self.model_copy(update={"api_key": SecretStr(key)})

    def with_account(self, key: str, name: str, level: str, base_url: str) -> Self:
        """Return the same settings for another account: the key goes to that base URL only.

        Raises:
            SettingsError: one of them cannot be what it is; the message names a field of a block, and never the key.
        """
        fields = {"api_key": key, "account_name": name, "account_level": level, "base_url": base_url}
        try:
            checked = type(self)(ledger=self.ledger, **fields)  # pyright: ignore[reportArgumentType] - pydantic reads the strings
        except ValidationError as error:
            faults = [_fault(str(fault["loc"][0]), fault["msg"], fields, {}) for fault in error.errors()]
        else:
            faults = [_NAMED_BY_KEY] if checked.names_its_key else []
            if not faults:
                return self.model_copy(update={each: getattr(checked, each) for each in fields})
        raise SettingsError("\n".join(f"credentials: {fault}" for fault in faults))

    @property
    def names_its_key(self) -> bool:
        """Tell if the account is named by the key itself, which would then be in the ledger."""
        return self.api_key is not None and self.account_name == self.api_key.get_secret_value().strip().lower() != ""

    def require_other_name(self) -> None:
        """Raise SettingsError if the account is named by its key."""
        if self.names_its_key:
            raise SettingsError(_NAMED_BY_KEY)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, *, needs_ledger: bool = True) -> Self:
        """Read the environment once. `needs_ledger`: the ledger that it names is the one that will be used.

        Raises:
            SettingsError: one line a fault: an unknown variable, or a value that is not allowed.
        """
        found = os.environ if environ is None else environ
        faults = _unknown_variables(found)
        network, network_faults = read_network(found)
        faults += network_faults + certificate_faults(network)
        values = {
            name: found[variable].strip() for name, variable in VARIABLES.items() if found.get(variable, "").strip()
        }
        try:
            values.setdefault("ledger", default_ledger(found))
            if needs_ledger:
                require_one_ledger(found)
        except SettingsError as error:
            faults.append(str(error))
        try:
            settings = cls(**values)  # pyright: ignore[reportArgumentType] - pydantic reads the strings
        except ValidationError as error:
            faults += [_fault(str(fault["loc"][0]), fault["msg"], values) for fault in error.errors()]
        else:
            faults += [_NAMED_BY_KEY] if settings.names_its_key else []
            if not faults:
                return settings.model_copy(update={"network": network})
        raise SettingsError("\n".join(faults))


def _ports_of(text: str) -> range:
    """Return the ports that a port or a range names; empty where it names none."""
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    return range(first, last + 1) if 0 < first <= last <= 65_535 else range(0)


_NAMED_BY_KEY = (
    "ANIMATIC_ACCOUNT: the name of the account is the key itself, which would be kept in the ledger; allowed: another "
    "name, such as north"
)


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a line for each `ANIMATIC_*` variable that no setting reads: most likely a typo."""
    known = sorted({*VARIABLES.values(), HOME})
    unknown = [name for name in environ if name.startswith(PREFIX) and name not in known]
    return [
        f"{name}: unknown variable; did you mean {get_close_matches(name, known, 1, 0.0)[0]}?"
        for name in sorted(unknown)
        if not is_of_kubernetes(name, environ[name])
    ]


def _fault(name: str, message: str, values: Mapping[str, str], names: Mapping[str, str] = VARIABLES) -> str:
    """One line: the variable, what was found, what is allowed; never the key's value."""
    message = message.removeprefix("Value error, ")
    if name == "api_key":
        return f"{names.get(name, name)}: {message}"
    found = re.sub(r"//[^/?#]*@", "//***@", values.get(name, ""))  # a password, or the key in the wrong place
    return f'{names.get(name, name)}: found "{found}"; {message}'
