"""`python -m postwerk api`: the API's process. It does not listen to the world as long as there is no key."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import socket

import uvicorn

from postwerk.archive.api_keys import is_any_key
from postwerk.archive.engine import Archive
from postwerk.archive.migrate import check_schema
from postwerk.errors import ConfigurationError
from postwerk.settings import Settings, load_settings

_FACTORY = "api.app:create_app"
_OPEN = (
    "There is no API key, and {where} can be reached from elsewhere: the API does not start open. "
    "Make the first key (postwerk keys create NAME --scope admin), or listen on 127.0.0.1."
)


def run(given: argparse.Namespace) -> int:
    """Serve until told to stop. Raises ConfigurationError before anything listens."""
    settings = load_settings()
    host = given.host or settings.api_host
    port = settings.api_port if given.port is None else given.port
    if not given.uds and not is_own_address(host):
        asyncio.run(_check_for_a_key(settings, host))
    uvicorn.run(
        _FACTORY,
        factory=True,
        host=host,
        port=port,
        uds=given.uds,
        log_level=given.log_level,
        access_log=given.access_log,
        ws="none",
        log_config=None,  # its lines go the way of ours
    )
    return 0


def is_own_address(host: str) -> bool:
    """Whether only this machine itself can reach what listens there: every address of the name is its own."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(f"--host {host}: there is no such address here ({error}).") from error
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


async def _check_for_a_key(settings: Settings, host: str) -> None:
    """Raises ConfigurationError, also when the archive does not answer: then nobody knows."""
    archive = Archive(settings.archive_config("full"))
    try:
        await check_schema(archive)
        async with archive.reading() as connection:
            found = await is_any_key(connection)
    finally:
        await archive.close()
    if not found:
        raise ConfigurationError(_OPEN.format(where=host))
