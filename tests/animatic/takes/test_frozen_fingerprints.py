"""Fingerprints that were made once and must never change: a take with another one would be bought again.

`fingerprints.jsonl` holds them: what was asked of which provider, the fingerprint, and the one of the form as written.
"""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from animatic.manifest import check, read_table
from animatic.takes.fingerprints import hex_of
from animatic.takes.inputs import Inputs
from animatic.takes.shots import digest, fingerprint, verbatim
from animatic.takes.stills import Still

FROZEN: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).with_name("fingerprints.jsonl")).read_text().splitlines()
]
IN_A_MANIFEST = 58
"""As many of them can be rows of a manifest: the others have another model, or a text that no row may have."""


@pytest.mark.parametrize("case", FROZEN, ids=lambda case: case["fingerprint"][:8])
def test_no_fingerprint_ever_changes(case: dict[str, Any]) -> None:
    provider, model, inputs, take = case["provider"], case["model"], Inputs(case["inputs"]), case["take"]
    assert fingerprint(provider=provider, model=model, inputs=inputs, take=take) == case["fingerprint"]
    assert digest(verbatim(provider, model, inputs), take).hex() == case["as_written"]


def test_a_row_of_a_manifest_has_the_same_fingerprints() -> None:
    checked = 0
    for case in FROZEN:
        if case["model"] != "wavespeed-ai/veo2-i2v":
            continue
        image = str(case["inputs"]["image"])
        still = Still(image.removeprefix("sha256:"), 9, 900, 900, "PNG") if image.startswith("sha256:") else None
        row = {**case["inputs"], "image": image if still is None else "a.png", "takes": case["take"]}
        try:
            columns = {name: pa.array([value]) for name, value in row.items()}
        except UnicodeEncodeError:  # a lone surrogate
            continue
        data = io.BytesIO()
        pq.write_table(pa.table(columns), data)
        manifest = check(
            read_table("shots.parquet", data.getvalue()),
            stills={} if still is None else {"a.png": still},
            storyboard_default="s",
            provider=case["provider"],
        )
        if manifest.num_invalid:
            continue
        checked += 1
        assert hex_of(manifest.digests)[case["take"] - 1] == case["fingerprint"]
        olds = hex_of(manifest.old_digests)
        assert [case["as_written"]] == (olds[case["take"] - 1 :] or [case["fingerprint"]])
    assert checked == IN_A_MANIFEST
