"""The tables of what others are told and shown: events, webhooks, tallies, sessions of the page."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Text, false, text
from sqlmodel import Field, SQLModel

from postwerk.archive.columns import Json, Moment

_RARE = text("seq = 0")
_OF_POSTGRESQL = text("xid > 0")


def _moment(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(Moment, nullable=nullable))


class EventRow(SQLModel, table=True):
    """Something that happened, written in the transaction in which it did (the outbox).

    In order of `id` in SQLite, where one writes at a time, and of (`xid`, `id`) in PostgreSQL, where a
    smaller id may be committed later: there only rows older than every open transaction are read.
    """

    __tablename__: ClassVar[str] = "event"
    __table_args__ = (
        Index("event_in_order", "xid", "id", sqlite_where=_OF_POSTGRESQL),  # in SQLite the id is enough
        Index("event_by_bulk_send", "bulk_id", "xid", "id"),
        # Of bulk sends, lanes and addresses: few beside those of messages, which are found by their message.
        Index("event_rare", "at", sqlite_where=_RARE, postgresql_where=_RARE),
        Index("event_rare_of_bulk_send", "bulk_id", "type", sqlite_where=_RARE, postgresql_where=_RARE),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    )
    xid: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """PostgreSQL: the transaction that wrote it. SQLite: 0."""
    at: datetime = _moment(nullable=False)
    type: str
    """contracts.events.EventType."""
    bulk_id: str = Field(default="", sa_column_kwargs={"server_default": ""})
    seq: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """The message it is about; 0: none."""
    attempt: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """The attempt that led to it; 0: none. Its reply is read from the attempt."""
    reason: str = Field(default="", sa_column_kwargs={"server_default": ""})
    next_at: datetime | None = _moment()
    """Of a deferred message: when it is tried again."""
    repeated: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    """Deferred again for the same reason."""
    name: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """What it is about, if that is neither message nor bulk send: a lane, an address."""
    data: Any = Field(default=None, sa_column=Column("data", Json))
    """Whatever else this type of event tells."""


class TallyRow(SQLModel, table=True):
    """How often something happened in ten seconds, for curves. Kept two days; the counters are the truth."""

    __tablename__: ClassVar[str] = "tally"

    at: datetime = Field(sa_column=Column(Moment, primary_key=True))
    """Where the ten seconds begin."""
    lane: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    """delivered, deferred, bounced, expired, failed, unknown, complained, late_bounced."""
    shard: int = Field(primary_key=True)
    n: int = Field(sa_type=BigInteger)


class WebhookRow(SQLModel, table=True):
    """Somebody who wants to be told of events (Standard Webhooks). Its workflow is `webhook-<id>`."""

    __tablename__: ClassVar[str] = "webhook"
    __table_args__ = (Index("webhook_by_owner", "owner", "id"),)

    id: str = Field(primary_key=True)
    owner: str = ""
    """Id of the API key whose events it gets; empty: everybody's."""
    url: str
    description: str = ""
    types: Any = Field(default=None, sa_column=Column("types", Json))
    """The types of events it wants, as it named them; None: all of them."""
    repeated: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    """Also deferrals for the same reason as before."""
    secret: str
    """whsec_...: signs."""
    former_secret: str = ""
    """The one before: signs as well ..."""
    former_until: datetime | None = _moment()
    """... until then."""
    max_events: int = 1
    """Events in one request at most; 1: each by itself."""
    max_wait: int = Field(default=0, sa_type=BigInteger)
    """Microseconds that an event may wait for others."""
    state: str
    """enabled, disabled (by hand) or gone (its receiver answered 410, or failed to the end)."""
    reason: str = ""
    cursor_xid: int = Field(default=0, sa_type=BigInteger)
    cursor_id: int = Field(default=0, sa_type=BigInteger)
    """Everything up to here was taken by its receiver, or given up."""
    created_at: datetime = _moment(nullable=False)
    changed_at: datetime | None = _moment()


class WebhookDeliveryRow(SQLModel, table=True):
    """One request to a webhook's receiver, and what it answered."""

    __tablename__: ClassVar[str] = "webhook_delivery"
    __table_args__ = (Index("webhook_delivery_by_webhook", "webhook", "id"),)

    id: str = Field(primary_key=True)
    """In order of time."""
    webhook: str
    message_id: str
    """The header `webhook-id`: the same in each try of the same events."""
    kind: str
    """events, test or replay."""
    events: int
    first_xid: int = Field(default=0, sa_type=BigInteger)
    first_id: int = Field(default=0, sa_type=BigInteger)
    last_xid: int = Field(default=0, sa_type=BigInteger)
    last_id: int = Field(default=0, sa_type=BigInteger)
    attempt: int = 1
    at: datetime = _moment(nullable=False)
    milliseconds: int = 0
    status: int | None = None
    """Of the answer; None: there was none."""
    outcome: str
    """sending (nobody knows yet, or its worker died), delivered, failed or given_up."""
    detail: str = Field(default="", sa_column=Column(Text, nullable=False))
    """Beginning of the answer, or why there was none."""
    next_at: datetime | None = _moment()


class PageSessionRow(SQLModel, table=True):
    """Somebody who has given an API key to the page. The session's own secret is stored nowhere."""

    __tablename__: ClassVar[str] = "page_session"
    __table_args__ = (Index("page_session_by_end", "until"),)

    digest: str = Field(primary_key=True)
    """SHA-256 of the cookie, in hex."""
    key_id: str
    """The API key: when that is revoked or expires, this ends too."""
    created_at: datetime = _moment(nullable=False)
    until: datetime = _moment(nullable=False)
