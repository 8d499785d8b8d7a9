"""A proxy before the API that hangs up instead of answering certain calls, and notes who called."""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit


class Interfering:
    """`with Interfering(api.url, "/start") as proxy:` hangs up on paths that end so, `times` times.

    With `hears` the API hears these calls, and its answers are lost.
    """

    def __init__(
        self, target: str, ending: str = "/nothing", times: int = 1000, *, hears: bool = False
    ) -> None:
        self.headers: list[dict[str, str]] = []
        """Of each call, names in lower case."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, target, ending, times, hears))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(
    proxy: Interfering, target: str, ending: str, times: int, hears: bool
) -> type[BaseHTTPRequestHandler]:
    left = [times]

    class Handler(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            proxy.headers.append({name.lower(): value for name, value in self.headers.items()})
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            lost = self.path.endswith(ending) and left[0] > 0
            left[0] -= lost
            self.close_connection = lost
            if lost and not hears:
                return
            upstream = HTTPConnection(urlsplit(target).netloc, timeout=30)
            upstream.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if lost:
                return
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers.get("content-type") or "text/plain")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

        def log_message(self, *_words: Any) -> None:
            """Not a word."""

    return Handler
