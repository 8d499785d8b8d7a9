"""A request's fields into what is stored: content and options, each checked where it stands."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from api.errors import InvalidFields
from api.request_schemas import (
    BulkSendRequest,
    MessageRequest,
    NotifyRequest,
    RetryRequest,
    SendRequest,
    TemplateUse,
)
from api.taking.content import content_of, read_mailboxes
from api.taking.leaving import read_dkim, read_list_unsubscribe
from api.taking.times import check_times, read_times
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend
from postwerk.contracts.content import Content
from postwerk.contracts.options import (
    DEFAULT_DEADLINE,
    DEFAULT_RELAY,
    RETRY_PRESETS,
    AutoPause,
    BulkOptions,
    Notify,
    RetrySchedule,
    TemplateUsed,
)
from postwerk.contracts.states import SendKind
from postwerk.errors import InvalidRequest
from postwerk.rules.durations import bounded_duration
from postwerk.rules.pace import Rate
from postwerk.rules.recipients import check_name, json_text

T = TypeVar("T", bound=BaseModel)

SHORTEST_DEADLINE, LONGEST_DEADLINE = timedelta(minutes=1), timedelta(days=7)
SHORTEST_RETRY, LONGEST_RETRY = timedelta(seconds=1), timedelta(days=1)


def read_request(document: dict[str, Any]) -> BulkSendRequest:
    """The fields by name and type. Raises InvalidFields naming each wrong one."""
    request = read_fields(BulkSendRequest, document)
    if request.template is None:
        missing = [
            name for name, value in (("from", request.sender), ("subject", request.subject)) if value is None
        ]
        if missing:
            raise InvalidFields("Some fields cannot be taken.", [_missing(name) for name in missing])
    return request


def _missing(name: str) -> dict[str, str]:
    return {"pointer": f"#/{name}", "code": "missing", "detail": "Field required"}


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
    public_url: str = "",
) -> NewBulkSend:
    """What will be stored. Raises InvalidRequest pointing at the field.

    `defaults` stands for what a retry schedule leaves out; `relays` are the names that are known;
    `public_url` is where links to unsubscribe lead.
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
    options = _in_time(options, request, now)
    return _new_send(request, options, bulk_id or new_bulk_id(), SendKind.BULK, owner, now, public_url)


def new_message_send(
    request: MessageRequest,
    defaults: RetrySchedule,
    relays: Collection[str],
    now: datetime,
    *,
    bulk_id: str,
    owner: str = "",
    public_url: str = "",
) -> NewBulkSend:
    """The same for one transactional mail; its variables are its recipient's, so contents stay few."""
    options = _options(request, defaults, relays)
    content = request.model_copy(update={"variables": {}})
    return _new_send(content, options, bulk_id, SendKind.MESSAGE, owner, now, public_url)


def _new_send(
    request: SendRequest,
    options: BulkOptions,
    bulk_id: str,
    kind: SendKind,
    owner: str,
    now: datetime,
    public_url: str,
) -> NewBulkSend:
    if request.metadata:
        json_text(request.metadata, "#/metadata")
    return NewBulkSend(
        id=bulk_id,
        name=check_name(request.name),
        content=_content(request, public_url),
        options=options,
        metadata=request.metadata,
        created_at=now,
        kind=kind,
        owner=owner,
        blobs=request.prepared.blobs,
    )


def _content(request: SendRequest, public_url: str) -> Content:
    leaving = read_list_unsubscribe(request.list_unsubscribe, request.headers, public_url)
    dkim = read_dkim(request.dkim)
    return content_of(request, list_unsubscribe=leaving, dkim=dkim)


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
        template=_template(request.template),
    )


def _template(given: TemplateUse | None) -> TemplateUsed | None:
    if given is None:
        return None
    assert given.version is not None  # resolved
    return TemplateUsed(id=given.id, version=given.version)


def _in_time(options: BulkOptions, request: BulkSendRequest, now: datetime) -> BulkOptions:
    if request.send_at is None and request.expires_at is None and request.window is None:
        return options
    times = read_times(request.send_at, request.expires_at, request.window, now)
    options = options.model_copy(update=times)
    check_times(options, options.send_at or now, now)
    return options


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


def _notify(given: NotifyRequest | None) -> Notify | None:
    if given is None:
        return None
    to = read_mailboxes(given.to, "#/notify/to")
    if not to:
        raise InvalidRequest("Say whom to tell.", pointer="#/notify/to", code="missing")
    return Notify(to=to, on=tuple(dict.fromkeys(given.on)), mode=given.mode)


def _entry(problem: Any) -> dict[str, str]:
    steps = "".join("/" + str(step).replace("~", "~0").replace("/", "~1")[:200] for step in problem["loc"])
    code = {"extra_forbidden": "unknown_field", "missing": "missing"}.get(
        problem["type"], str(problem["type"])
    )
    detail = "This field is not known here." if code == "unknown_field" else str(problem["msg"])
    return {"pointer": f"#{steps}", "code": code, "detail": detail}
