"""Uploads are remembered by the account that has them, for as long as they are kept."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from animatic.ledger.operations import now
from animatic.ledger.schema import UPLOAD

DAY = timedelta(days=1)
STILL = "sha256:00"


async def test_an_upload_is_known_to_its_account_only_and_the_newest_counts(ledger: Any) -> None:
    await ledger.opened.remember_upload("one", STILL, "https://up/1")
    await ledger.opened.remember_upload("one", STILL, "https://up/2")
    assert await ledger.opened.find_uploads("one", [STILL, "sha256:11"], DAY) == {STILL: "https://up/2"}
    assert await ledger.opened.find_uploads("two", [STILL], DAY) == {}
    assert await ledger.opened.find_uploads("one", [], DAY) == {}


async def test_an_upload_that_is_too_old_is_not_offered(ledger: Any) -> None:
    await ledger.opened.remember_upload("one", STILL, "https://up/1")
    assert await ledger.opened.find_uploads("one", [STILL], timedelta(0)) == {}


async def test_expired_uploads_go_whose_ever_they_are_and_others_stay(ledger: Any) -> None:
    for account in ("one", "two"):
        await ledger.opened.remember_upload(account, STILL, f"https://up/{account}")
    await ledger.opened.remember_upload("one", "sha256:11", "https://up/new")
    await ledger.opened.transactions.do(0.0, age_uploads, STILL, 9 * DAY)
    assert await ledger.opened.find_uploads("one", ["sha256:11"], DAY) == {"sha256:11": "https://up/new"}
    assert await ledger.opened.transactions.do(0.0, stills_remembered) == ["sha256:11"]


def age_uploads(db: sa.Connection, still: str, by: timedelta) -> None:
    db.execute(UPLOAD.update().where(UPLOAD.c.still == still).values(uploaded_at=now() - by))


def stills_remembered(db: sa.Connection) -> list[str]:
    return list(db.execute(sa.select(UPLOAD.c.still)).scalars())


async def test_an_upload_that_failed_is_forgotten_unless_there_is_a_newer_one(ledger: Any) -> None:
    attempt_id = await ledger.intend(uploads={STILL: "https://up/1"})
    await ledger.opened.remember_upload("one", STILL, "https://up/1")
    assert await ledger.opened.forget_upload("one", STILL, attempt_id) == "https://up/1"
    assert await ledger.opened.find_uploads("one", [STILL], DAY) == {}
    await ledger.opened.remember_upload("one", STILL, "https://up/2")
    await ledger.opened.forget_upload("one", STILL, attempt_id)
    assert await ledger.opened.find_uploads("one", [STILL], DAY) == {STILL: "https://up/2"}
