"""The fields of the form that a send is written in: in their order, with what the API calls them."""

from __future__ import annotations

from typing import NamedTuple

from api.page.forms import Form


class Field(NamedTuple):
    """A field of the form, and the part of the API's request that it stands for (a JSON pointer)."""

    name: str
    pointer: str
    section: str
    """Of the page; what is folded there is open when something of it is said."""


FIELDS = (
    Field("name", "#/name", "content"),
    Field("tags", "#/metadata/tags", "content"),
    Field("template", "#/template", "content"),
    Field("version", "#/template/version", "content"),
    Field("from", "#/from", "content"),
    Field("reply_to", "#/reply_to", "content"),
    Field("subject", "#/subject", "content"),
    Field("html", "#/html", "content"),
    Field("text", "#/text", "content"),
    Field("files", "#/attachments", "content"),
    Field("unsubscribe", "#/list_unsubscribe", "content"),
    Field("unsubscribe_url", "#/list_unsubscribe/url", "content"),
    Field("unsubscribe_mailto", "#/list_unsubscribe/mailto", "content"),
    Field("rate", "#/rate", "when"),
    Field("zone", "#/window/time_zone", "when"),
    Field("send_at", "#/send_at", "when"),
    Field("expires_at", "#/expires_at", "when"),
    Field("window_days", "#/window/days", "window"),
    Field("window_start", "#/window/start", "window"),
    Field("window_end", "#/window/end", "window"),
    Field("notify_to", "#/notify/to", "notify"),
    Field("notify_on", "#/notify/on", "notify"),
    Field("notify_mode", "#/notify/mode", "notify"),
    Field("variables", "#/variables", "data"),
    Field("metadata", "#/metadata", "data"),
    Field("headers", "#/headers", "data"),
    Field("inline_css", "#/inline_css", "data"),
    Field("return_path", "#/return_path", "carrying"),
    Field("relay", "#/relay", "carrying"),
    Field("deadline", "#/deadline", "carrying"),
    Field("retry", "#/retry", "carrying"),
    Field("on_ambiguous", "#/on_ambiguous", "carrying"),
    Field("auto_pause", "#/auto_pause", "carrying"),
    Field("dkim", "#/dkim", "carrying"),
    Field("recipients_per_child", "#/recipients_per_child", "carrying"),
)
_ALSO = {"#/window": "window_start", "#/template/id": "template"}
_BY_POINTER = {field.pointer: field.name for field in FIELDS} | _ALSO

Wrong = dict[str, str]
"""Why a field cannot be taken, by its name; "" for what is about no field."""


def field_at(pointer: str) -> str:
    """The field that a pointer leads into; empty when there is none."""
    while pointer not in _BY_POINTER and pointer != "#":
        pointer = pointer.rpartition("/")[0] or "#"
    return _BY_POINTER.get(pointer, "")


def first_of(wrong: Wrong) -> str:
    """The field that comes first on the page."""
    return next((field.name for field in FIELDS if field.name in wrong), "")


_USUAL = {"notify_on": ["failure", "completion"], "zone": ["UTC"], "notify_mode": ["digest"]}


def open_sections(form: Form, wrong: Wrong) -> set[str]:
    """Those of which something is said that is not usual, or is wrong."""
    said = {
        field.section
        for field in FIELDS
        if any(form.all(field.name)) and form.all(field.name) != _USUAL.get(field.name)
    }
    return said | {field.section for field in FIELDS if field.name in wrong}
