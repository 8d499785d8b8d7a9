"""Style and script: under names that change with what is in them, so that browsers keep them for ever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One of them, in memory."""

    name: str
    """With its hash: `style.0123456789ab.css`."""
    etag: str
    media_type: str
    content: bytes


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return StaticFile(f"{path.stem}.{digest}{path.suffix}", f'"{digest}"', _TYPES[path.suffix], content)


_FILES = {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES}
BY_NAME = {file.name: file for file in _FILES.values()}


def address_of(name: str) -> str:
    """Where a file is, by its plain name: `style.css`."""
    return f"/static/{_FILES[name].name}"
