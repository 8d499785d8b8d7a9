"""Fixtures that any test may ask for."""

from tests.support.databases import archive, postgresql_server

__all__ = ["archive", "postgresql_server"]
