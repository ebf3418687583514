"""Alembic's environment: migrations run on the connection, and in the transaction, of whoever asked for them."""

from alembic import context

from animatic.ledger.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
