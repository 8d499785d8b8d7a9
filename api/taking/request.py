"""A request's fields into what is stored: content and options, each checked where it stands."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from api.errors import InvalidFields
from api.request_schemas import BulkSendRequest, MessageRequest, NotifyRequest, RetryRequest, SendRequest
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend
from postwerk.contracts.content import Content, Mailbox
from postwerk.contracts.options import (
    DEFAULT_DEADLINE,
    DEFAULT_RELAY,
    RETRY_PRESETS,
    AutoPause,
    BulkOptions,
    Notify,
    RetrySchedule,
)
from postwerk.contracts.states import SendKind
from postwerk.errors import InvalidRequest
from postwerk.mime.headers import check_headers
from postwerk.mime.templates import check_templates
from postwerk.rules.addresses import parse_address, parse_mailbox
from postwerk.rules.durations import bounded_duration
from postwerk.rules.pace import Rate
from postwerk.rules.recipients import check_name, json_text

T = TypeVar("T", bound=BaseModel)

SHORTEST_DEADLINE, LONGEST_DEADLINE = timedelta(minutes=1), timedelta(days=7)
SHORTEST_RETRY, LONGEST_RETRY = timedelta(seconds=1), timedelta(days=1)
MOST_MAILBOXES = 10
"""In `reply_to`, and in `notify.to`."""


def read_request(document: dict[str, Any]) -> BulkSendRequest:
    """The fields by name and type. Raises InvalidFields naming each wrong one."""
    return read_fields(BulkSendRequest, document)


def read_fields(shape: type[T], document: dict[str, Any]) -> T:
    """The same for any shape."""
    try:
        return shape.model_validate(document)
    except ValidationError as error:
        raise InvalidFields(
            "Some fields cannot be taken.", [_entry(problem) for problem in error.errors()]
        ) from error


def new_bulk_send(
    request: BulkSendRequest,
    defaults: RetrySchedule,
    relays: Collection[str],
    now: datetime,
    *,
    owner: str = "",
    bulk_id: str = "",
) -> NewBulkSend:
    """What will be stored. Raises InvalidRequest pointing at the field.

    `defaults` stands for what a retry schedule leaves out; `relays` are the names that are known.
    """
    if request.open and request.validation == "strict":
        raise InvalidRequest(
            "Strict validation needs all recipients in this request; leave out `open`.",
            pointer="#/validation",
            code="strict_and_open",
        )
    options = _options(request, defaults, relays).model_copy(
        update={
            "recipients_per_child": request.recipients_per_child,
            "rate": read_rate(request.rate),
            "auto_pause": AutoPause(**request.auto_pause.model_dump()) if request.auto_pause else None,
        }
    )
    return _new_send(request, options, bulk_id or new_bulk_id(), SendKind.BULK, owner, now)


def new_message_send(
    request: MessageRequest,
    defaults: RetrySchedule,
    relays: Collection[str],
    now: datetime,
    *,
    bulk_id: str,
    owner: str = "",
) -> NewBulkSend:
    """The same for one transactional mail; its variables are its recipient's, so contents stay few."""
    options = _options(request, defaults, relays)
    content = request.model_copy(update={"variables": {}})
    return _new_send(content, options, bulk_id, SendKind.MESSAGE, owner, now)


def _new_send(
    request: SendRequest, options: BulkOptions, bulk_id: str, kind: SendKind, owner: str, now: datetime
) -> NewBulkSend:
    if request.metadata:
        json_text(request.metadata, "#/metadata")
    return NewBulkSend(
        id=bulk_id,
        name=check_name(request.name),
        content=_content(request),
        options=options,
        metadata=request.metadata,
        created_at=now,
        kind=kind,
        owner=owner,
    )


def _content(request: SendRequest) -> Content:
    if request.text is None and request.html is None:
        raise InvalidRequest("Give a text, an html, or both.", pointer="#/text", code="missing")
    if request.variables:
        json_text(request.variables, "#/variables")
    with _at("#/headers"):
        check_headers(request.headers)
    content = Content(
        sender=_mailbox(request.sender, "#/from"),
        return_path=_return_path(request.return_path),
        reply_to=_mailboxes(request.reply_to, "#/reply_to"),
        subject=request.subject,
        text=request.text,
        html=request.html,
        variables=request.variables,
        headers=request.headers,
    )
    check_templates(content)
    return content


def _options(request: SendRequest, defaults: RetrySchedule, relays: Collection[str]) -> BulkOptions:
    deadline = DEFAULT_DEADLINE
    if request.deadline is not None:
        deadline = bounded_duration(
            request.deadline, SHORTEST_DEADLINE, LONGEST_DEADLINE, pointer="#/deadline"
        )
    return BulkOptions(
        deadline=deadline,
        retry=read_retry(request.retry, defaults),
        relay=read_relay(request.relay, relays),
        max_consecutive_config_errors=request.max_consecutive_config_errors,
        on_ambiguous=request.on_ambiguous,
        notify=_notify(request.notify),
    )


def read_rate(given: str | None) -> str | None:
    """As it is stored. Raises InvalidRequest."""
    return None if given is None else str(Rate.parse(given, pointer="#/rate"))


def read_relay(given: str | None, known: Collection[str]) -> str:
    """As it is stored: empty for the default one. Raises InvalidRequest naming those that are known."""
    if given is not None and given not in known:
        raise InvalidRequest(
            f"There is no relay of this name here; known are {', '.join(known)}.",
            pointer="#/relay",
            code="unknown_relay",
        )
    return "" if given in (None, DEFAULT_RELAY) else str(given)


def read_retry(given: RetryRequest, defaults: RetrySchedule) -> RetrySchedule:
    """The schedule that is meant. Raises InvalidRequest."""
    chosen = (RETRY_PRESETS[given.preset] if given.preset else defaults).model_dump()
    for name in ("factor", "jitter"):
        if getattr(given, name) is not None:
            chosen[name] = getattr(given, name)
    for name in ("initial", "maximum"):
        if getattr(given, name) is not None:
            chosen[name] = _wait(getattr(given, name), f"#/retry/{name}")
    if given.waits is not None:
        chosen["waits"] = [_wait(wait, f"#/retry/waits/{n}") for n, wait in enumerate(given.waits)]
    elif given.initial is not None or given.factor is not None or given.maximum is not None:
        chosen["waits"] = ()  # of the settings: they would keep what was asked for from counting
    return RetrySchedule(**chosen)


def _wait(value: Any, pointer: str) -> timedelta:
    return bounded_duration(value, SHORTEST_RETRY, LONGEST_RETRY, pointer=pointer)


def _mailbox(value: Any, pointer: str) -> Mailbox:
    with _at(pointer):
        return parse_mailbox(value)


def _mailboxes(value: Any, pointer: str) -> tuple[Mailbox, ...]:
    """One mailbox, or a list of them."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return (_mailbox(value, pointer),)
    if len(value) > MOST_MAILBOXES:
        raise InvalidRequest(f"At most {MOST_MAILBOXES} addresses.", pointer=pointer, code="too_many")
    return tuple(_mailbox(one, f"{pointer}/{index}") for index, one in enumerate(value))


def _notify(given: NotifyRequest | None) -> Notify | None:
    if given is None:
        return None
    to = _mailboxes(given.to, "#/notify/to")
    if not to:
        raise InvalidRequest("Say whom to tell.", pointer="#/notify/to", code="missing")
    return Notify(to=to, on=tuple(dict.fromkeys(given.on)), mode=given.mode)


def _return_path(value: str | None) -> str | None:
    if value is None:
        return None
    with _at("#/return_path"):
        return parse_address(value)


@contextmanager
def _at(pointer: str) -> Iterator[None]:
    """Errors that do not know their field get this one."""
    try:
        yield
    except InvalidRequest as error:
        if error.pointer == "#":
            error.pointer = pointer
        raise


def _entry(problem: Any) -> dict[str, str]:
    steps = "".join("/" + str(step).replace("~", "~0").replace("/", "~1")[:200] for step in problem["loc"])
    code = {"extra_forbidden": "unknown_field", "missing": "missing"}.get(
        problem["type"], str(problem["type"])
    )
    detail = "This field is not known here." if code == "unknown_field" else str(problem["msg"])
    return {"pointer": f"#{steps}", "code": code, "detail": detail}
