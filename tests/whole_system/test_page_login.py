"""Who may see the page: this machine without a key, everybody else with one; what a session is good for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.dependencies import ApiConfig
from api.page.access import _PARAMETER, NEEDS
from api.page.app import ROOMS
from api.page.headers import HEADERS
from postwerk.archive import key_orders
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from tests.support.api import Door, open_door
from tests.support.keys import a_key, a_key_never_made, a_revoked_key, an_expired_key
from tests.support.page import ADDRESS, a_browser, a_browser_here


def test_every_address_of_the_page_says_what_it_needs() -> None:
    """What is forgotten is for admins alone; nobody meant that."""
    routes = [route for room in ROOMS for route in room.router.routes]
    calls = [f"{method} {_PARAMETER.sub('{}', route.path)}" for route in routes for method in route.methods]
    assert sorted(calls) == sorted(NEEDS)


async def test_this_machine_needs_no_key_until_there_is_one(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    assert (await browser.get("/")).title.startswith("Overview")

    await a_key(page_door.archive, "read")
    page_door.parts.keys.forget()

    assert (await browser.get("/")).title.startswith("Log in")


async def test_with_the_setting_this_machine_stays_open(page_archive: Archive) -> None:
    await a_key(page_archive, "read")
    async with open_door(page_archive, ApiConfig(open_on_loopback=True)) as door:
        assert (await a_browser_here(door).get("/")).title.startswith("Overview")
        assert (await a_browser(door).get("/")).title.startswith("Log in")


async def test_from_elsewhere_a_key_is_asked_for_and_leads_where_one_wanted_to_go(page_door: Door) -> None:
    key = await a_key(page_door.archive, "read", name="Ada")
    browser = a_browser(page_door)
    asked = await browser.get("/?span=1h")
    assert (asked.status, asked.title) == (200, "Log in · Postwerk")

    inside = await browser.send(asked, "/login", key=key.text)

    assert str(inside.answer.url) == f"{ADDRESS}/?span=1h"
    assert "Ada" in inside.said(".top .right")


@pytest.mark.parametrize("make", [a_revoked_key, an_expired_key])
async def test_a_key_that_has_ended_opens_nothing(page_door: Door, make: object) -> None:
    made = await make(page_door.archive, "admin")  # type: ignore[operator]
    for text in (made.text, a_key_never_made(), "", "x"):
        refused = await a_browser(page_door).log_in(text)
        assert refused.status == 403
        assert "not taken" in refused.said("#key-wrong")


async def test_a_session_ends_with_its_key(page_door: Door) -> None:
    made = await a_key(page_door.archive, "read")
    browser = a_browser(page_door)
    assert (await browser.log_in(made.text)).title.startswith("Overview")
    async with page_door.archive.writing() as connection:
        await key_orders.revoke_key(connection, made.key, Actor("tests"), datetime.now(UTC))
    page_door.parts.keys.forget()
    assert (await browser.get("/")).title.startswith("Log in")


async def test_a_session_ends_by_itself(page_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = a_browser(page_door)
    await browser.log_in((await a_key(page_door.archive, "read")).text)
    later = datetime.now(UTC) + timedelta(hours=12)
    monkeypatch.setattr(page_door.parts, "now", lambda: later)
    assert (await browser.get("/")).title.startswith("Log in")


async def test_who_logs_out_is_out_and_an_old_cookie_is_worth_nothing(page_door: Door) -> None:
    browser = a_browser(page_door)
    inside = await browser.log_in((await a_key(page_door.archive, "read")).text)
    old = browser.http.cookies["postwerk"]

    left = await browser.send(inside, "/logout")

    assert left.notice == "You are logged out."
    browser.http.cookies.set("postwerk", old, domain="mail.example")
    assert (await browser.get("/")).title.startswith("Log in")


async def test_the_cookie_is_new_after_the_login_and_stored_only_as_a_digest(page_door: Door) -> None:
    browser = a_browser(page_door)
    asked = await browser.get("/login")
    before = browser.http.cookies["postwerk"]
    key = await a_key(page_door.archive, "read")
    raw = await browser.http.post(
        "/login",
        data={"token": asked.tree.css_first("input[name=token]").attributes["value"], "key": key.text},
        headers={"origin": ADDRESS},
    )
    after = browser.http.cookies["postwerk"]
    assert after != before
    said = raw.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    async with page_door.archive.reading() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM page_session")).all()
    assert len(rows) == 1
    assert after not in str(rows)
    assert key.text not in str(rows)


async def test_over_https_no_other_host_can_set_the_cookie(page_door: Door) -> None:
    browser = a_browser(page_door, address="https://mail.example")
    answer = await browser.http.get("/login")
    said = answer.headers["set-cookie"]
    assert said.startswith("__Host-postwerk=")
    assert "Secure" in said
    assert "Domain" not in said


async def test_a_session_is_good_for_nothing_but_the_page(page_door: Door) -> None:
    """A call of the API with a cookie could be made by any page that a browser shows."""
    browser = a_browser(page_door)
    await browser.log_in((await a_key(page_door.archive, "admin")).text)
    assert (await browser.http.get("/v1/bulk-sends")).status_code == 401


async def test_every_page_has_the_strict_headers(page_door: Door) -> None:
    browser = a_browser(page_door)
    for path in ("/login", "/", "/static/none.css"):
        answer = await browser.http.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
    style = (await browser.get("/login")).tree.css_first("link[rel=stylesheet]").attributes["href"]
    answer = await browser.http.get(style)
    assert answer.headers["cache-control"].endswith("immutable")
    again = await browser.http.get(style, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("next_", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/\t/x"])
async def test_the_login_leads_to_no_other_site(page_door: Door, next_: str) -> None:
    key = await a_key(page_door.archive, "read")
    browser = a_browser(page_door)
    inside = await browser.send(await browser.get("/login"), "/login", key=key.text, next=next_)
    assert str(inside.answer.url) == f"{ADDRESS}/"


async def test_a_form_of_another_site_or_without_its_token_does_nothing(page_door: Door) -> None:
    key = await a_key(page_door.archive, "read")
    browser = a_browser(page_door)
    asked = await browser.get("/login")
    token = asked.tree.css_first("input[name=token]").attributes["value"]
    good = {"token": token, "key": key.text}
    foreign = [{"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}, {"origin": "null"}]
    foreign += [{"origin": "http://evil.example", "sec_fetch_site": ""}, {"origin": "", "sec_fetch_site": ""}]
    for headers in foreign:
        assert (await browser.post("/login", good, **headers)).status == 403, headers
    other = await a_browser(page_door).get("/login")
    for wrong in ("", "x", "é", other.tree.css_first("input[name=token]").attributes["value"]):
        assert (await browser.post("/login", good | {"token": wrong})).status == 403
    assert (await browser.post("/login", good)).title.startswith("Overview")


async def test_what_is_not_there_and_what_is_away_is_said_in_the_page(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    missing = await browser.get("/static/none/none")
    assert (missing.status, missing.said("main h1")) == (404, "There is no such thing here")
    async with page_door.archive.writing() as connection:
        await connection.exec_driver_sql("DROP TABLE api_key")
    away = await browser.get("/login")
    assert away.status == 503
    assert "Refresh" in away.answer.headers


async def test_a_link_on_another_site_costs_nobody_his_session(page_door: Door) -> None:
    """The browser keeps the cookie back then; a new one would take the place of the session's."""
    browser = a_browser(page_door)
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    for path in ("/?span=1h", "/login"):
        answer = await browser.http.get(path, headers=elsewhere)
        assert (answer.status_code, answer.headers["refresh"]) == (200, "0")
        assert "set-cookie" not in answer.headers
        assert f'href="{path}"' in answer.text
    assert (await browser.http.get("/login")).headers["set-cookie"]


async def test_who_brings_the_cookie_along_is_let_in_from_wherever(page_door: Door) -> None:
    browser = a_browser(page_door)
    await browser.log_in((await a_key(page_door.archive, "read")).text)
    answer = await browser.http.get("/", headers={"sec-fetch-site": "cross-site"})
    assert "In the queue" in answer.text
