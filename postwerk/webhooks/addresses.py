"""The addresses of a receiver: asked of the system, and each of them checked, before anybody connects."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from postwerk.errors import PostwerkError
from postwerk.rules.webhook_targets import may_be_called

Resolve = Callable[[str], Awaitable[list[str]]]
"""The addresses of a name, as texts. Raises Unresolved, ResolverAway."""

SECONDS = 5.0
_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
# Its own threads: names that take long to resolve must not hold up what else runs beside the event loop.
_THREADS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="resolve")


class Unresolved(PostwerkError):
    """There is no host of this name."""


class ResolverAway(PostwerkError):
    """The name could not be resolved for now."""


class NotPublic(PostwerkError):
    """The host's name leads to an address that is not a public one."""


async def by_system(name: str) -> list[str]:
    """As every other program on this machine resolves it, hosts file and all."""
    try:
        async with asyncio.timeout(SECONDS):
            found = await asyncio.get_running_loop().run_in_executor(_THREADS, _ask, name)
    except TimeoutError as error:
        raise ResolverAway from error
    except socket.gaierror as error:
        raise (Unresolved if error.errno in _NO_SUCH_NAME else ResolverAway) from error
    except (OSError, UnicodeError) as error:
        raise ResolverAway from error
    return found


def _ask(name: str) -> list[str]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


async def checked_addresses(host: str, resolve: Resolve, *, private: bool) -> list[str]:
    """Those that may be connected to, in the system's order: all of them, or it is refused altogether.

    Raises NotPublic, Unresolved, ResolverAway.
    """
    found = [host] if _is_address(host) else await resolve(host)
    if not found:
        raise Unresolved
    for one in found:
        if not _is_address(one) or not may_be_called(ipaddress.ip_address(one), private=private):
            raise NotPublic
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
