"""Calls of the HTTP API over the standard library: half of the start-up time of a client library is saved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from postwerk.cli.client.errors import Misused, NoAnswer, OtherVersion, Refused, Unreachable

PATIENCE_SECONDS = 60.0
_CONNECT_SECONDS = 10.0
_GATEWAY = (502, 504)
_NO_KEY = 401
_WHERE_KEYS_ARE = "put it into POSTWERK_API_KEY, or its file's name after --api-key-file."
_NO_SUCH_CALL = ("Not Found", "Method Not Allowed")
"""Its framework's own words; what is only missing is said in other ones."""
_LARGEST_PROBLEM = 1024 * 1024

Query = Mapping[str, Any]


def segment(text: str) -> str:
    """A piece of a path, whatever it holds."""
    return quote(text, safe="@")


class Api:
    """The API at one address, spoken to as one person. `key`, if any, is sent as a bearer token."""

    def __init__(self, url: str, user: str, key: str = "", patience: float = PATIENCE_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._place = _checked(self.url)
        self._headers = {"Postwerk-User": user, "Accept": "application/json", "User-Agent": "postwerk-cli"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._patience = patience
        self._kept: HTTPConnection | None = None

    def get(self, path: str, query: Query | None = None) -> Any:
        return _document(self._ask("GET", path, query))

    def raw(self, path: str) -> bytes:
        """The bytes of something that is no JSON."""
        return self._ask("GET", path, None)

    def call(
        self, method: str, path: str, body: Any = None, query: Query | None = None, key: str = ""
    ) -> Any:
        """A call with a JSON body, or none; `key`: its Idempotency-Key."""
        encoded = b"" if body is None else json.dumps(body).encode()
        kind = "application/json" if encoded else ""
        return _document(self._ask(method, path, query, encoded, kind, key))

    def delete(self, path: str) -> None:
        """A call that has nothing to answer."""
        self._ask("DELETE", path, None)

    def upload(self, path: str, body: bytes, kind: str, key: str = "") -> Any:
        return _document(self._ask("POST", path, None, body, kind, key))

    def pages(self, path: str, query: Query, limit: int, most: int = 1000) -> Iterator[dict[str, Any]]:
        """Page after page, up to `limit` entries (0: all); `most` is what a page may hold."""
        left, after = limit, None
        while True:
            size = min(most, left) if limit else most
            page = self.get(path, {**query, "limit": size, **({"after": after} if after else {})})
            yield page
            left -= len(page["data"])
            after = page.get("next")
            if not page["has_more"] or not after or (limit and left <= 0):
                return

    def lines(self, path: str, query: Query, *, last_event_id: str | None = None) -> Iterator[str]:
        """A stream, line by line, on a connection of its own. Raises NoAnswer when it breaks off."""
        self.close()
        target = f"{self._place.path}{path}?{urlencode(_plain(query), doseq=True)}"
        own = {"Accept": "text/event-stream", "Last-Event-ID": last_event_id or ""}
        headers = self._headers | {name: value for name, value in own.items() if value}
        answer = self._sent("GET", target, b"", headers)
        if answer.status >= 300:
            self._taken(answer, f"GET {path}")
        try:
            for line in answer:
                yield line.decode().rstrip("\r\n")
        except (OSError, HTTPException) as error:
            raise NoAnswer(f"The stream of {self.url} broke off: {_words(error)}.") from error
        finally:
            self.close()

    def _ask(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: bytes = b"",
        kind: str = "",
        key: str = "",
    ) -> bytes:
        target = self._place.path + path + (f"?{urlencode(_plain(query), doseq=True)}" if query else "")
        own = {"Content-Type": kind, "Idempotency-Key": key}
        headers = self._headers | {name: value for name, value in own.items() if value}
        if method != "GET":
            # On a fresh connection: if the server had closed an old one meanwhile, nobody could tell
            # whether it did what was asked.
            self.close()
        answer = self._sent(method, target, body, headers)
        return self._taken(answer, f"{method} {path}")

    def _sent(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        reused = self._kept is not None
        connection = self._kept or self._connected()
        try:
            connection.request(method, target, body or None, dict(headers))
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            self.close()
            if reused:  # only ever a GET
                return self._sent(method, target, body, headers)
            raise NoAnswer(
                f"The API at {self.url} was asked ({method}) and gave no answer: {_words(error)}."
            ) from error

    def _connected(self) -> HTTPConnection:
        connection = self._connection()
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(
                f"No API answers at {self.url} ({_words(error)}). "
                "Start one (python -m postwerk dev), or name it with --api or POSTWERK_API_URL."
            ) from error
        if connection.sock:
            connection.sock.settimeout(self._patience)
        self._kept = connection
        return connection

    def _connection(self) -> HTTPConnection:
        host, port = self._place.hostname or "", self._place.port
        if self._place.scheme == "https":
            from http.client import (
                HTTPSConnection,
            )  # TLS costs start-up time; most speak to their own machine

            return HTTPSConnection(host, port, timeout=_CONNECT_SECONDS)
        return HTTPConnection(host, port, timeout=_CONNECT_SECONDS)

    def _taken(self, answer: HTTPResponse, call: str) -> bytes:
        try:
            body = answer.read() if answer.status < 300 else answer.read(_LARGEST_PROBLEM)
        except (OSError, HTTPException) as error:
            self.close()
            raise NoAnswer(f"The answer of {self.url} broke off: {_words(error)}.") from error
        if answer.status < 300:
            return body
        self.close()
        raise self._refusal(answer, body, call)

    def _refusal(self, answer: HTTPResponse, body: bytes, call: str) -> Exception:
        problem = _problem(body)
        if problem is not None and problem["detail"] in _NO_SUCH_CALL:
            problem["detail"] = f"The API at {self.url} knows no {call}: is it older than this command?"
        if problem is not None and answer.status == _NO_KEY and "Authorization" not in self._headers:
            problem["detail"] = f"The API at {self.url} wants an API key: {_WHERE_KEYS_ARE}"
        if problem is None and answer.status in _GATEWAY:
            return Unreachable(
                f"What stands before the API at {self.url} does not reach it ({answer.status})."
            )
        if problem is None:
            problem = {
                "detail": f"{self.url} answers {answer.status} {answer.reason}: is that Postwerk's API?"
            }
        return Refused(answer.status, problem)

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _checked(url: str) -> SplitResult:
    """Raises Misused for what is no address of an API."""
    try:
        place = urlsplit(url)
        usable = place.scheme in ("http", "https") and bool(place.hostname) and place.port != 0
    except ValueError:
        usable = False
    if not usable or place.query or place.fragment or place.username or not url.isprintable() or " " in url:
        raise Misused("The API's address must look like http://host:8000 or https://host/path.")
    return place


def _plain(query: Query | None) -> dict[str, Any]:
    """Parameters as the API reads them; what is None is left out."""
    found = {name: value for name, value in (query or {}).items() if value is not None}
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in found.items()}


def _document(body: bytes) -> Any:
    """Every document of the API says which kind of `object` it is. Raises Unreachable for any other."""
    found = _parsed(body)
    if not isinstance(found, dict) or "object" not in found:
        raise Unreachable(
            "What answers there is not Postwerk's API: its answer is none of Postwerk's documents."
        )
    return found


def _problem(body: bytes) -> dict[str, Any] | None:
    found = _parsed(body)
    return found if isinstance(found, dict) and "detail" in found else None


def _parsed(body: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(body, object_hook=_Object)
    except ValueError:
        return None


class _Object(dict[str, Any]):
    """An object of an answer. A field it lacks is no fault of this command."""

    def __missing__(self, name: str) -> Any:
        raise OtherVersion(
            f"The API's answer lacks the field {name!r}: it is of another version than this command."
        )


def _words(error: Exception) -> str:
    """What the system says, without its number."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
