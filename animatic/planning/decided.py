"""Decisions on takes that neither a manifest nor the ledger knows: a wrong name would decide nothing in silence."""

import re
from unicodedata import normalize

from animatic.errors.text import counted, escaped
from animatic.ledger import Ledger
from animatic.manifest import Manifest
from animatic.takes.chains import Choices
from animatic.takes.fingerprints import FingerprintSet, digests_of

MOST_NAMED = 10
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


async def unknown_decisions(ledger: Ledger | None, manifest: Manifest, choices: Choices) -> list[str]:
    """Return a line that names approved and discarded takes which are nowhere; none where all are known."""
    decided = [*choices.approved, *choices.discarded]
    by_fingerprint = sorted({take for take in decided if isinstance(take, str)})
    by_name = sorted({take for take in decided if not isinstance(take, str)})
    unknown = [each[:12] for each in await _unknown_fingerprints(ledger, manifest, by_fingerprint)]
    unknown += [f"{shot} take {number}" for shot, number in await _unknown_names(ledger, manifest, by_name)]
    if not unknown:
        return []
    shown = ", ".join(escaped(each) for each in unknown[:MOST_NAMED])
    more = f" and {len(unknown) - MOST_NAMED:,} more" if len(unknown) > MOST_NAMED else ""
    on = "is on a take" if len(unknown) == 1 else "are on takes"
    who = "neither the manifest nor the ledger knows"
    return [f"{counted(len(unknown), 'decision')} {on} that {who}: {shown}{more}"]


async def _unknown_fingerprints(ledger: Ledger | None, manifest: Manifest, takes: list[str]) -> list[str]:
    whole = [take for take in takes if _FINGERPRINT.fullmatch(take)]
    found = FingerprintSet(manifest.digests).positions(digests_of(whole)).tolist() if whole else []
    known = {take for take, at in zip(whole, found, strict=True) if at >= 0}
    rest = [take for take in whole if take not in known]
    if ledger is not None and rest:
        known |= set(await ledger.look_up(rest)) | set(await ledger.takes_of(rest))
    return [take for take in takes if take not in known]


async def _unknown_names(
    ledger: Ledger | None, manifest: Manifest, takes: list[tuple[str, int]]
) -> list[tuple[str, int]]:
    left = set(takes)
    for part in manifest.parts() if left else ():
        left -= {(normalize("NFC", shot), number) for _, number, _, shot, _ in part.names()}
    if ledger is None:
        return [take for take in takes if take in left]
    shots = {shot for shot, _ in left}
    known = {shot for shot in sorted(shots)[:1_000] if await ledger.manifests_with(shot)}
    return [take for take in takes if take in left and take[0] not in known]
