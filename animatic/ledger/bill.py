"""Items that WaveSpeed's bill has shown: each a function of a connection in a transaction of its caller.

An item is kept once, however often it is read; read again, it is as it was read last. Nothing is judged here.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from animatic.ledger.history import paid_select
from animatic.ledger.moments import aware, naive, now
from animatic.ledger.newest import Rows
from animatic.ledger.schema import ATTEMPT, CHARGE, TAKE
from animatic.ledger.statements import in_chunks
from animatic.takes.money.bill_items import BillItem
from animatic.takes.states import State


def note_bill(db: sa.Connection, provider: str, items: Sequence[BillItem]) -> None:
    """Keep items; those that are there already are replaced."""
    seen_at = now()
    for some in in_chunks(items):
        rows = [
            {
                "provider": provider,
                "item": each.item,
                "kind": each.kind,
                "prediction_id": each.prediction_id,
                "model": each.model,
                "microusd": each.microusd,
                "charged_at": naive(each.charged_at),
                "order_state": each.order_state,
                "seen_at": seen_at,
            }
            for each in some
        ]
        names = [each.item for each in some]
        db.execute(CHARGE.delete().where(CHARGE.c.provider == provider, CHARGE.c.item.in_(names)))
        db.execute(CHARGE.insert(), rows)


def items_of(db: sa.Connection, provider: str, prediction_ids: Iterable[str]) -> list[BillItem]:
    """Return all that the bill has ever shown of these predictions, oldest first."""
    found: list[BillItem] = []
    for some in in_chunks(list(prediction_ids)):
        rows = db.execute(
            sa.select(CHARGE)
            .where(CHARGE.c.provider == provider, CHARGE.c.prediction_id.in_(some))
            .order_by(CHARGE.c.charged_at, CHARGE.c.item)
        )
        found += [
            BillItem(
                row.item, row.kind, row.prediction_id, row.model, row.microusd, aware(row.charged_at), row.order_state
            )
            for row in rows
        ]
    return found


def attempts_with(db: sa.Connection, provider: str, prediction_ids: Sequence[str]) -> Rows:
    """Return the attempts that have these predictions, in the columns of `paid_attempts`, in any state."""
    rows: list[Sequence[object]] = []
    for some in in_chunks(prediction_ids):
        wanted = paid_select(may_be_unpaid=True).where(TAKE.c.provider == provider)
        rows += db.execute(wanted.where(ATTEMPT.c.prediction_id.in_(some))).fetchall()
    return rows


def submitting(db: sa.Connection, provider: str) -> int:
    """Return how many attempts are being submitted at this moment, or were when their run died."""
    found = (
        sa.select(sa.func.count())
        .select_from(ATTEMPT.join(TAKE, TAKE.c.fingerprint == ATTEMPT.c.fingerprint))
        .where(TAKE.c.provider == provider, ATTEMPT.c.state == State.SUBMITTING.value)
    )
    return int(db.execute(found).scalar_one())
