"""The parts a request works with, as app.py or a test built them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from temporalio.client import Client

from api.background import Background
from api.call_limits import CallLimits, UploadSlots
from api.event_streams import Streams
from api.following import Follower
from api.key_ring import KeyRing
from api.operator import Operator
from api.page.memory import PageMemory
from api.page.sessions import Sessions
from api.progress import RateMemory
from api.queue_survey import SurveyMemory
from api.remembered import QueueMemory, WorkerMemory
from api.schedule_keeping import ScheduleKeeper
from api.standing import StandingMemory
from api.starting import Starter
from api.taking.files import FileLimits
from api.waking import Waker
from postwerk.archive.engine import Archive
from postwerk.archive.token_secrets import KnownTokens
from postwerk.contracts.options import DEFAULT_RELAY, RetrySchedule
from postwerk.inbound.processing import Processor
from postwerk.mime.dkim_keys import DkimKeys
from postwerk.mime.imprint import Imprint
from postwerk.mime.unsubscribing import UnsubscribeLinks
from postwerk.webhooks.addresses import Resolve, by_system
from postwerk.webhooks.wire import Wire


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """What the API needs to know of the settings."""

    task_queue: str = "postwerk"
    retry: RetrySchedule = field(default_factory=RetrySchedule)
    """Taken for what a request leaves out."""
    max_body_bytes: int = 50 * 1024 * 1024
    max_part_bytes: int = 2 * 1024**3
    file_limits: FileLimits = field(default_factory=FileLimits)
    public_url: str = ""
    temporal_ui_url: str = ""
    sandbox_url: str = ""
    """The sandbox's inbox, for links; empty: no such link."""
    docs: bool | None = None
    """Serve /docs; None: to this machine only."""
    metrics_open: bool = False
    """Whoever reaches the API may read its metrics."""
    open_on_loopback: bool = False
    """This machine itself needs no key, even when there are keys."""
    calls_per_minute: int = 30_000
    """Of each key, and of each peer without one; 0: any number."""
    uploads_at_once: int = 16
    """Bodies of a megabyte and more, or of unknown length, of each likewise; 0: any number."""
    relay: str = ""
    """The relay's name, as workers know it; empty: the only one of which anything is remembered."""
    relay_server: str = ""
    """Its host and port, for people."""
    relays: Mapping[str, str] = field(default_factory=dict)
    """The further relays: host and port by name."""
    relay_rate: str = ""
    """Messages to each relay at most, as written; empty: any number."""
    connections_per_lane: int = 20
    messages_per_connection: int = 100
    dkim_keys: str = ""
    """Folder of the keys that sign; empty: nothing is signed here."""
    bounce_domain: str = ""
    ehlo_name: str = ""
    dns_server: str = ""
    """Host, or host:port; empty: those of this machine."""
    inbound_max_bytes: int = 1024 * 1024
    events_kept: timedelta = timedelta(days=7)
    stalled_after: timedelta = timedelta(minutes=15)
    """A bulk send of which nothing moves for so long, though nothing keeps it waiting, stands still."""
    streams_per_key: int = 20
    """Streams of events that each key may have open, and each peer without one."""
    stream_seconds: float = 3600.0
    """After which a stream ends that has shown everything: its reader comes again, perhaps elsewhere."""
    webhook_allow_private: bool = False
    """Webhooks may go to this installation's own networks."""
    webhook_resolve: Resolve = by_system
    """The addresses of their receivers."""

    @property
    def relay_names(self) -> list[str]:
        """Those that a bulk send may name, the default one first."""
        return [DEFAULT_RELAY, *self.relays]

    def server_of(self, relay: str) -> str | None:
        """Host and port of a relay, where this process was told of it."""
        return self.relays.get(relay) or (self.relay_server or None if relay == self.relay else None)


class Parts:
    """Everything the routes use, built once."""

    def __init__(self, archive: Archive, client: Client, config: ApiConfig) -> None:
        self.archive = archive
        self.client = client
        self.config = config
        self.starter = Starter(archive, client, config.task_queue, config.public_url)
        self.schedules = ScheduleKeeper(archive, client, config.task_queue, config.public_url)
        self.keys = KeyRing(archive)
        self.sessions = Sessions(archive, self.keys)
        self.calls = CallLimits(config.calls_per_minute)
        self.uploads = UploadSlots(config.uploads_at_once)
        self.background = Background()
        self.rates = RateMemory()
        self.workers = WorkerMemory(client, config.task_queue)
        self.standing = StandingMemory(archive, self.workers)
        self.queues = QueueMemory(archive)
        self.survey = SurveyMemory(archive)
        self.streams = Streams(archive, config.streams_per_key, config.stream_seconds)
        self.waker = Waker(client)
        self.operator = Operator(archive, client, config.task_queue, config.public_url)
        self.follower = Follower(archive, client)
        self.inbound = Processor(archive)
        self.tokens = KnownTokens(archive)
        self.page = PageMemory(archive, self.now)
        self.wire = Wire(private=config.webhook_allow_private, resolve=config.webhook_resolve)
        self.signing_keys = DkimKeys(Path(config.dkim_keys) if config.dkim_keys else None)

    async def imprint(self) -> Imprint:
        """What this installation adds to each mail, for showing it as it goes out."""
        base = self.config.public_url.rstrip("/")
        links = UnsubscribeLinks(base, await self.tokens.get(self.now())) if base else None
        return Imprint(self.signing_keys, links)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def end_streams(self) -> None:
        """Answers that would never end by themselves."""
        self.streams.stop()
        self.page.board.stop()

    async def close(self) -> None:
        """End what runs in the background."""
        self.end_streams()
        await self.background.close()
        await self.page.close()
        await self.keys.close()
        await self.follower.close()
        await self.inbound.close()
        await self.waker.close()
        await self.operator.close()
        await self.queues.close()
        await self.survey.close()
        await self.wire.close()


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


UseParts = Annotated[Parts, Depends(_parts)]
