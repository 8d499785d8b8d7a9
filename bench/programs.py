"""Programs of Debian that the measurements need, and a place where all of them may work."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATH = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"


class Missing(Exception):
    """A program is not installed, or may not be used by us; says what to do."""


def program(name: str) -> str:
    """Its path. Raises Missing."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise Missing(f"bench needs {name}, which is not here: apt-get install postfix")
    return found


def need_programs(*names: str) -> None:
    """Better now than after five minutes of measuring."""
    for name in names:
        program(name)
    if "postfix" in names and os.geteuid() != 0:
        raise Missing("bench must be root to start a Postfix of its own; without it: python -m bench send")


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory on the same disk for everyone, which other users may enter; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="postwerk-bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
