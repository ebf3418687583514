"""Two looks at one URL: the bytes decide, then a strong ETag, then Last-Modified and length, which are weak."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from animatic.takes.seen_stills import SeenStill, change_between

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
STILL = SeenStill(1280, 720, "PNG", "ab", 10, '"v1"', "Mon, 01 Jun 2026 10:00:00 GMT", AT)
UNREAD = replace(STILL, sha256=None)


@pytest.mark.parametrize(
    ("then", "now", "change"),
    [
        (STILL, replace(STILL, etag='"v2"', last_modified=None, size_bytes=11), None),
        (STILL, replace(STILL, sha256="cd"), "other bytes"),
        (STILL, replace(UNREAD, etag='"v2"'), "another ETag"),
        (STILL, replace(UNREAD, size_bytes=11), None),
        (STILL, replace(UNREAD, etag='W/"v2"', size_bytes=11), "another length, which is weak evidence"),
        (
            replace(UNREAD, etag=None),
            replace(UNREAD, last_modified="Tue, 02 Jun 2026 10:00:00 GMT", size_bytes=11),
            "another Last-Modified and another length, which is weak evidence",
        ),
        (replace(UNREAD, etag=None), UNREAD, None),
        (replace(UNREAD, etag=None, last_modified=None, size_bytes=None), UNREAD, None),
    ],
)
def test_the_best_evidence_that_both_have_decides(then: SeenStill, now: SeenStill, change: str | None) -> None:
    assert change_between(then, now) == change


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, {"If-None-Match": '"v1"'}),
        ({"etag": 'W/"v1"'}, {}),
        ({"etag": None}, {"If-Modified-Since": "Mon, 01 Jun 2026 10:00:00 GMT"}),
        ({"etag": None, "last_modified": "Wed, 01 Jul 2026 11:59:30 GMT"}, {}),
        ({"etag": None, "last_modified": "lately"}, {}),
        ({"etag": None, "last_modified": None}, {}),
    ],
)
def test_a_host_is_asked_only_by_what_stands_for_one_picture(changes: dict[str, Any], asked: dict[str, str]) -> None:
    assert replace(STILL, **changes).validators == asked
