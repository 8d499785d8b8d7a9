"""Settings: the only reader of the environment (POSTWERK_*), made of the parts' own small configs.

Temporal's own settings (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*) are read
by the SDK itself, the same way the `temporal` command reads them.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from postwerk.archive.engine import ArchiveConfig
from postwerk.contracts.options import RETRY_PRESETS, RetrySchedule
from postwerk.errors import ConfigurationError, InvalidRequest
from postwerk.inbound.config import InboundConfig
from postwerk.mime.dkim_keys import DkimKeys
from postwerk.rules.addresses import parse_address
from postwerk.rules.cooling import Cooling
from postwerk.rules.durations import bounded_duration, parse_duration
from postwerk.rules.pace import Rate
from postwerk.smtp.pool import PoolLimits
from postwerk.smtp.relay import RelayConfig
from postwerk.smtp.relays import read_relays


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None  # as it stands in .env.example: not set
    try:
        return parse_duration(value)
    except InvalidRequest as error:
        raise ValueError(error.message) from error


def _or_none(value: object) -> object:
    return None if value == "" else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""Seconds, "90m", "1d12h" or ISO 8601."""
OptionalDuration = Annotated[timedelta | None, BeforeValidator(_duration)]


class Settings(BaseSettings):
    """Every setting with its default; .env.example says the same (a test compares them)."""

    model_config = SettingsConfigDict(env_prefix="POSTWERK_", env_file=".env", extra="ignore")

    database_url: SecretStr = SecretStr("sqlite+aiosqlite:///data/postwerk.db")
    """Where the archive is: sqlite+aiosqlite:///file or postgresql+asyncpg://user:password@host/database."""
    relay_url: SecretStr = SecretStr("")
    """The SMTP server that takes our mail: smtp://, smtp+starttls:// or smtps://, with user:password@."""
    relays: SecretStr = SecretStr("")
    """Further relays by name: backup=smtp://host:25,bulk=smtps://user:password@host; also one a line."""
    relay_ca_file: str | None = None
    """Certificates to trust instead of the system's, for relays with a private CA."""
    relay_pipelining: bool = True
    """Send MAIL and RCPT together where a relay offers it (RFC 2920); off for one that gets it wrong."""
    ehlo_name: str = "localhost"
    """The name we greet relays with (EHLO); the host name that belongs to our IP address."""

    relay_rate: str = ""
    """Messages to each relay at most, all workers together: 100/s, 30/min,burst=5, 1000/h; empty: any."""
    cool_down: Duration = timedelta(minutes=1)
    """First rest of a lane after a rate reply; doubled while it is still refused."""
    cool_down_maximum: Duration = timedelta(hours=2)
    """The longest rest of a lane, also where the reply asks for more."""
    probe_every: Duration = timedelta(minutes=5)
    """How often a relay that gives no session is tried."""

    dkim_keys: str = ""
    """Folder of the keys that sign (DKIM): <domain>/<selector>.pem; empty: nothing is signed here."""
    bounce_domain: str = ""
    """Domain whose mail comes to our listener: bounces of each message get an address of their own there."""
    dns_server: str = ""
    """The server that checks of domains ask, as host or host:port; empty: those of this machine."""

    task_queue: str = "postwerk"
    """Temporal task queue shared by API and workers."""
    connections_per_lane: int = Field(default=20, ge=1, le=1000)
    """SMTP connections at most, per lane and worker process."""
    relay_connections: int = Field(default=200, ge=1, le=10_000)
    """SMTP connections to each relay at most, per worker process, all lanes together."""
    messages_per_connection: int = Field(default=100, ge=1, le=100_000)
    concurrent_batches: int = Field(default=60, ge=1, le=5000)
    """Batches in the hands of one worker process at a time; the rest waits in Temporal."""
    concurrent_messages: int = Field(default=30, ge=1, le=5000)
    """Transactional messages in the hands of one worker process at a time, beside its batches."""
    concurrent_webhooks: int = Field(default=100, ge=1, le=5000)
    """Webhooks that one worker process serves at a time; beside its mail, and in slots of their own."""
    shutdown_seconds: float = Field(default=60.0, ge=1, le=3600)
    """How long a stopping worker lets running SMTP transactions finish."""

    retry: Literal["bulk", "postfix"] = "bulk"
    """Preset of the waits between attempts: 5 min doubling to 3 h, or 300 s doubling to 4000 s."""
    retry_initial: OptionalDuration = None
    """First wait after a temporary refusal, instead of the preset's; ISO 8601 or seconds."""
    retry_factor: float | None = None
    retry_maximum: OptionalDuration = None
    retry_jitter: float | None = None
    retry_waits: str = ""
    """Every wait by itself instead, the last one repeats: 1m,5m,15m,1h,4h."""

    api_host: str = "127.0.0.1"
    """Where `python -m postwerk api` listens; anywhere but on this machine's own addresses with a key."""
    api_port: int = Field(default=8000, ge=0, le=65535)
    max_body_bytes: int = Field(default=50 * 1024 * 1024, ge=1024)
    """Largest JSON request; larger lists go through /recipients."""
    max_part_bytes: int = Field(default=2 * 1024**3, ge=1024)
    """Largest streamed part of an upload."""
    max_attachment_bytes: int = Field(default=18 * 1024 * 1024, ge=1)
    """Largest file that goes along with a mail, before it is encoded."""
    max_attachments: int = Field(default=20, ge=0, le=1000)
    """Files of one mail at most."""
    max_message_bytes: int = Field(default=25 * 1024 * 1024, ge=10_000)
    """Largest message as it goes over the wire, encoded: Gmail, Outlook.com and others take 25 MB."""
    inbound_host: str = "127.0.0.1"
    """Where `postwerk inbound` listens for mail to the bounce domain."""
    inbound_port: int = Field(default=2424, ge=0, le=65535)
    inbound_protocol: Literal["lmtp", "smtp"] = "lmtp"
    inbound_max_bytes: int = Field(default=1024 * 1024, ge=10_000, le=20 * 1024 * 1024)
    """Largest mail that comes back; a larger one is refused."""
    inbound_connections: int = Field(default=50, ge=1, le=1000)
    """At the same time; one more is answered with 421."""
    inbound_rate: str = "50/s,burst=50"
    """New connections to it at most; empty: any number."""
    inbound_timeout: float = Field(default=60.0, ge=1, le=600)
    """Seconds of silence after which it hangs up; also for one mail to arrive."""
    public_url: str = ""
    """Address under which callers reach the API, for links; empty: as they called it."""
    temporal_ui_url: str = ""
    """Address of the Temporal Web UI, for links; empty: no such link."""
    sandbox_url: str = ""
    """Address of the sandbox's inbox, for a link on the page; empty: no such link."""
    docs: Annotated[bool | None, BeforeValidator(_or_none)] = None
    """Serve /docs to everybody, or to nobody; empty: to this machine itself."""
    open_on_loopback: bool = False
    """Whoever calls from this machine itself needs no API key, even when there are keys. For development."""
    calls_per_minute: int = Field(default=30_000, ge=0, le=10_000_000)
    """Calls of each API key, and of each peer without one, per process of the API; 0: any number."""
    uploads_at_once: int = Field(default=16, ge=0, le=10_000)
    """Bodies of a megabyte and more that each API key may send at once, per process; 0: any number."""
    events_kept: Duration = Field(default=timedelta(days=7), ge=timedelta(hours=1))
    """How long events can be read; those that a webhook has not got yet up to 30 days longer."""
    stalled_after: Duration = Field(default=timedelta(minutes=15), ge=timedelta(minutes=1))
    """A bulk send of which nothing moves for so long, though nothing keeps it waiting: bulk_send.stalled."""
    streams_per_key: int = Field(default=20, ge=1, le=10_000)
    """Streams of events that each API key may have open at once, per process of the API."""
    webhook_allow_private: bool = False
    """Webhooks may go to one's own networks, and without TLS; else to public addresses alone."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"
    """How log lines look; auto: text on a terminal, JSON everywhere else."""
    metrics_open: bool = False
    """Whoever reaches the API may read GET /metrics without a key: numbers, and no address."""
    worker_metrics_host: str = "127.0.0.1"
    """Where workers and `postwerk inbound` serve their own metrics."""
    worker_metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of a worker's /metrics; 0: none. Of several processes each takes the next one."""
    inbound_metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of the /metrics of `postwerk inbound`; 0: none."""
    temporal_metrics_address: str = ""
    """Where a worker serves the metrics of Temporal's SDK, as host:port; empty: nowhere."""
    traces: Literal["", "otlp"] = ""
    """Export traces by OTLP, as the OTEL_* variables say; empty: none. Needs the extra `otel`."""
    traces_ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of a bulk send's SMTP transactions that have a span of their own."""

    def archive_config(self, durability: Literal["full", "normal"]) -> ArchiveConfig:
        return ArchiveConfig(url=self.database_url.get_secret_value(), durability=durability)

    def relay(self) -> RelayConfig:
        url = self.relay_url.get_secret_value()
        if not url:
            raise ConfigurationError(
                "POSTWERK_RELAY_URL is not set; name the SMTP server that takes your mail, "
                "e.g. smtp+starttls://user:password@mail.example.com:587"
            )
        return RelayConfig.from_url(url, **self._of_every_relay())

    def further_relays(self) -> tuple[RelayConfig, ...]:
        """Those beside the default one, in the order they are written."""
        return read_relays(self.relays.get_secret_value(), **self._of_every_relay())

    def _of_every_relay(self) -> dict[str, Any]:
        return {
            "ehlo_name": self.ehlo_name,
            "ca_file": self.relay_ca_file,
            "pipelining": self.relay_pipelining,
        }

    def pool_limits(self) -> PoolLimits:
        return PoolLimits(
            connections_per_lane=self.connections_per_lane,
            messages_per_connection=self.messages_per_connection,
        )

    def signing_keys(self) -> DkimKeys:
        return DkimKeys(Path(self.dkim_keys) if self.dkim_keys.strip() else None)

    def bounce_address_domain(self) -> str:
        """In normal form; empty when there is none."""
        if not self.bounce_domain.strip():
            return ""
        try:
            return parse_address(f"b@{self.bounce_domain.strip()}").rpartition("@")[2]
        except InvalidRequest as error:
            raise ConfigurationError(f"POSTWERK_BOUNCE_DOMAIN: {error.message}") from error

    def temporal_metrics(self, number: int = 0) -> str:
        """Where worker process `number` serves the SDK's metrics: each on the next port; empty: nowhere."""
        if not self.temporal_metrics_address:
            return ""
        host, _, port = self.temporal_metrics_address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) + number < 65536:
            raise ConfigurationError(
                "POSTWERK_TEMPORAL_METRICS_ADDRESS must be host:port, e.g. 127.0.0.1:9090"
            )
        return f"{host}:{int(port) + number}"

    def relay_rate_limit(self) -> Rate | None:
        try:
            return Rate.parse(self.relay_rate) if self.relay_rate else None
        except InvalidRequest as error:
            raise ConfigurationError(f"POSTWERK_RELAY_RATE: {error.message}") from error

    def inbound(self) -> InboundConfig:
        """Raises ConfigurationError without a bounce domain."""
        try:
            rate = Rate.parse(self.inbound_rate) if self.inbound_rate else None
        except InvalidRequest as error:
            raise ConfigurationError(f"POSTWERK_INBOUND_RATE: {error.message}") from error
        return InboundConfig(
            domain=self.bounce_address_domain(),
            host=self.inbound_host,
            port=self.inbound_port,
            protocol=self.inbound_protocol,
            max_bytes=self.inbound_max_bytes,
            connections=self.inbound_connections,
            rate=rate,
            timeout_seconds=self.inbound_timeout,
            hostname=self.ehlo_name,
        )

    def cooling(self) -> Cooling:
        for name in ("cool_down", "cool_down_maximum", "probe_every"):
            if not timedelta(seconds=1) <= getattr(self, name) <= timedelta(days=1):
                raise ConfigurationError(f"POSTWERK_{name.upper()} must lie between 1 second and 1 day")
        return Cooling(self.cool_down, self.cool_down_maximum, self.probe_every)

    def retry_schedule(self) -> RetrySchedule:
        own = {
            "initial": self.retry_initial,
            "factor": self.retry_factor,
            "maximum": self.retry_maximum,
            "jitter": self.retry_jitter,
            "waits": self._retry_waits(),
        }
        chosen = {name: value for name, value in own.items() if value is not None}
        try:
            return RetrySchedule(**RETRY_PRESETS[self.retry].model_dump() | chosen)
        except ValidationError as error:
            raise ConfigurationError(f"POSTWERK_RETRY_{_first(error)}") from error

    def _retry_waits(self) -> tuple[timedelta, ...] | None:
        if not self.retry_waits.strip():
            return None
        try:
            return tuple(
                bounded_duration(wait, timedelta(seconds=1), timedelta(days=1), pointer="#")
                for wait in self.retry_waits.split(",")
            )
        except InvalidRequest as error:
            raise ConfigurationError(f"POSTWERK_RETRY_WAITS: {error.message}") from error


def load_settings() -> Settings:
    """The settings of this process. Raises ConfigurationError naming the variable."""
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError(f"POSTWERK_{_first(error)}") from error


def _first(error: ValidationError) -> str:
    """The first complaint on one line: NAME: what is wrong (never the value, it may be a secret)."""
    problem = error.errors(include_url=False, include_input=False)[0]
    name = "_".join(str(part) for part in problem["loc"]).upper()
    return f"{name}: {problem['msg']}"
