"""The tables. Rows never leave the archive; its functions answer with contracts or small row shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, Text, text
from sqlmodel import Field, SQLModel

from postwerk.archive.columns import Json, Moment
from postwerk.contracts.states import BulkState, MessageState

RARE_STATES = "state IN ('deferred', 'bounced', 'expired', 'cancelled', 'suppressed', 'failed', 'unknown')"
"""States that few messages have: indexed apart, so that the path to `delivered` touches no state index."""


def _moment(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(Moment, nullable=nullable))


class ContentRow(SQLModel, table=True):
    """A content, stored once under its hash and never changed."""

    __tablename__: ClassVar[str] = "content"

    id: str = Field(primary_key=True)
    document: Any = Field(sa_column=Column(Json, nullable=False))
    """contracts.content.Content as JSON."""


class BulkSendRow(SQLModel, table=True):
    """One request: one content, many recipients."""

    __tablename__: ClassVar[str] = "bulk_send"
    __table_args__ = (
        Index("bulk_send_by_state", "state", "accepted_at"),
        Index("bulk_send_by_age", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    name: str = ""
    state: str = BulkState.OPEN.value
    reason: str = ""
    """Why it is in this state, for people: who held it, why it failed."""
    content_id: str = Field(foreign_key="content.id")
    options: Any = Field(sa_column=Column(Json, nullable=False))
    """contracts.options.BulkOptions as JSON."""
    details: Any = Field(default=None, sa_column=Column("metadata", Json))
    """The sender's own metadata, handed back as it came."""
    created_at: datetime = _moment(nullable=False)
    accepted_at: datetime | None = _moment()
    """When it was queued; the Date of its messages."""
    started_at: datetime | None = _moment()
    finished_at: datetime | None = _moment()
    deadline: datetime | None = _moment()
    held_at: datetime | None = _moment()
    next_seq: int = 1
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    batches: int | None = None
    """How many batches it was planned into; None until planned."""


class MessageRow(SQLModel, table=True):
    """One mail to one recipient of a bulk send."""

    __tablename__: ClassVar[str] = "message"
    __table_args__ = (
        Index("message_once", "bulk_id", text("lower(address)"), unique=True),
        Index("message_by_lane", "bulk_id", "lane", "seq"),
        Index(
            "message_by_rare_state",
            "bulk_id",
            "state",
            "seq",
            sqlite_where=text(RARE_STATES),
            postgresql_where=text(RARE_STATES),
        ),
        # Keys come in order and rows are found by key alone: no second tree for a hidden row id.
        {"sqlite_with_rowid": False},
    )

    bulk_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    address: str
    name: str = ""
    variables: Any = Field(default=None, sa_column=Column(Json))
    details: Any = Field(default=None, sa_column=Column("metadata", Json))
    lane: str
    state: str = MessageState.QUEUED.value
    attempts: int = 0
    """SMTP transactions begun; also the number of the latest attempt."""
    deferrals: int = 0
    """Temporary refusals that count for the retry schedule."""
    next_attempt_at: datetime | None = _moment()
    changed_at: datetime | None = _moment()
    possible_duplicate: bool = False
    last_stage: str | None = None
    last_code: int | None = None
    last_enhanced: str | None = None
    last_text: str | None = Field(default=None, sa_column=Column(Text))


class AttemptRow(SQLModel, table=True):
    """One SMTP transaction for one message, with its reply."""

    __tablename__: ClassVar[str] = "attempt"
    __table_args__ = ({"sqlite_with_rowid": False},)

    bulk_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    number: int = Field(primary_key=True)
    started_at: datetime = _moment(nullable=False)
    milliseconds: int = 0
    outcome: str
    """delivered, deferred, bounced, failed, unknown, or ambiguous (dot written, no reply)."""
    reason: str = ""
    stage: str
    code: int | None = None
    enhanced: str | None = None
    text: str = ""
    host: str = ""
    tls: str = ""


class CounterRow(SQLModel, table=True):
    """How many messages of a bulk send stand in a state; summed over the shards that writers take."""

    __tablename__: ClassVar[str] = "counter"

    bulk_id: str = Field(primary_key=True)
    state: str = Field(primary_key=True)
    shard: int = Field(primary_key=True)
    n: int = Field(sa_type=BigInteger)


class BatchRow(SQLModel, table=True):
    """A range of messages inside one lane, as planned: what one Delivery child carries."""

    __tablename__: ClassVar[str] = "batch"

    bulk_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    lane: str
    first_seq: int = Field(sa_type=BigInteger)
    last_seq: int = Field(sa_type=BigInteger)
    messages: int


class LaneRow(SQLModel, table=True):
    """(relay, mailbox provider): what shares one pace. Here: whether its host is reachable."""

    __tablename__: ClassVar[str] = "lane"

    relay: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    failures: int = 0
    """Failures to get a session in a row."""
    cool_until: datetime | None = _moment()
    reason: str = ""
