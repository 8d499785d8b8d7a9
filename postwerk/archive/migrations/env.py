"""Alembic's entry: runs on the connection that archive/migrate.py hands in."""

from alembic import context
from sqlmodel import SQLModel

from postwerk.archive import draft_tables, outbox_tables, sender_tables, tables

_ = (tables, sender_tables, outbox_tables, draft_tables)  # imported so that their tables are in the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
