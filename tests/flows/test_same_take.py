"""The same take in other bytes is not bought again, and what is sent is always the row as it is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

A_URL = "https://stills.example/a.png"
S3 = "https://bucket.s3.amazonaws.com/a.png?{}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Signature={}"
GCS = "https://storage.googleapis.com/bucket/a.png?GoogleAccessId={}&Expires={}&Signature=abc"

TEXTS = (
    ("two\nlines", "two\r\nlines", "two\rlines"),
    ("pan left", "pan left ", "\tpan left\n"),
    ("caf\u00e9", "cafe\u0301"),
    ("tilt up", "\u200btilt up", "\ufefftilt up\u200b "),
)
"""Prompts that are one take each, the last of which is sent at first."""

STILLS = (
    (A_URL, "HTTPS://STILLS.example:443/a.png", f"{A_URL}#t=1"),
    (S3.format("", "one", "aa"), S3.format("", "two", "bb")),
    (GCS.format("one", 1), GCS.format("two", 2)),
)
"""URLs of one still each."""


def rows(tag: str, spelling: int) -> list[dict[str, str]]:
    """A row for each take, in its first spelling (0), or another one where it has so many."""
    texts = [{"prompt": between(tag, each[spelling % len(each)]), "image": A_URL} for each in TEXTS]
    stills = [
        {"prompt": f"still {number} {tag}", "image": each[spelling % len(each)]} for number, each in enumerate(STILLS)
    ]
    return texts + stills


def between(tag: str, prompt: str) -> str:
    """The prompt with the test's tag in it, and its ends as they are."""
    for word in ("pan", "tilt", "caf", "two"):
        prompt = prompt.replace(word, f"{tag} {word}", 1)
    return prompt


TAKES = len(TEXTS) + len(STILLS)


def sent(sandbox: Any, tag: str) -> set[tuple[str, str]]:
    return {(each.inputs["prompt"], each.inputs["image"]) for each in sandbox.witness if tag in each.inputs["prompt"]}


@pytest.mark.parametrize("spelling", [0, 1, 2])
def test_the_row_is_sent_verbatim_and_other_spellings_not_bought(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str, spelling: int
) -> None:
    shell, written = shell_with_server, rows(tag, spelling)
    ended = shell.run("run", str(manifest(*written)), "--results", "out.jsonl", "--json")
    assert (ended.code, ended.json["submitted"]) == (0, TAKES), ended.stderr
    assert sent(sandbox, tag) == {(row["prompt"], row["image"]) for row in written}
    for other in {0, 1, 2} - {spelling}:
        shots = str(manifest(*rows(tag, other)))
        again = shell.run("run", shots, "--results", "out.jsonl", "--json")
        assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, TAKES), again.stderr
        assert "0 to buy" in shell.run("plan", shots).stdout
    assert sandbox.submitted(tag).total() == TAKES


def test_spellings_of_one_take_in_one_manifest_are_bought_once(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shots = manifest(*rows(tag, 0), *rows(tag, 1), *rows(tag, 2))
    ended = shell_with_server.run("run", str(shots), "--results", "out.jsonl", "--json")
    assert (ended.code, ended.json["completed"], ended.json["submitted"]) == (0, 3 * TAKES, TAKES), ended.stderr
    assert (ended.json["cost_usd"], ended.json["manifest_cost_usd"]) == (2.5 * TAKES, 2.5 * TAKES)
    assert sandbox.submitted(tag).total() == TAKES


def test_what_is_not_only_spelling_is_another_take(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell, size = shell_with_server, "width=720&"
    first = [{"prompt": f"pan left {tag}"}, {"prompt": f"signed {tag}", "image": S3.format("", "one", "aa")}]
    assert shell.run("run", str(manifest(*first)), "--results", "out.jsonl").code == 0
    others = [
        {"prompt": f"Pan left {tag}"},
        {"prompt": f"pan  left {tag}"},
        {"prompt": f"pan left {tag}", "image": "https://stills.example/A.png"},
        {"prompt": f"pan left {tag}", "image": f"{A_URL}?sig=1"},
        {"prompt": f"signed {tag}", "image": S3.format(size, "one", "aa")},
    ]
    ended = shell.run("run", str(manifest(*others)), "--results", "others.jsonl", "--json")
    assert (ended.code, ended.json["submitted"], ended.json["cached"]) == (0, len(others), 0), ended.stderr
    assert sandbox.submitted(tag).total() == len(first) + len(others)


SPELLINGS = ("HTTP://LOCALHOST:{}", "http://127.0.0.1:{}/", "http://localhost.:{}", "http://127.0.0.1:0{}")


def test_a_base_url_that_is_spelled_otherwise_is_the_same_provider(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell, port = shell_with_server, urlsplit(sandbox.url).port
    bought, new = {"prompt": f"bought {tag}"}, {"prompt": f"new {tag}"}
    shots = str(manifest(bought))
    assert shell.run("run", shots, "--results", "out.jsonl").code == 0
    for spelling in SPELLINGS:
        shell.more["WAVESPEED_BASE_URL"] = spelling.format(port)
        again = shell.run("run", shots, "--results", "out.jsonl", "--json")
        assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, 1), again.stderr
    shell.more["WAVESPEED_BASE_URL"] = SPELLINGS[0].format(port)
    more = shell.run("run", str(manifest(bought, new)), "--results", "out.jsonl", "--json")
    assert (more.code, more.json["submitted"], more.json["cached"]) == (0, 1, 1), more.stderr
    assert sandbox.submitted(tag) == {f"bought {tag}": 1, f"new {tag}": 1}
