"""A process that has imported everything once, and forks itself into each program that a test starts.

Most of what a test of whole processes costs is their imports: two seconds each. Started by
tests/support/forking.py, which tells it what to become; programs begin at their first line, as ever.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from typing import Any, NamedTuple

PASSED_ON = 4
"""With each order: standard input, output and error, and where to tell of its end."""
_IMPORTED = (
    "api.app",
    "postwerk.cli.main",
    "postwerk.sandbox.cli",
    "uvicorn.__main__",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "worker",
)
_LONGEST_ORDER = 1024 * 1024


class _Child(NamedTuple):
    pid: int
    answers: socket.socket


def import_everything() -> None:
    """What the programs import; none of it may have started a thread, which a fork would lose."""
    for module in _IMPORTED:
        importlib.import_module(module)
    del sys.modules["worker"]  # it is run as the first file
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, every page


def serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each order until nobody gives any; answers, in the fork, what it is to become."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if isinstance(key.data, _Child):
                selector.unregister(key.fd)
                os.close(key.fd)
                _tell_of_its_end(key.data)
                continue
            order, fds, _flags, _address = socket.recv_fds(control, _LONGEST_ORDER, PASSED_ON)
            if not order:
                os._exit(0)
            if (pid := os.fork()) == 0:
                _let_go(selector)
                _take(fds)
                return dict(json.loads(order))
            child = _Child(pid, socket.socket(fileno=fds[3]))
            for fd in fds[:3]:
                os.close(fd)
            child.answers.sendall(b"%d\n" % pid)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, child)


def _tell_of_its_end(child: _Child) -> None:
    _, status = os.waitpid(child.pid, 0)
    with child.answers:
        try:
            child.answers.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        except BrokenPipeError:
            return  # nobody asked any more


def _let_go(selector: selectors.BaseSelector) -> None:
    """Of everything that is not the new program's."""
    for key in list(selector.get_map().values()):
        if isinstance(key.data, _Child):
            key.data.answers.close()
            os.close(key.fd)
        else:
            key.fileobj.close()  # type: ignore[union-attr]
    selector.close()


def _take(fds: list[int]) -> None:
    os.setsid()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def become(order: dict[str, Any]) -> None:
    """Run `python -m MODULE ARGUMENTS` from here on."""
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.path[0] = order["folder"]
    sys.argv = [order["module"], *order["arguments"]]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    channel = socket.socket(fileno=int(sys.argv[1]))
    import_everything()
    channel.sendall(b"ready\n")
    become(serve(channel))
