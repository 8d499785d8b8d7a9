"""The triggers that write the outbox, as migration 0005 makes them: later ones replace them, this stays.

A trigger writes in the transaction of the change it tells of, and no writer of states can forget it. Both
databases run the same conditions and the same INSERTs.

Whoever has a table copied (SQLite alters some things only so) makes its triggers anew.
"""

from __future__ import annotations

from typing import NamedTuple


class Trigger(NamedTuple):
    """`on`: the change and its table; `when`: condition; `columns`, `values`: the row of `event`."""

    name: str
    on: str
    when: str
    columns: str
    values: str


_FINAL = "'delivered', 'bounced', 'expired', 'cancelled', 'suppressed', 'failed', 'unknown'"
# Released by an operator is not refused again.
_TOLD = f"(NEW.state IN ({_FINAL}) OR (NEW.state = 'deferred' AND OLD.state <> 'held'))"
_LATE = "OLD.state = 'delivered' AND NEW.state = 'bounced'"
_STATE = Trigger(
    "event_of_message_state",
    "UPDATE OF state ON message",
    f"NEW.state <> OLD.state AND {_TOLD}",
    "at, type, bulk_id, seq, attempt, reason, next_at, repeated, data",
    f"""
        COALESCE(NEW.changed_at, {{now}}), 'message.' || NEW.state, NEW.bulk_id, NEW.seq,
        CASE WHEN OLD.state = 'sending' OR NEW.state = 'expired' OR ({_LATE}) THEN NEW.attempts ELSE 0 END,
        CASE WHEN NEW.state = 'cancelled' THEN '' ELSE COALESCE(NEW.last_reason, '') END,
        CASE WHEN NEW.state = 'deferred' THEN NEW.next_attempt_at END,
        NEW.state = 'deferred' AND OLD.last_reason IS NOT NULL AND OLD.last_reason = NEW.last_reason,
        CASE WHEN {_LATE} AND NEW.possible_duplicate THEN '{{{{"late":true,"possible_duplicate":true}}}}'
            WHEN {_LATE} THEN '{{{{"late":true}}}}'
            WHEN NEW.possible_duplicate THEN '{{{{"possible_duplicate":true}}}}' END
        """,
)
_COMPLAINT = Trigger(
    "event_of_complaint",
    "UPDATE OF complained_at ON message",
    "OLD.complained_at IS NULL AND NEW.complained_at IS NOT NULL",
    "at, type, bulk_id, seq",
    "NEW.complained_at, 'message.complained', NEW.bulk_id, NEW.seq",
)


def _of_bulk_send(name: str, at: str, when: str) -> Trigger:
    """A single mail tells by its message; a model of a schedule is never sent."""
    return Trigger(
        f"event_of_bulk_send_{name}",
        "UPDATE OF state, started_at ON bulk_send",
        f"NEW.kind = 'bulk' AND {when}",
        "at, type, bulk_id, reason, data",
        f"COALESCE({at}, {{now}}), 'bulk_send.{name}', NEW.id, NEW.reason, {{standing}}",
    )


_BULK_SENDS = (
    _of_bulk_send(
        "accepted",
        "NEW.accepted_at",
        "OLD.state IN ('storing', 'open') AND NEW.state IN ('queued', 'scheduled')",
    ),
    _of_bulk_send(
        "resumed", "NULL", "OLD.state = 'paused' AND NEW.state IN ('queued', 'scheduled', 'running')"
    ),
    _of_bulk_send("started", "NEW.started_at", "OLD.started_at IS NULL AND NEW.started_at IS NOT NULL"),
    _of_bulk_send("paused", "NEW.held_at", "OLD.state <> 'paused' AND NEW.state = 'paused'"),
    _of_bulk_send("completed", "NEW.finished_at", "OLD.state <> 'completed' AND NEW.state = 'completed'"),
    _of_bulk_send("cancelled", "NEW.finished_at", "OLD.state <> 'cancelled' AND NEW.state = 'cancelled'"),
    _of_bulk_send("failed", "NEW.finished_at", "OLD.state <> 'failed' AND NEW.state = 'failed'"),
)
# A lane is well again when it is not slow any more, or when a rest that has made nothing slow ends; the relay
# itself (its name is empty) when it gives a session.
_WELL_AGAIN = """(
    (OLD.slow_interval IS NOT NULL AND NEW.slow_interval IS NULL
        AND (NEW.cool_until IS NULL OR NEW.cool_until = OLD.cool_until))
    OR (NEW.name = '' AND OLD.failures > 0 AND NEW.failures = 0 AND NEW.cool_until IS NULL)
    OR (OLD.cool_until IS NOT NULL AND NEW.cool_until IS NULL AND NEW.slow_interval IS NULL
        AND (NEW.name <> '' OR NEW.failures = 0))
)"""
_LANES = (
    Trigger(
        "event_of_cooling",
        "UPDATE OF cool_until ON lane",
        "NEW.cool_until IS NOT NULL AND (OLD.cool_until IS NULL OR OLD.cool_until <> NEW.cool_until)",
        "at, type, name, reason, next_at, data",
        """
        CASE WHEN OLD.last_refused_at IS NULL OR OLD.last_refused_at <> NEW.last_refused_at
            THEN COALESCE(NEW.last_refused_at, {now}) ELSE {now} END,
        'lane.cooling', NEW.name, NEW.reason, NEW.cool_until, {of_lane}
        """,
    ),
    Trigger(
        "event_of_recovery",
        "UPDATE OF cool_until, slow_interval, failures ON lane",
        _WELL_AGAIN,
        "at, type, name, reason, data",
        "{now}, 'lane.recovered', NEW.name, OLD.reason, {of_lane}",
    ),
)
_ADDED = (
    "at, type, bulk_id, name, reason, data",
    """'suppression.created', COALESCE(NEW.bulk_id, ''), NEW.address, NEW.reason, {of_new_entry}""",
)
_SUPPRESSIONS = (
    Trigger("event_of_suppression", "INSERT ON suppression", "", _ADDED[0], f"NEW.created_at, {_ADDED[1]}"),
    Trigger(
        "event_of_other_scope",
        "UPDATE OF scope ON suppression",
        "OLD.scope <> NEW.scope",
        _ADDED[0],
        f"{{now}}, {_ADDED[1]}",
    ),
    Trigger(
        "event_of_end_of_suppression",
        "DELETE ON suppression",
        "",
        _ADDED[0],
        """
        {now}, 'suppression.deleted', COALESCE(OLD.bulk_id, ''), OLD.address, OLD.reason, {of_old_entry}
        """,
    ),
)
_RARE = (*_BULK_SENDS, *_LANES, *_SUPPRESSIONS)
_TRIGGERS = (_STATE, _COMPLAINT, *_RARE)
_COUNTS = "FROM counter WHERE bulk_id = NEW.id GROUP BY state HAVING sum(n) <> 0"
_DIFFERENT = {
    "sqlite": {
        "now": "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000",
        "standing": f"""json_object('state', NEW.state, 'counts', json((
            SELECT json_group_object(state, n) FROM (SELECT state, sum(n) AS n {_COUNTS} ORDER BY state)
        )))""",
        "of_lane": "json_object('relay', NEW.relay, 'failures', NEW.failures)",
        "of_new_entry": "json_object('scope', NEW.scope, 'source', NEW.source)",
        "of_old_entry": "json_object('scope', OLD.scope, 'source', OLD.source)",
    },
    "postgresql": {
        "now": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
        "standing": f"""json_build_object('state', NEW.state, 'counts', COALESCE((
            SELECT json_object_agg(state, n) FROM (SELECT state, sum(n) AS n {_COUNTS} ORDER BY state) AS c
        ), '{{}}'::json))::text""",
        "of_lane": "json_build_object('relay', NEW.relay, 'failures', NEW.failures)::text",
        "of_new_entry": "json_build_object('scope', NEW.scope, 'source', NEW.source)::text",
        "of_old_entry": "json_build_object('scope', OLD.scope, 'source', OLD.source)::text",
    },
}


def statements(dialect: str) -> list[str]:
    """What makes them, in this database."""
    if dialect == "sqlite":
        return [_sqlite(trigger) for trigger in _TRIGGERS]
    by_row = [statement for trigger in (_COMPLAINT, *_RARE) for statement in _for_each_row(trigger)]
    return [*_for_each_statement(_STATE), *by_row]


def _sqlite(trigger: Trigger) -> str:
    when = f"WHEN {trigger.when}" if trigger.when else ""
    values = trigger.values.format(**_DIFFERENT["sqlite"])
    return f"""
        CREATE TRIGGER {trigger.name} AFTER {trigger.on} FOR EACH ROW {when} BEGIN
            INSERT INTO event ({trigger.columns}) SELECT {values};
        END
    """


def _for_each_row(trigger: Trigger) -> list[str]:
    when = f"WHEN ({trigger.when})" if trigger.when else ""
    values = trigger.values.format(**_DIFFERENT["postgresql"])
    return [
        f"""
        CREATE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO event ({trigger.columns}) SELECT {values};
            RETURN NULL;
        END $$
        """,
        f"""
        CREATE TRIGGER {trigger.name} AFTER {trigger.on} FOR EACH ROW {when}
            EXECUTE FUNCTION {trigger.name}()
        """,
    ]


def _for_each_statement(trigger: Trigger) -> list[str]:
    """All rows of an UPDATE at once: half of what a call for each row costs the server (25 us a message).

    The plan is made with the first rows that come, perhaps one, and kept: nested loops over the next
    thousands would be the end of it.
    """
    select = f"SELECT {trigger.values} FROM old_rows JOIN new_rows USING (bulk_id, seq) WHERE {trigger.when}"
    select = select.format(**_DIFFERENT["postgresql"])
    select = select.replace("OLD.", "old_rows.").replace("NEW.", "new_rows.")
    table = trigger.on.rpartition(" ")[2]
    return [
        f"""
        CREATE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
        BEGIN
            INSERT INTO event ({trigger.columns}) {select};
            RETURN NULL;
        END $$
        """,
        f"""
        CREATE TRIGGER {trigger.name} AFTER UPDATE ON {table}
            REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION {trigger.name}()
        """,
    ]
