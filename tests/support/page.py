"""The page as a browser without scripts uses it: read its HTML, follow its links, send its forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
from selectolax.lexbor import LexborHTMLParser, LexborNode

from api.app import create_app
from tests.support.api import Door
from tests.support.keys import ELSEWHERE

ADDRESS = "http://mail.example"
MULTIPART = "multipart/form-data"
_BOUNDARY = "----a-boundary-of-tests"


@dataclass(frozen=True, slots=True)
class Screen:
    """A page that came back."""

    answer: httpx2.Response
    tree: LexborHTMLParser

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def text(self) -> str:
        """What a person reads, blanks and line ends made one."""
        body = self.tree.body
        return " ".join(body.text(separator=" ").split()) if body else ""

    @property
    def title(self) -> str:
        return self.said("title")

    @property
    def notice(self) -> str:
        """What it says was done; empty for nothing."""
        return self.said("main > .notice")

    def said(self, selector: str) -> str:
        """The text of the first such element; empty when there is none."""
        found = self.tree.css_first(selector)
        return "" if found is None else " ".join(found.text(separator=" ").split())

    def all(self, selector: str) -> list[str]:
        return [" ".join(one.text(separator=" ").split()) for one in self.tree.css(selector)]

    def form(self, action: str) -> LexborNode:
        """The form that is sent there."""
        forms = [one for one in self.tree.css("form") if urlsplit(_of(one, "action")).path == action]
        assert forms, f"no form for {action} among {[_of(one, 'action') for one in self.tree.css('form')]}"
        return forms[0]

    def offers(self, action: str) -> bool:
        """Whether there is a form that is sent there."""
        return any(urlsplit(_of(one, "action")).path == action for one in self.tree.css("form"))

    def link(self, words: str) -> str:
        """Where the link with these words leads."""
        found = [one for one in self.tree.css("a[href]") if " ".join(one.text().split()) == words]
        assert found, f"no link {words!r}"
        return _of(found[0], "href")


class Browser:
    """Keeps cookies, follows what it is told to, and says where its forms stood."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str) -> Screen:
        return _screen(await self.http.get(path, follow_redirects=True))

    async def send(self, screen: Screen, action: str, **fields: Any) -> Screen:
        """Send one of a screen's forms, some of its fields changed; None leaves one out.

        A file is a pair of its name and its bytes, several are a list of them.
        """
        form = screen.form(action)
        given = _fields(form) | {name.rstrip("_"): value for name, value in fields.items()}
        data = {name: value for name, value in given.items() if value is not None}
        address = urljoin(str(screen.answer.url), _of(form, "action"))
        if _of(form, "enctype") == MULTIPART:
            body, kind = as_multipart(data)
            return await self.post(address, body, content_type=kind)
        return await self.post(address, data)

    async def post(self, path: str, data: dict[str, Any] | bytes, **headers: str) -> Screen:
        """Post as from a form of this site, unless the headers say otherwise."""
        own = f"{self.http.base_url.scheme}://{self.http.base_url.netloc.decode()}"
        said = {"origin": own, "sec-fetch-site": "same-origin"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        said = {name: value for name, value in said.items() if value}
        body: dict[str, Any] = {"content": data} if isinstance(data, bytes) else {"data": data}
        return _screen(await self.http.post(path, **body, headers=said, follow_redirects=True))

    async def log_in(self, key: str) -> Screen:
        return await self.send(await self.get("/login"), "/login", key=key)


def a_browser(door: Door, *, peer: str = ELSEWHERE, address: str = ADDRESS) -> Browser:
    """One on another machine, unless told."""
    transport = httpx2.ASGITransport(create_app(door.parts), client=(peer, 5000))
    return Browser(httpx2.AsyncClient(transport=transport, base_url=address))


def a_browser_here(door: Door) -> Browser:
    """One on this machine itself."""
    return Browser(door.http)


def _screen(answer: httpx2.Response) -> Screen:
    return Screen(answer, LexborHTMLParser(answer.text))


def as_multipart(data: dict[str, Any]) -> tuple[bytes, str]:
    """Fields and files in the order in which they stand there, and the content type."""
    lines: list[bytes] = []
    for name, values in data.items():
        for value in values if isinstance(values, list) else [values]:
            named, content = f'name="{name}"', value
            if isinstance(value, tuple):
                named, content = f'name="{name}"; filename="{value[0]}"', value[1]
            head = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {named}\r\n\r\n"
            lines += [head.encode(), content if isinstance(content, bytes) else _typed(content), b"\r\n"]
    return b"".join([*lines, f"--{_BOUNDARY}--\r\n".encode()]), f"{MULTIPART}; boundary={_BOUNDARY}"


def _typed(text: object) -> bytes:
    """Line ends as browsers send them."""
    return str(text).replace("\r\n", "\n").replace("\n", "\r\n").encode()


def _fields(form: LexborNode) -> dict[str, Any]:
    """As a browser would send them untouched; where a name comes several times, a list."""
    found: dict[str, Any] = {}
    for one in form.css("input[name], textarea[name], select[name]"):
        kind, name = one.attributes.get("type"), _of(one, "name")
        if kind in ("checkbox", "radio") and "checked" not in one.attributes:
            continue
        value: Any = ("", b"") if kind == "file" else _value(one)
        before = found.get(name)
        found[name] = (
            value if before is None else [*(before if isinstance(before, list) else [before]), value]
        )
    return found


def _value(field: LexborNode) -> str:
    if field.tag == "select":
        return _chosen(field)
    if field.tag == "textarea":  # of which a browser drops the first line end
        return field.text().removeprefix("\n")
    return _of(field, "value")


def _chosen(select: LexborNode) -> str:
    option = select.css_first("option[selected]") or select.css_first("option")
    if option is None:
        return ""
    return _of(option, "value") if "value" in option.attributes else option.text()


def _of(node: LexborNode, name: str) -> str:
    return node.attributes.get(name) or ""
