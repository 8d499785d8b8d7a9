"""Settings: the only reader of the environment (POSTWERK_*), made of the parts' own small configs.

Temporal's own settings (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*) are read
by the SDK itself, the same way the `temporal` command reads them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from postwerk.archive.engine import ArchiveConfig
from postwerk.contracts.options import RetrySchedule
from postwerk.errors import ConfigurationError
from postwerk.smtp.pool import PoolLimits
from postwerk.smtp.relay import RelayConfig


class Settings(BaseSettings):
    """Every setting with its default; .env.example says the same (a test compares them)."""

    model_config = SettingsConfigDict(env_prefix="POSTWERK_", env_file=".env", extra="ignore")

    database_url: SecretStr = SecretStr("sqlite+aiosqlite:///data/postwerk.db")
    """Where the archive is: sqlite+aiosqlite:///file or postgresql+asyncpg://user:password@host/database."""
    relay_url: SecretStr = SecretStr("")
    """The SMTP server that takes our mail: smtp://, smtp+starttls:// or smtps://, with user:password@."""
    relay_ca_file: str | None = None
    """Certificates to trust instead of the system's, for a relay with a private CA."""
    relay_pipelining: bool = True
    """Send MAIL and RCPT together where the relay offers it (RFC 2920); off for one that gets it wrong."""
    ehlo_name: str = "localhost"
    """The name we greet the relay with (EHLO); the host name that belongs to our IP address."""

    task_queue: str = "postwerk"
    """Temporal task queue shared by API and workers."""
    connections_per_lane: int = Field(default=20, ge=1, le=1000)
    """SMTP connections at most, per lane and worker process."""
    messages_per_connection: int = Field(default=100, ge=1, le=100_000)
    concurrent_batches: int = Field(default=60, ge=1, le=5000)
    """Batches in the hands of one worker process at a time; the rest waits in Temporal."""
    shutdown_seconds: float = Field(default=60.0, ge=1, le=3600)
    """How long a stopping worker lets running SMTP transactions finish."""

    retry_initial: timedelta = timedelta(minutes=5)
    """First wait after a temporary refusal; ISO 8601 or seconds."""
    retry_factor: float = 2.0
    retry_maximum: timedelta = timedelta(hours=3)
    retry_jitter: float = 0.2

    max_body_bytes: int = Field(default=50 * 1024 * 1024, ge=1024)
    """Largest JSON request; larger lists go through /recipients."""
    max_part_bytes: int = Field(default=2 * 1024**3, ge=1024)
    """Largest streamed part of an upload."""
    public_url: str = ""
    """Address under which callers reach the API, for links; empty: as they called it."""
    temporal_ui_url: str = ""
    """Address of the Temporal Web UI, for links; empty: no such link."""
    docs: bool = True
    """Serve /docs."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def archive_config(self, durability: Literal["full", "normal"]) -> ArchiveConfig:
        return ArchiveConfig(url=self.database_url.get_secret_value(), durability=durability)

    def relay(self) -> RelayConfig:
        url = self.relay_url.get_secret_value()
        if not url:
            raise ConfigurationError(
                "POSTWERK_RELAY_URL is not set; name the SMTP server that takes your mail, "
                "e.g. smtp+starttls://user:password@mail.example.com:587"
            )
        return RelayConfig.from_url(
            url,
            ehlo_name=self.ehlo_name,
            ca_file=self.relay_ca_file,
            pipelining=self.relay_pipelining,
        )

    def pool_limits(self) -> PoolLimits:
        return PoolLimits(
            connections_per_lane=self.connections_per_lane,
            messages_per_connection=self.messages_per_connection,
        )

    def retry_schedule(self) -> RetrySchedule:
        try:
            return RetrySchedule(
                initial=self.retry_initial,
                factor=self.retry_factor,
                maximum=self.retry_maximum,
                jitter=self.retry_jitter,
            )
        except ValidationError as error:
            raise ConfigurationError(f"POSTWERK_RETRY_{_first(error)}") from error


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
