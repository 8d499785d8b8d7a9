"""Lanes and the relay, in callers' words."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema

from api.request_schemas import DurationInput

_REST = {
    "anyOf": [
        {"type": "number", "description": "seconds to rest"},
        {"type": "string", "description": 'how long to rest: "30m", "1d12h" or ISO 8601 such as "PT30M"'},
        {"enum": [None, False], "description": "end the rest"},
    ]
}
RestInput = Annotated[Any, WithJsonSchema(_REST)]
_Reason = Annotated[StrictStr, Field(min_length=1, max_length=500)]
_By = Annotated[StrictStr, Field(min_length=1, max_length=100)]


class Order(BaseModel):
    """What every order of an operator says."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    reason: _Reason
    """Why, for who looks at the lane later."""
    by: _By = "api"
    """Who says so; left out: who is named by the header Postwerk-User."""


class LaneOrder(Order):
    """An operator's word about a lane.

    **Limits.** What is named is set, over the provider's and the settings' own; what is left out is not set.
    A body with neither a limit nor `cool_down` takes the operator's limits back. They end by themselves
    after `for`, or at `until`.

    **Rest.** `"cool_down": "30m"` lets the lane rest, `"cool_down": null` (or `false`) ends its rest and its
    slow recovery. A body with `cool_down` and no limit leaves the limits as they are.
    """

    rate: StrictStr | None = Field(default=None, max_length=50)
    """Messages at most, all workers together: "100/s", "30/min,burst=5", "1000/h", "10000/d"."""
    connections: StrictInt | None = Field(default=None, ge=1, le=1000)
    """SMTP connections at most, for each worker process."""
    messages_per_connection: StrictInt | None = Field(default=None, ge=1, le=100_000)
    for_: DurationInput = Field(default=None, alias="for")
    """The limits end by themselves after this; one second to 365 days."""
    until: AwareDatetime | None = None
    """... or at this time."""
    cool_down: RestInput = None


class RelayOrder(Order):
    """An operator's word about the relay: `"30m"` lets it rest, null (or `false`) has it tried at once."""

    cool_down: RestInput


class _View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, populate_by_name=True)


class LimitView(_View):
    """A limit in force; `from` says whose it is, null when there is none."""

    value: str | int | None
    source: Literal["operator", "provider", "settings"] | None = Field(alias="from")


class LimitsView(_View):
    rate: LimitView
    """For all workers together; as fast as it goes when null."""
    connections: LimitView
    """For each worker process."""
    messages_per_connection: LimitView


class OverrideView(_View):
    """What an operator has set; a limit that is null was not."""

    rate: str | None
    connections: int | None
    messages_per_connection: int | None
    set_by: str
    reason: str
    set_at: datetime | None
    until: datetime | None
    """Ends by itself; null: stays until it is taken back."""


class CoolDownView(_View):
    """A rest: nothing is sent before `until`."""

    until: datetime
    reason: str
    """A name of docs/replies.md, or the operator's words."""
    origin: str
    """`reply`: a server said so; `evidence`: nearly all of its replies did; `session`: it gave no session;
    any other: the operator who ordered it."""


class InForceView(_View):
    """A suspension in force: by an operator's word nothing is sent before `until`."""

    until: datetime
    reason: str
    by: str


class RecoveringView(_View):
    """After a rest: one message each so many seconds, over one connection; each that passes halves it."""

    seconds_between_messages: float
    reason: str


class RefusalView(_View):
    """The last reply that slowed it."""

    reply: str
    at: datetime


class UseView(_View):
    """What all workers together did in the last seconds."""

    connections: int
    attempts_per_minute: float


class LaneView(_View):
    """A lane: a mailbox provider as seen by our relay; what shares one pace."""

    object: Literal["lane"] = "lane"
    lane: str
    domains: list[str]
    """The provider's domains; `hotmail.*` stands for any country's."""
    state: Literal["free", "paced", "cooling_down", "recovering", "suspended"]
    limits: LimitsView
    override: OverrideView | None
    suspension: InForceView | None
    """Of the whole lane; the last to end, if there are several."""
    suspended_domains: list[str]
    """Those that get nothing while the others on this lane do."""
    cool_down: CoolDownView | None
    recovering: RecoveringView | None
    last_refusal: RefusalView | None
    use: UseView
    queued: int | None
    """Open messages of started bulk sends, as of `queued_as_of`; null while they are first counted."""
    links: dict[str, str]


class RelayView(_View):
    """The server that takes our mail."""

    object: Literal["relay"] = "relay"
    name: str
    server: str | None
    state: Literal["working", "cooling_down", "failing"]
    """`cooling_down`: nobody tries it before `cool_down.until`; `failing`: one batch is trying it."""
    failures: int
    """Tries without a session, in a row."""
    next_probe_at: datetime | None
    cool_down: CoolDownView | None
    last_refusal: RefusalView | None
    rate: LimitView
    links: dict[str, str]


class LaneDetails(LaneView):
    """One lane, with the relay behind it."""

    queued_as_of: datetime | None
    relay: RelayView


class LaneList(_View):
    """The lanes: those that rest, recover or are paced first, then by queue."""

    object: Literal["list"] = "list"
    relay: RelayView
    relays: list[str]
    """The names of all relays; `?relay=` asks for another one's lanes."""
    queued_as_of: datetime | None
    has_more: bool
    """There are more than `limit`."""
    data: list[LaneView]
