"""`python -m postwerk inbound`: takes in mail that comes back, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop
from sqlalchemy.exc import DBAPIError

from postwerk.archive.engine import Archive
from postwerk.archive.migrate import check_schema
from postwerk.inbound.config import InboundConfig
from postwerk.inbound.listener import Listener
from postwerk.inbound.processing import Processor
from postwerk.observe import log
from postwerk.observe.metrics import registry as metrics
from postwerk.settings import load_settings


def listen() -> int:
    """Exit code 0 after SIGTERM or SIGINT. Raises ConfigurationError."""
    settings = load_settings()
    log.configure_logging(settings.log_level, settings.log_format)
    metrics.serve(settings.worker_metrics_host, settings.inbound_metrics_port)
    uvloop.run(_listen(Archive(settings.archive_config("full")), settings.inbound()))
    return 0


async def _listen(archive: Archive, config: InboundConfig) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await _check_schema(archive)
    processor = Processor(archive)
    working = asyncio.create_task(processor.run_forever())
    try:
        async with Listener(archive, config, processor.wake) as listener:
            log.inbound_listening(config.protocol, listener.address, config.domain)
            print(f"inbound ready {config.protocol}={listener.address}", flush=True)
            await told.wait()
    except OSError as error:
        print(f"postwerk inbound: cannot listen on {config.host}:{config.port}: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await archive.close()


async def _check_schema(archive: Archive) -> None:
    """While the archive is away mail is refused for now; it need not be there to begin."""
    try:
        await check_schema(archive)
    except (DBAPIError, OSError) as error:
        log.archive_unavailable(error, waiting=0)
