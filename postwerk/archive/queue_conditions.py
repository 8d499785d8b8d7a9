"""An operator's criteria as SQL conditions on messages, and the ways on which such messages are found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, and_, func, or_, text, true
from sqlmodel import SQLModel

from postwerk.archive.plan import OTHER_LANE
from postwerk.archive.tables import RARE_STATES, WAITING_STATES
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import MessageState
from postwerk.rules.providers import is_provider, lane_of

RARE_INDEX, LANE_INDEX = "message_by_rare_state", "message_by_lane"
CODE_INDEX, REASON_INDEX = "message_by_code", "message_by_reason"
CLASSES = 10
"""Codes below this are classes: 4 means 400 to 499."""
RARE = frozenset({state for state in MessageState if f"'{state.value}'" in RARE_STATES})
# An index's own condition is said in its words, so that it can be used.
WAITING = frozenset({MessageState.DEFERRED, MessageState.HELD})
FEW = 5
"""Rare states are found by their index where less than a fifth of a send is in them; else by walking."""
_MESSAGES = SQLModel.metadata.tables["message"]
MESSAGE = _MESSAGES.c


@dataclass(frozen=True, slots=True)
class Way:
    """Conditions that lead to some of the messages meant, and the index that serves them.

    SQLite keeps no statistics and would walk the table; PostgreSQL finds the index by its own means.
    """

    conditions: tuple[ColumnElement[bool] | TextClause, ...]
    index: str = ""


def is_pointed(wanted: QueueFilter) -> bool:
    """Single messages are named: a unique index finds them."""
    return bool(wanted.ids) or wanted.recipient is not None


def indexed_by(query: Select[Any], index: str) -> Select[Any]:
    """With this index on SQLite; an empty name leaves the choice."""
    return query.with_hint(_MESSAGES, f"INDEXED BY {index}", "sqlite") if index else query


def ways_to(
    wanted: QueueFilter,
    states: Collection[MessageState],
    counts: Mapping[MessageState, int],
    *,
    bounded: bool = False,
) -> Iterator[Way]:
    """The ways to all messages of a send in these states; no message is on two.

    `counts`: those of the send. `bounded`: seq has an upper limit, so that what is found may be sorted.
    """
    there = frozenset(state for state in states if counts.get(state, 0) > 0)
    if is_pointed(wanted):
        yield from _by_lane(QueueFilter(), there)
        return
    if by_reply := _by_reply(wanted, bounded=bounded):
        waiting = there & WAITING
        if waiting:
            yield Way((text(WAITING_STATES), _in_states(MESSAGE.state, waiting)), by_reply)
        there -= waiting
    rare = there & RARE
    if sum(counts[state] for state in rare) * FEW < sum(counts.values()):
        yield from (
            Way((text(RARE_STATES), MESSAGE.state == state.value), RARE_INDEX) for state in sorted(rare)
        )
        there -= rare
    yield from _by_lane(wanted, there)


def _by_reply(wanted: QueueFilter, *, bounded: bool) -> str:
    """The index of replies that serves the filter. A class of codes is found out of order."""
    if wanted.code is not None and (wanted.code >= CLASSES or bounded):
        return CODE_INDEX
    return REASON_INDEX if wanted.reason is not None else ""


def _by_lane(wanted: QueueFilter, states: Collection[MessageState]) -> Iterator[Way]:
    """Lane by lane, for their index; or the send as a whole."""
    if not states:
        return
    # Said so, it keeps the databases off the indexes of states.
    some = _in_states(MESSAGE.state, states).is_(true())
    lanes = lanes_meant(wanted)
    if lanes is None:
        yield Way((some,))
        return
    for lane in lanes:
        yield Way((MESSAGE.lane == lane, some), LANE_INDEX)


def lanes_meant(wanted: QueueFilter) -> list[str] | None:
    """Those in which messages of this provider or domain may be; None: any.

    Of domains with a lane of their own, the few messages of a send are in the lane `other`.
    """
    if wanted.provider is None and wanted.domain is None:
        return None
    lane = wanted.provider or lane_of(wanted.domain or "")
    return [lane] if is_provider(lane) or lane == OTHER_LANE else [lane, OTHER_LANE]


def _in_states(column: Any, states: Collection[MessageState]) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = column.in_(sorted(state.value for state in states))
    return condition


def message_conditions(wanted: QueueFilter, bulk_id: str) -> list[ColumnElement[bool]]:
    """What is asked of a message of this send besides its state; nothing for a filter that names sends."""
    found: list[ColumnElement[bool]] = []
    if wanted.ids:
        found.append(MESSAGE.seq.in_(seqs_named(wanted, bulk_id)))
    if wanted.recipient is not None:
        found.append(func.lower(MESSAGE.address) == func.lower(wanted.recipient))
    return found + reply_conditions(wanted) + place_conditions(wanted)


def reply_conditions(wanted: QueueFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.code is not None:
        found.append(_with_code(wanted.code))
    if wanted.reason is not None:
        found.append(MESSAGE.last_reason == wanted.reason)
    return found


def place_conditions(wanted: QueueFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.provider is not None:
        found.append(_of_provider(wanted.provider))
    if wanted.domain is not None:
        found.append(_of_domain(wanted.domain))
    if wanted.q is not None:
        found.append(func.lower(MESSAGE.address).contains(wanted.q.lower(), autoescape=True))
    return found


def seqs_named(wanted: QueueFilter, bulk_id: str) -> list[int]:
    """Of this send, those whose ids are given."""
    parts = (public.partition(".") for public in wanted.ids)
    return [int(seq) for one, _, seq in parts if one == bulk_id]


def _of_provider(name: str) -> ColumnElement[bool]:
    if is_provider(name) or name == OTHER_LANE:
        return MESSAGE.lane == name
    return or_(MESSAGE.lane == name, and_(MESSAGE.lane == OTHER_LANE, _ends_in(name)))


def _of_domain(domain: str) -> ColumnElement[bool]:
    return and_(MESSAGE.lane.in_([lane_of(domain), OTHER_LANE]), _ends_in(domain))


def _ends_in(domain: str) -> ColumnElement[bool]:
    """Domains are kept in lower case."""
    return MESSAGE.address.endswith(f"@{domain}", autoescape=True)


def _with_code(code: int) -> ColumnElement[bool]:
    if code < CLASSES:
        return MESSAGE.last_code.in_(range(code * 100, code * 100 + 100))
    return MESSAGE.last_code == code
