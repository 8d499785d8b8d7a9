"""What a command answers: lines for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def print_json(document: Any) -> None:
    """One document over several lines. Everything but ASCII is escaped, so no terminal is at risk."""
    print(json.dumps(document, indent=2))


def print_json_line(document: Mapping[str, Any]) -> None:
    """One of many: JSON Lines."""
    print(json.dumps(document, separators=(",", ":")))
