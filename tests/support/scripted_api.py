"""An API that says what it is told, for what a real one says only after minutes, or never."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = tuple[int, dict[str, Any]]


class ScriptedApi:
    """`with ScriptedApi({"GET /v1/lanes": [(200, {...})]}) as api:` the last answer of a call repeats."""

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        self.asked: list[tuple[str, Any]] = []
        """Method and path of each call with its body; what is behind a question mark included."""
        self._left = {call: list(script) for call, script in answers.items()}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def answer(self, method: str, target: str, body: Any) -> Answer:
        self.asked.append((f"{method} {target}", body))
        script = self._left.get(f"{method} {target.partition('?')[0]}")
        if script is None:
            return 404, {"detail": "Not Found", "status": 404}
        return script.pop(0) if len(script) > 1 else script[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(api: ScriptedApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _say(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, document = api.answer(self.command, self.path, json.loads(body) if body else None)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _say

        def log_message(self, *_words: Any) -> None:
            """Not a word."""

    return Handler
