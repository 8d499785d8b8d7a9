"""Filters as operators write them, and whom the model takes each to mean: at least those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.queue_model import Mail, Model, Send

Meant = Callable[[Send, Mail], bool]
WAYS = ("id", "ids", "bulk", "bulk", "domain", "provider", "state", "bulk and state", "code", "age", "all")
_SOME = 20


def a_filter(model: Model, way: str, pick: int) -> tuple[dict[str, Any], Meant]:
    """`pick` chooses the bulk send and the message among those of the model."""
    send, mail = pick_message(model, pick)
    some = [one for one in send.mails if one % 3 == pick % 3][:_SOME] or [mail.seq]
    one, domain = f"{send.id}.{mail.seq}", mail.domain
    filters: dict[str, tuple[dict[str, Any], Meant]] = {
        "id": ({"ids": [one]}, lambda s, m: (s.id, m.seq) == (send.id, mail.seq)),
        "ids": (
            {"ids": [f"{send.id}.{seq}" for seq in some]},
            lambda s, m: s.id == send.id and m.seq in some,
        ),
        "bulk": ({"bulk": send.id}, lambda s, m: s.id == send.id),
        "domain": ({"domain": domain}, lambda s, m: m.domain == domain),
        "provider": ({"provider": "gmail.com"}, lambda s, m: m.domain == "gmail.com"),
        "state": ({"state": "deferred"}, lambda s, m: True),
        "bulk and state": (
            {"bulk": send.id, "state": ["queued", "deferred", "sending"]},
            lambda s, m: s.id == send.id,
        ),
        "code": ({"code": "4xx"}, lambda s, m: True),
        "age": ({"older_than": "1s"}, lambda s, m: True),
        "all": ({"all": True}, lambda s, m: True),
    }
    return filters[way]


def pick_message(model: Model, pick: int) -> tuple[Send, Mail]:
    """A send under way if there is one; among the latest."""
    sends = list(model.sends.values())
    live = [send for send in sends if not send.settled] or sends[-3:]
    send = live[pick % len(live)]
    mails = list(send.mails.values())
    return send, mails[pick * 7 % len(mails)]
