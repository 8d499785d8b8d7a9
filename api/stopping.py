"""Being told early that this process is to stop: the server waits for answers that would never end."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def told_of_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the event loop at a signal that ends the process, before whoever handled it so far."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled elsewhere, or not at all
        return
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}

    def tell(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        handler = handlers[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)

    handled = [number for number, handler in handlers.items() if callable(handler)]
    for number in handled:
        signal.signal(number, tell)
    try:
        yield
    finally:
        for number in handled:
            if signal.getsignal(number) is tell:
                signal.signal(number, handlers[number])
