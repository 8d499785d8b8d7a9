"""The tables. Rows never leave the archive; its functions answer with contracts or small row shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, Text, false, text
from sqlmodel import Field, SQLModel

from postwerk.archive.columns import Json, Moment
from postwerk.contracts.states import BulkState, MessageState

RARE_STATES = (
    "state IN ('deferred', 'held', 'bounced', 'expired', 'cancelled', 'suppressed', 'failed', 'unknown')"
)
"""States that few messages have: indexed apart, so that the path to `delivered` touches no state index."""
WAITING_STATES = "state IN ('deferred', 'held')"
"""Open, and rare as long as nothing is amiss: only these are indexed by their last reply."""


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
        Index("bulk_send_by_kind", "kind", "created_at", "id"),
        Index("bulk_send_by_owner", "owner", "id"),
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
    config_errors: int = 0
    """Failures of our own settings in a row; a message that goes through sets it back."""
    watched_from: Any = Field(default=None, sa_column=Column(Json))
    """Counts by state when it was last released: `auto_pause` judges what came since."""
    notice_of: str = ""
    """Id of the bulk send that this one tells the sender of; such a send has no notices itself."""
    rounds: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """How often failed messages of it were started again."""
    starting_again: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Operations that are starting failed messages again just now: it is not closed meanwhile."""
    carried: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Batches up to this number were carried by runs of its workflow that have ended."""
    changes: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Counts the changes of its options, so that workers see that there was one."""
    kind: str = Field(default="bulk", sa_column_kwargs={"server_default": "bulk"})
    """contracts.states.SendKind."""
    owner: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Id of the API key that made it; empty without one."""


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
        Index(
            "message_by_code",
            "bulk_id",
            "last_code",
            "seq",
            sqlite_where=text(WAITING_STATES),
            postgresql_where=text(WAITING_STATES),
        ),
        Index(
            "message_by_reason",
            "bulk_id",
            "last_reason",
            "seq",
            sqlite_where=text(WAITING_STATES),
            postgresql_where=text(WAITING_STATES),
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
    last_reason: str | None = None
    """Name of the last outcome's reason (rules/replies.toml)."""
    last_stage: str | None = None
    last_code: int | None = None
    last_enhanced: str | None = None
    last_text: str | None = Field(default=None, sa_column=Column(Text))
    round: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Which of its send's rounds it belongs to: 0 as it was accepted, then each time it was started again."""
    extra: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    """Microseconds by which its own deadline lies behind that of its bulk send."""
    time_left: int | None = Field(default=None, sa_type=BigInteger)
    """While it is held: microseconds it has left of its deadline; None if its send had not begun then."""
    next_state: str | None = None
    """held, cancelled or expired: what it is to become if the running attempt does not end it."""
    operation: str | None = None
    """The last operation of an operator on it."""
    late: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """It bounced after it had been delivered: a later server gave it back."""
    complained_at: datetime | None = _moment()
    """When its recipient called it spam."""


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
    round: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class LaneRow(SQLModel, table=True):
    """(relay, mailbox provider): what shares one pace. The row with an empty name is the relay itself."""

    __tablename__: ClassVar[str] = "lane"

    relay: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    failures: int = 0
    """Failures to get a session in a row; in a lane's own row, rate replies in a row."""
    cool_until: datetime | None = _moment()
    """Nobody tries before."""
    reason: str = ""
    """Why it cools down or is slow, for people."""
    origin: str = ""
    """Who or what said so: "reply", "evidence", "session", or the operator who set it."""
    slow_interval: int | None = Field(default=None, sa_type=BigInteger)
    """Microseconds between two messages while it recovers from a cool-down; None: not slow."""
    probe_until: datetime | None = _moment()
    """Somebody tries whether it works again; the others wait until then."""
    last_refusal: str = ""
    """The last reply that slowed it, as "421 4.7.28 text"."""
    last_refused_at: datetime | None = _moment()
    rate: str = ""
    """An operator's own limits, over those of providers.toml; empty or None: not set."""
    connections: int | None = None
    messages_per_connection: int | None = None
    set_by: str = ""
    set_reason: str = ""
    set_at: datetime | None = _moment()
    set_until: datetime | None = _moment()
    """The operator's limits end by themselves; None: they stay."""


class PaceRow(SQLModel, table=True):
    """Where a rate limit stands (GCRA): `relay:...`, `lane:.../...` or `bulk:...:...`. Microseconds."""

    __tablename__: ClassVar[str] = "pace"

    scope: str = Field(primary_key=True)
    tat: int = Field(default=0, sa_type=BigInteger)
    """Theoretical arrival time: up to here the permits are given out."""
    queue_tat: int = Field(default=0, sa_type=BigInteger)
    """Up to here batches that were sent away have been told to come back."""


class LaneUseRow(SQLModel, table=True):
    """What one worker process does on a lane just now; rows older than some seconds mean nothing."""

    __tablename__: ClassVar[str] = "lane_use"

    relay: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    worker: str = Field(primary_key=True)
    at: datetime = _moment(nullable=False)
    connections: int = 0
    attempts_per_minute: float = 0.0


class SuppressionRow(SQLModel, table=True):
    """An address that gets no mail, and why."""

    __tablename__: ClassVar[str] = "suppression"
    __table_args__ = (Index("suppression_by_age", "created_at", "address"),)

    address: str = Field(primary_key=True)
    """In normal form (rules/addresses.py), lower case."""
    reason: str
    """user_unknown, user_disabled, ... as in rules/replies.toml; or manual, complaint, unsubscribe."""
    source: str
    """Who says so: "reply" (a server, during a send), "api", "import"."""
    detail: str = ""
    """The server's words, or the operator's."""
    bulk_id: str | None = None
    created_at: datetime = _moment(nullable=False)
    scope: str = Field(default="all", sa_column_kwargs={"server_default": "all"})
    """all: no mail at all; bulk: nothing but transactional mail (who unsubscribed)."""


class NoticeRow(SQLModel, table=True):
    """What a sender was told, so that it is told once. `seq` 0 stands for the whole bulk send."""

    __tablename__: ClassVar[str] = "notice"

    bulk_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str = Field(primary_key=True)
    """failure, delay or completion."""
    notice_bulk_id: str
    told_at: datetime = _moment(nullable=False)


class OperationRow(SQLModel, table=True):
    """What an operator wants done to many messages: remembered until it is done, and after."""

    __tablename__: ClassVar[str] = "operation"
    __table_args__ = (Index("operation_by_state", "state", "id"),)

    id: str = Field(primary_key=True)
    verb: str
    """contracts.queue.Verb."""
    state: str
    """contracts.queue.OperationState."""
    filter: Any = Field(sa_column=Column("filter", Json, nullable=False))
    """contracts.queue.QueueFilter as JSON."""
    details: Any = Field(default=None, sa_column=Column("details", Json))
    """What the verb needs besides: the states that retry_failed starts again, the round it makes."""
    reason: str = ""
    by: str = ""
    via: str = ""
    created_at: datetime = _moment(nullable=False)
    finished_at: datetime | None = _moment()
    matched: int | None = Field(default=None, sa_type=BigInteger)
    changed: int = Field(default=0, sa_type=BigInteger)
    skipped: int = Field(default=0, sa_type=BigInteger)
    detail: str = ""
    """Why it failed, for people."""
    bulk_id: str = ""
    """How far it has come: this bulk send ..."""
    seq: int = Field(default=0, sa_type=BigInteger)
    """... up to this message."""


class OperationBatchRow(SQLModel, table=True):
    """A batch whose workflow is still to be told of an operation; gone when it is told."""

    __tablename__: ClassVar[str] = "operation_batch"

    operation: str = Field(primary_key=True)
    bulk_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)


class SuspensionRow(SQLModel, table=True):
    """A destination that gets no mail for a while, by an operator's word. Ends by itself."""

    __tablename__: ClassVar[str] = "suspension"
    __table_args__ = (Index("suspension_by_end", "until"),)

    id: str = Field(primary_key=True)
    kind: str
    """domain or provider."""
    name: str
    """The domain, or the lane."""
    reason: str
    by: str
    created_at: datetime = _moment(nullable=False)
    until: datetime = _moment(nullable=False)
    ended_at: datetime | None = _moment()
    """Ended by hand, before its time."""
    ended_by: str = ""


class AuditRow(SQLModel, table=True):
    """Who did what, when and why. Only ever added to, and counted up while a long list is stored."""

    __tablename__: ClassVar[str] = "audit"
    __table_args__ = (Index("audit_by_action", "action", "id"), Index("audit_by_who", "by", "id"))

    id: str = Field(primary_key=True)
    """In order of time."""
    at: datetime = _moment(nullable=False)
    by: str
    via: str
    action: str
    target: str = ""
    filter: Any = Field(default=None, sa_column=Column("filter", Json))
    reason: str = ""
    count: int | None = Field(default=None, sa_type=BigInteger)
    operation: str | None = None
    details: Any = Field(default=None, sa_column=Column("details", Json))
