"""Configuration of a sandbox: one frozen value. Reads no environment; refuses other machines without TLS."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from animatic.errors import SettingsError
from animatic.sandbox.scenarios import ScenarioError, read_scenario

DEFAULT_KEY = "sandbox-key"
INFERENCE_S = 4.0
"""Median seconds of work of a prediction."""

CARD, RECORDED = SHAPES = "card", "recorded"
"""The forms of replies: that of the model's own page, and that of exchanges that others recorded."""

# What each account level allows: starts per minute, takes in flight. Source: the account-levels page, of which two
# copies disagree; the lower figure of each pair.
LEVELS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"bronze": (2, 2), "silver": (60, 100), "gold": (600, 2_000), "ultra": (5_000, 5_000)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Behaviour of one sandbox. Wrong values raise SettingsError when it is made.

    Attributes:
        folder: where its state lives: witness, uploads, clips, lock. Made when absent.
        host: an address of this machine. Other than loopback, it is refused without the next two.
        tls_cert: a PEM file: the certificate for this address, and those between it and its authority.
        tls_key: a PEM file with its private key.
        port: 0 picks a free one; None the one that the folder had last, or another where that one is taken.
        key: the only key that it accepts.
        inference_s: median seconds between the start of a prediction and its end.
        spread: coefficient of variation of those seconds (log-normal), 0 for none.
        starts_per_minute: accepted submissions in any 60 s; one more gets 429.
        max_in_flight: predictions that run at once; one more waits as `created`.
        renders: whether outputs are clips of their stills; otherwise they are blank.
        renders_ahead: whether outputs are rendered while their prediction runs; otherwise when they are first fetched.
        drawn: a folder of clips that were drawn before, for all sandboxes; None keeps none. It is bounded.
        clip_bytes: how large a blank clip is, if that is more than it needs.
        clip_fps: frames a second of a blank clip: checks take as long as for a clip that shows something at its rate.
        syncs: whether the witness is fsynced before each reply. A kill of the process needs no fsync, a power cut does.
        notes_first_seen: whether it writes down when each prediction was first seen to be final, for benchmarks.
        scenario: what happens to a submission that asks for nothing, as in a prompt's token: `slow=30`.
        scenario_of: the same for the n-th valid submission, counted from 1; those in the witness at the start count.
        list_delay_s: how long a prediction stays out of the list after it was accepted.
        list_inputs: whether the list echoes inputs where it is asked to.
        list_fails_on: pages of the list that always answer 500.
        clock_offset_s: how far its clock, and the `Date` of its replies, is from this machine's.
        balance_usd: money at the start; what the witness has spent is taken off.
        is_strict: whether a field that the model does not know is refused instead of dropped.
        shape: the form of its replies, one of SHAPES.
        sync_timeout_s: how long a reply in sync mode waits for the end of its prediction.
        refund_delay_s: how long after its failure a prediction is refunded.
        list_null_items: whether `items` is null past the end of the list.
        zero_discount: whether a quote's discounted price is 0.
        lacks_price: whether `/model/price` is a 404, so that only `/model/pricing` is there.
        forgets_deleted: whether a deleted prediction is a 404 instead of one with the status `deleted`.
        models: a folder of JSON files with more models on sale; None: those of its own.
        seed: of latencies and clips; equal seeds and equal submissions give equal ones.
    """

    folder: Path
    host: str = "127.0.0.1"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    port: int | None = 0
    key: str = field(default=DEFAULT_KEY, repr=False)
    inference_s: float = INFERENCE_S
    spread: float = 0.2
    starts_per_minute: int = LEVELS["ultra"][0]
    max_in_flight: int = LEVELS["ultra"][1]
    renders: bool = True
    renders_ahead: bool = True
    drawn: Path | None = None
    clip_bytes: int = 0
    clip_fps: int = 1
    syncs: bool = True
    notes_first_seen: bool = False
    scenario: str = "ok"
    scenario_of: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    list_delay_s: float = 0.0
    list_inputs: bool = True
    list_fails_on: frozenset[int] = frozenset()
    clock_offset_s: float = 0.0
    balance_usd: float = 100_000.0
    is_strict: bool = False
    shape: str = CARD
    sync_timeout_s: float = 60.0
    refund_delay_s: float = 0.0
    list_null_items: bool = False
    zero_discount: bool = False
    lacks_price: bool = False
    forgets_deleted: bool = False
    models: Path | None = None
    seed: int = 0

    @property
    def has_tls(self) -> bool:
        """True if it is served over TLS."""
        return self.tls_cert is not None and self.tls_key is not None

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("--tls-cert", "--tls-key") if self.tls_key is None else ("--tls-key", "--tls-cert")
            raise SettingsError(f"sandbox: {given} was given without {missing}; give both, or neither")
        _refuse_hosts(self.host, has_tls=self.has_tls)
        if not self.key.isascii() or not self.key.strip():
            raise SettingsError("sandbox: the key is empty or not ASCII; give it some printable characters")
        limits = {
            "port": (self.port or 0, 0, 65_535),
            "inference_s": (self.inference_s, 0, 86_400),
            "spread": (self.spread, 0, 10),
            "starts_per_minute": (self.starts_per_minute, 0, 10_000_000),
            "max_in_flight": (self.max_in_flight, 1, 10_000_000),
            "clip_bytes": (self.clip_bytes, 0, 1 << 30),
            "clip_fps": (self.clip_fps, 1, 120),
            "list_delay_s": (self.list_delay_s, 0, 86_400),
            "clock_offset_s": (self.clock_offset_s, -1e9, 1e9),
            "balance_usd": (self.balance_usd, 0, 1e12),
            "sync_timeout_s": (self.sync_timeout_s, 0, 600),
            "refund_delay_s": (self.refund_delay_s, 0, 86_400),
        }
        for name, (found, least, most) in limits.items():
            if not least <= found <= most:
                raise SettingsError(f"sandbox: {name}: found {found}; allowed: {least} to {most}")
        if self.shape not in SHAPES:
            raise SettingsError(f'sandbox: shape: found "{self.shape}"; allowed: {", ".join(SHAPES)}')
        try:
            for text in (self.scenario, *self.scenario_of.values()):
                read_scenario(text)
        except ScenarioError as error:
            raise SettingsError(f"sandbox: scenario: {error}") from None


def _refuse_hosts(host: str, *, has_tls: bool) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or address.is_unspecified or address.is_multicast or "%" in host:
        raise SettingsError(
            f'sandbox: host: found "{host}"; allowed: one address of this machine, as others reach it, since it stands '
            "in the URLs that the sandbox gives out: 127.0.0.1, or one of `ip address`"
        )
    if not address.is_loopback and not has_tls:
        raise SettingsError(
            f'sandbox: host: found "{host}", which other machines reach, and no TLS: prompts, stills and the key would '
            "travel in the clear, and animatic buys over https only; give --tls-cert and --tls-key, or leave it at "
            "127.0.0.1"
        )
