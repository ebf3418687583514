"""A results table that a run would replace though it shows the takes of another manifest."""

from collections.abc import Sequence

from animatic.errors.text import escaped
from animatic.manifest import Manifest
from animatic.results.replaced import FIRST_SHOTS, ShotShown
from animatic.takes.fingerprints import FingerprintSet, digests_of

MOST_NAMED = 3
_HEX_DIGITS = 64


def note_on_other_table(results: str, shown: Sequence[ShotShown], manifest: Manifest) -> str | None:
    """Return a note where the table at this place, by its first shots, has none of the manifest; else None.

    A shot is told by its storyboard and name too, so that a manifest in which every prompt was changed is the same.
    """
    named = [fingerprint for _, _, fingerprint in shown if len(fingerprint) == _HEX_DIGITS]
    if not named or (FingerprintSet(manifest.digests).positions(digests_of(named)) >= 0).any():
        return None
    shots = {(storyboard, shot_id) for storyboard, shot_id, _ in shown}
    if any((each[2], each[3]) in shots for part in manifest.parts() for each in part.names()):
        return None
    storyboards = list(dict.fromkeys(storyboard for storyboard, _, _ in shown if storyboard))
    of = ", ".join(escaped(name, 40) for name in storyboards[:MOST_NAMED])
    more = ", …" if len(storyboards) > MOST_NAMED or len(shown) == FIRST_SHOTS else ""
    return (
        f"{results} is the table of another manifest ({of}{more}), and it would be replaced; its takes stay in the "
        "ledger. Give another --results to keep it"
    )
