"""Operations, the audit trail, events and the suppression list on the page."""

from __future__ import annotations

from tests.support.api import Door
from tests.support.keys import a_key
from tests.support.page import a_browser, a_browser_here
from tests.support.queue_scenes import a_lively_queue


async def test_operations_and_the_audit_trail_tell_who_did_what_and_why(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    order = {"filter": {"bulk": bulk_id, "domain": "gmx.de"}, "reason": "wrong price"}
    await page_door.http.post("/v1/queue/hold", json=order, headers={"Postwerk-User": "alice"})
    browser = a_browser_here(page_door)

    listed = (await browser.get("/operations")).said("tbody tr")
    for words in ("hold", "done", "alice", "wrong price", "domain gmx.de"):
        assert words in listed
    audit = (await browser.get("/audit")).said("tbody tr")
    for words in ("alice api", "queue.hold", "domain gmx.de", "wrong price"):
        assert words in audit
    assert (await browser.get("/audit?by=bob")).said(".empty") == "There is no such entry."
    assert (await browser.get("/audit?by=alice&action=queue.hold")).all("tbody tr") == [audit]
    assert (await browser.get("/operations/op_none")).status == 404
    assert (await browser.get("/audit?after=x")).status == 422


async def test_an_address_is_suppressed_searched_and_taken_off(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    screen = await browser.get("/suppressions")
    wrong = await browser.post("/suppressions", {"token": _token(screen), "address": "no address"})
    assert wrong.status == 422
    assert wrong.said("#address-wrong")
    assert wrong.tree.css_first("#address").attributes["value"] == "no address"

    done = await browser.post(
        "/suppressions", {"token": _token(wrong), "address": "Ada@GMX.de", "reason": "manual"}
    )
    assert "gets no mail any more" in done.notice
    again = await browser.post("/suppressions", {"token": _token(done), "address": "ada@gmx.de"})
    assert "already" in again.notice
    assert (await page_door.http.get("/v1/suppressions/ada@gmx.de")).json()["reason"] == "manual"
    assert len((await browser.get("/suppressions?q=GMX")).tree.css("tbody tr")) == 1
    assert (await browser.get("/suppressions?q=nobody")).said(".empty") == "No such address is listed."

    off = await browser.send(done, "/suppressions/remove")
    assert "is off the list" in off.notice
    assert (await page_door.http.get("/v1/suppressions/ada@gmx.de")).status_code == 404
    trail = [one["action"] for one in (await page_door.http.get("/v1/audit")).json()["data"]]
    assert trail == ["suppression.remove", "suppression.add"]


async def test_the_list_is_changed_by_those_who_may_in_the_api(page_door: Door) -> None:
    for scope, adds, removes in (("read", False, False), ("operate", True, False), ("admin", True, True)):
        browser = a_browser(page_door)
        await browser.log_in((await a_key(page_door.archive, scope)).text)
        screen = await browser.get("/suppressions")
        assert bool(screen.tree.css("form[method=post] #address")) is adds
        asked = {"token": _token(screen), "address": "x@gmx.de"}
        assert (await browser.post("/suppressions", asked)).status == (200 if adds else 403)
        assert (await browser.post("/suppressions/remove", asked)).status == (200 if removes else 403)


def _token(screen: object) -> str:
    return screen.tree.css_first("input[name=token]").attributes["value"]  # type: ignore[attr-defined,no-any-return]


async def test_events_are_listed_newest_first_and_by_type(page_door: Door) -> None:
    await page_door.send()
    for number in range(4):
        await page_door.http.post("/v1/suppressions", json={"address": f"a{number}@gmx.de"})
    browser = a_browser_here(page_door)

    rows = (await browser.get("/events")).all("tbody tr")
    assert [row.split(" UTC ")[1].split(" ")[0] for row in rows][:4] == ["suppression.created"] * 4
    assert "a3@gmx.de" in rows[0]
    assert len((await browser.get("/events?type=suppression")).all("tbody tr")) == 4
    only = (await browser.get("/events?type=bulk_send.accepted")).all("tbody tr")
    assert len(only) == 1
    assert "spring" in only[0]
    assert (await browser.get("/events?type=nothing")).status == 422
    assert (await browser.get("/events?before=x")).status == 422
