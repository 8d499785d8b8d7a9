"""Whatever others say stays text: in every screen and attribute, under a policy that would run nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from selectolax.lexbor import LexborNode
from sqlalchemy import text

from api.page.headers import HEADERS
from tests.support.api import Door
from tests.support.hostile import NAUGHTY
from tests.support.page import Browser, Screen, a_browser_here
from tests.support.queue_scenes import a_lively_queue, set_everywhere

HOSTILE = "".join(
    [
        "'\"><xss-here onclick=x()>",
        "</script></style></title></textarea></pre></option><script>x()</script>",
        "<img src=x onerror=x()><svg onload=x()><iframe srcdoc='<b>'>javascript:x()",
        *(one for one in NAUGHTY if one.isprintable() and len(one) < 100),
    ]
)
PLAIN = "plain words"
BEGIN = ("/", "/queue", "/events", "/operations", "/audit", "/suppressions", "/queue?state=bounced")
MOST_SCREENS = 60
_ID = re.compile(r"(bulk|op|evt|aud)_[0-9a-z]{26}(\.\d+)?")
_SAFE = re.compile(r"(/(?!/)|\?|#|data:image/|http://127\.0\.0\.1)")


@dataclass
class Walk:
    """All screens that links lead to: which elements and attributes there are in them, by kind of screen."""

    shapes: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    screens: list[Screen] = field(default_factory=list)

    def see(self, kind: str, screen: Screen) -> None:
        self.screens.append(screen)
        shape = self.shapes.setdefault(kind, set())
        for node in screen.tree.css("*"):
            tag = node.tag or ""
            shape |= {(tag, ""), *((tag, name) for name in node.attributes)}


async def test_nothing_of_it_becomes_an_element_an_attribute_or_a_link(page_door: Door) -> None:
    plain, hostile = await walk(page_door, PLAIN), await walk(page_door, HOSTILE)

    assert len(hostile.shapes) > 15, sorted(hostile.shapes)
    known = set[tuple[str, str]]().union(*plain.shapes.values())
    for kind, shape in hostile.shapes.items():
        assert shape <= known, (kind, shape - known)
    for screen in hostile.screens:
        scripts = screen.tree.css("script")
        assert [one.attributes.get("src", "").partition(".")[0] for one in scripts] == ["/static/page"]
        assert not screen.tree.css("style, [style]")
        assert [link for link in links(screen) if not _SAFE.match(link)] == []
    assert sum("<xss-here" in screen.tree.body.text() for screen in hostile.screens if screen.tree.body) > 15


async def walk(door: Door, words: str) -> Walk:
    bulk_id = await a_hostile_queue(door, words)
    browser, found = a_browser_here(door), Walk()
    todo, seen = [*BEGIN, f"/messages/{bulk_id}.1?tab=variables"], set[str]()
    while todo and len(seen) < MOST_SCREENS:
        path = todo.pop(0)
        if (kind := kind_of(path)) in seen:
            continue
        seen.add(kind)
        screen = await browser.get(path)
        if screen.answer.headers.get("content-type", "").startswith("text/html"):
            assert screen.status < 500, path
            check_headers(path, screen)
            if not path.endswith("/html"):
                found.see(kind, screen)
                todo += ways_on(screen)
    for verb in ("hold", "cancel"):
        screen = await asked(browser, bulk_id, verb, words)
        found.see(f"asked to {verb}", screen)
    return found


def ways_on(screen: Screen) -> list[str]:
    return [link for link in links(screen, "a[href]") if link.startswith("/") and link != "/docs"]


def kind_of(path: str) -> str:
    """Screens of one kind are looked at once: ids and values left out."""
    place, _, query = path.partition("?")
    names = sorted({part.partition("=")[0] for part in query.partition("#")[0].split("&")})
    tab = re.search(r"tab=\w+", query)
    return f"{_ID.sub('ID', place.partition('#')[0])}?{tab[0] if tab else ','.join(names)}"


def check_headers(path: str, screen: Screen) -> None:
    policy = screen.answer.headers["content-security-policy"]
    if path.endswith("/html"):
        assert policy.startswith("sandbox; default-src 'none';")
    else:
        assert policy == HEADERS["Content-Security-Policy"]
    assert screen.answer.headers["x-content-type-options"] == "nosniff"


async def asked(browser: Browser, bulk_id: str, verb: str, words: str) -> Screen:
    """The page that asks for a reason, refused once with what was typed."""
    page = await browser.get("/queue")
    fields = {"verb": verb, "tick": f"{bulk_id}.6"}
    once = await browser.send(page, "/queue/confirm", **fields)
    return await browser.send(once, "/queue/do", why=f"{words}\x07")


def links(screen: Screen, selector: str = "[href], [src], [action]") -> list[str]:
    return [one for node in screen.tree.css(selector) for one in _targets(node)]


def _targets(node: LexborNode) -> Iterator[str]:
    for name in ("href", "src", "action"):
        if value := node.attributes.get(name):
            yield value


async def a_hostile_queue(door: Door, words: str) -> str:
    """A send of which everything that others say is this."""
    mail = {"subject": words.replace("{", "("), "text": "Dear {{ to }}", "headers": {}}
    bulk_id = await a_lively_queue(door.archive, **mail)
    await set_everywhere(door.archive, bulk_id, words)
    async with door.archive.writing() as connection:
        where = {"id": bulk_id, "words": words}
        await connection.execute(
            text("UPDATE message SET address = seq || :words || '@gmx.de' WHERE bulk_id = :id"), where
        )
        await connection.execute(
            text("UPDATE message SET late = 1, complained_at = changed_at WHERE bulk_id = :id AND seq = 4"),
            where,
        )
    await _orders(door, bulk_id, words)
    return bulk_id


async def _orders(door: Door, bulk_id: str, words: str) -> None:
    said: dict[str, Any] = {"reason": words[:500]}
    headers = {"Postwerk-User": words[:100]}
    held = await door.http.post(f"/v1/messages/{bulk_id}.1/hold", json=said, headers=headers)
    assert held.status_code == 200, held.text
    listed = {"address": "ada@gmx.de", "reason": "manual", "detail": words}
    assert (await door.http.post("/v1/suppressions", json=listed, headers=headers)).status_code == 200
    paused = await door.http.post(f"/v1/bulk-sends/{bulk_id}/pause", json=said, headers=headers)
    assert paused.status_code == 202, paused.text
