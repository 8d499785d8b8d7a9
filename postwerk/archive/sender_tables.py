"""The tables of what senders rely on: keys, repeated calls, templates, files, schedules, returned mail."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from postwerk.archive.columns import Json, Moment


def _moment(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(Moment, nullable=nullable))


class ApiKeyRow(SQLModel, table=True):
    """A key to the API. The key itself is shown once and stored nowhere."""

    __tablename__: ClassVar[str] = "api_key"
    __table_args__ = (Index("api_key_by_owner", "owner", "id"),)

    id: str = Field(primary_key=True)
    name: str
    prefix: str = Field(unique=True)
    """Its first characters, by which it is looked up and recognised."""
    digest: str
    """SHA-256 of the whole key, in hex."""
    scopes: Any = Field(sa_column=Column("scopes", Json, nullable=False))
    """send, read, operate, admin."""
    domains: Any = Field(default=None, sa_column=Column("domains", Json))
    """From domains that it may use; None: any."""
    quota: str = ""
    """Messages at most, "10000/d" as rates are written; empty: any number."""
    rotates: str = ""
    """The key that this one is to replace."""
    owner: str
    """Whose its sends are: its own id, or the owner of the key it replaces; both see the same sends."""
    created_at: datetime = _moment(nullable=False)
    created_by: str = ""
    expires_at: datetime | None = _moment()
    revoked_at: datetime | None = _moment()
    last_used_at: datetime | None = _moment()


class QuotaUseRow(SQLModel, table=True):
    """How many messages an owner had accepted in a span of its quota."""

    __tablename__: ClassVar[str] = "quota_use"

    owner: str = Field(primary_key=True)
    starts_at: datetime = Field(sa_column=Column(Moment, primary_key=True))
    n: int = Field(default=0, sa_type=BigInteger)


class IdempotencyRow(SQLModel, table=True):
    """A call that says it may come again. What it makes has its id before it is made: it is made once."""

    __tablename__: ClassVar[str] = "idempotency"
    __table_args__ = (Index("idempotency_by_end", "keep_until"),)

    owner: str = Field(primary_key=True)
    """Id of the API key; empty without one."""
    key: str = Field(primary_key=True)
    fingerprint: str
    """SHA-256 of method, path and body."""
    resource: str
    """Id of what it makes."""
    holder: str = ""
    """The call that is at it, while `status` is None ..."""
    held_since: datetime | None = _moment()
    """... since then: one that died is taken over."""
    status: int | None = None
    answer: str | None = Field(default=None, sa_column=Column(Text))
    headers: Any = Field(default=None, sa_column=Column("headers", Json))
    created_at: datetime = _moment(nullable=False)
    keep_until: datetime = _moment(nullable=False)


class TemplateRow(SQLModel, table=True):
    """A version of a template: never changed, the next one gets the next number."""

    __tablename__: ClassVar[str] = "template"

    id: str = Field(primary_key=True)
    """The name that callers gave it."""
    version: int = Field(primary_key=True)
    document: Any = Field(sa_column=Column(Json, nullable=False))
    created_at: datetime = _moment(nullable=False)
    created_by: str = ""


class BlobRow(SQLModel, table=True):
    """A file that goes along with mails, stored once under its hash and never changed."""

    __tablename__: ClassVar[str] = "blob"

    id: str = Field(primary_key=True)
    """SHA-256 in hex."""
    size: int = Field(sa_type=BigInteger)
    """Octets, as they were given."""
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    stored_at: datetime = _moment(nullable=False)


class ScheduleRow(SQLModel, table=True):
    """A bulk send that is sent again and again, by a Temporal Schedule of the same id."""

    __tablename__: ClassVar[str] = "schedule"

    id: str = Field(primary_key=True)
    name: str = ""
    owner: str = ""
    spec: Any = Field(sa_column=Column("spec", Json, nullable=False))
    """When: as the caller said it."""
    model_id: str
    """The bulk send that holds its content, options and recipients, and is itself never sent."""
    state: str
    """active, paused or deleted."""
    reason: str = ""
    created_at: datetime = _moment(nullable=False)
    changed_at: datetime | None = _moment()
    last_at: datetime | None = _moment()
    last_bulk_id: str = ""
    changes: int = 0
    """Counts the changes of the row ..."""
    told: int = 0
    """... and so many of them Temporal knows."""


class CoalescedRow(SQLModel, table=True):
    """A message that may be folded into another of the same key within a window."""

    __tablename__: ClassVar[str] = "coalesced"
    __table_args__ = (
        Index("coalesced_by_key", "owner", "key", "arrived_at"),
        Index(
            "coalesced_waiting",
            "arrived_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    bulk_id: str = Field(primary_key=True)
    """The message's own bulk send."""
    owner: str = ""
    key: str
    rank: int = Field(sa_type=BigInteger)
    window: int = Field(sa_type=BigInteger)
    """Microseconds."""
    arrived_at: datetime = _moment(nullable=False)
    state: str
    """waiting, sent, folded, or withdrawn: it had another end before the window's."""
    handed: bool = Field(default=False)
    """The workflow of its key knows of it."""
    folded_into: str = ""
    """The message that was sent in its place."""


class InboundRow(SQLModel, table=True):
    """A mail that came back: a bounce, a complaint, or anything else that reached the bounce address."""

    __tablename__: ClassVar[str] = "inbound"
    __table_args__ = (
        Index("inbound_by_state", "state", "id"),
        Index("inbound_by_turn", "state", "due_at"),
        Index("inbound_once", "digest", unique=True),
    )

    id: str = Field(primary_key=True)
    """In order of time."""
    received_at: datetime = _moment(nullable=False)
    via: str
    """lmtp, smtp or api."""
    mail_from: str = ""
    rcpt_to: str = ""
    size: int = Field(sa_type=BigInteger)
    raw: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """As it came; a longer one was refused."""
    digest: str
    """SHA-256 of envelope and mail: the same one that is handed over again is the same."""
    due_at: datetime = _moment(nullable=False)
    """Nobody takes it up before: somebody is at it, or its message has no end yet."""
    state: str
    """waiting, done, ignored or unparsed."""
    tries: int = 0
    """Reading it was begun so often: one that ends its reader twice is unparsed."""
    kind: str = ""
    """bounce, delay, complaint, auto_reply or other."""
    found: Any = Field(default=None, sa_column=Column("found", Json))
    """What was read in it."""
    bulk_id: str = ""
    seq: int = Field(default=0, sa_type=BigInteger)
    """The message it is about, by a valid token; 0: none."""
    detail: str = ""
    """What was done, or why nothing, for people."""
    processed_at: datetime | None = _moment()


class TokenSecretRow(SQLModel, table=True):
    """What bounce addresses and unsubscribe links are signed with: the newest signs, all are believed."""

    __tablename__: ClassVar[str] = "token_secret"

    id: int = Field(primary_key=True)
    """0 to 31; part of each token."""
    secret: str
    """32 octets in hex."""
    created_at: datetime = _moment(nullable=False)
