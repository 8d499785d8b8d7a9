"""`python -m postwerk migrate`: the archive's schema, brought up to date."""

from __future__ import annotations

import argparse
import asyncio

from postwerk.archive.engine import Archive
from postwerk.archive.migrate import migrate
from postwerk.settings import load_settings


def run(_given: argparse.Namespace) -> int:
    """Run the missing migrations and say which revision was reached."""
    archive = Archive(load_settings().archive_config("full"))
    revision = asyncio.run(_migrate(archive))
    print(f"The archive {archive.url.render_as_string(hide_password=True)} is at revision {revision}.")
    return 0


async def _migrate(archive: Archive) -> str:
    try:
        return await migrate(archive)
    finally:
        await archive.close()
