"""Events as they happen: a stream that is opened again where it broke off."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from postwerk.cli.client.errors import Refused, Unreachable
from postwerk.cli.client.http import Api
from postwerk.cli.client.terminal import safe, say

_AGAIN_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
_AWAY = 503


def followed_events(
    api: Api, path: str, query: Mapping[str, Any], after: str | None
) -> Iterator[dict[str, Any]]:
    """For ever. An API that is away for less than a minute ends nobody's watch, and nothing is missed."""
    seen, patient_until = after, 0.0
    while True:
        try:
            for block in _blocks(api.lines(path, {**query, "after": after}, last_event_id=seen)):
                patient_until = 0.0
                seen = block.get("id", seen)
                if "data" in block:
                    yield json.loads(block["data"])
        except (Unreachable, Refused) as error:
            if isinstance(error, Refused) and error.status != _AWAY:
                raise
            now = time.monotonic()
            patient_until = patient_until or now + _PATIENCE_SECONDS
            if seen is None or now > patient_until:
                raise
            say(safe(error))
        time.sleep(_AGAIN_SECONDS)


def _blocks(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The fields of each block of lines; a comment has none. One that broke off is none either."""
    block: dict[str, str] = {}
    for line in lines:
        if not line:
            yield block
            block = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            block[name] = value.removeprefix(" ")
