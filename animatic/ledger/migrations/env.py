"""Alembic's environment: migrations run on the caller's connection, in its transaction."""

from alembic import context

from animatic.ledger.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
