"""Alembic migrations: the same steps for SQLite and PostgreSQL."""
