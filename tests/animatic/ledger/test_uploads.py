"""Uploads are remembered by the account that has them, for as long as they are kept."""

from datetime import timedelta
from typing import Any

from animatic.ledger import uploads

DAY = timedelta(days=1)
STILL = "sha256:00"


async def test_an_upload_is_known_to_its_account_only_and_the_newest_counts(ledger: Any) -> None:
    await ledger.desk.do(uploads.remember, "one", STILL, "https://up/1")
    await ledger.desk.do(uploads.remember, "one", STILL, "https://up/2")
    assert await ledger.desk.do(uploads.find, "one", [STILL, "sha256:11"], DAY) == {STILL: "https://up/2"}
    assert await ledger.desk.do(uploads.find, "two", [STILL], DAY) == {}
    assert await ledger.desk.do(uploads.find, "one", [], DAY) == {}


async def test_an_upload_that_is_too_old_is_not_offered(ledger: Any) -> None:
    await ledger.desk.do(uploads.remember, "one", STILL, "https://up/1")
    assert await ledger.desk.do(uploads.find, "one", [STILL], timedelta(0)) == {}


async def test_an_upload_that_failed_is_forgotten_unless_there_is_a_newer_one(ledger: Any) -> None:
    attempt_id = await ledger.intend(image_url="https://up/1")
    await ledger.desk.do(uploads.remember, "one", STILL, "https://up/1")
    assert await ledger.desk.do(uploads.forget, "one", STILL, attempt_id) == "https://up/1"
    assert await ledger.desk.do(uploads.find, "one", [STILL], DAY) == {}
    await ledger.desk.do(uploads.remember, "one", STILL, "https://up/2")
    await ledger.desk.do(uploads.forget, "one", STILL, attempt_id)
    assert await ledger.desk.do(uploads.find, "one", [STILL], DAY) == {STILL: "https://up/2"}
