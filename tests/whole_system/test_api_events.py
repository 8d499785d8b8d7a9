"""Events through the API: pages, streams, whose they are, and what is kept no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from api.dependencies import ApiConfig
from postwerk.archive.engine import Archive
from postwerk.archive.outbox import START
from tests.support.api import a_bulk_send, open_door
from tests.support.cli import ServedApi, served_api
from tests.support.keys import a_key, caller
from tests.support.sandbox import eventually

THE_BEGINNING = str(START)
MANY = 20_000
"""Events: more than the buffers of a connection hold."""


async def test_pages_go_on_where_the_last_one_ended(archive: Archive) -> None:
    async with open_door(archive) as door:
        ids = [(await door.send()).json()["id"] for _ in range(3)]
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = (await door.http.get("/v1/events", params=query)).json()
            found += page["data"]
            query["after"] = page["next"]
            if not page["has_more"]:
                break
        ids.append((await door.send()).json()["id"])
        new = (await door.http.get("/v1/events", params=query)).json()
        of_one = (await door.http.get(f"/v1/bulk-sends/{ids[1]}/events")).json()["data"]
    assert [event["data"]["bulk_send_id"] for event in found + new["data"]] == ids
    assert [event["data"]["bulk_send_id"] for event in of_one] == [ids[1]]
    assert {event["type"] for event in found} == {"bulk_send.accepted"}


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ("after=evt_x", 422, "?after"),
        ("type=message.lost", 422, "?type/0"),
        ("limit=0", 422, "?limit"),
        ("typ=message.bounced", 422, "?typ"),
        ("bulk_send=bulk_00000000000000000000000000", 404, None),
    ],
)
async def test_what_cannot_be_asked_for(
    archive: Archive, query: str, status: int, pointer: str | None
) -> None:
    async with open_door(archive) as door:
        answer = await door.http.get(f"/v1/events?{query}")
    assert answer.status_code == status
    assert [error["pointer"] for error in answer.json()["errors"]] == ([pointer] if pointer else [])


async def test_behind_an_event_that_was_erased_nobody_goes_on(archive: Archive) -> None:
    async with open_door(archive) as door:
        for _ in range(3):
            await door.send()
        first = (await door.http.get("/v1/events")).json()["data"][0]["id"]
        async with archive.writing() as connection:
            await connection.execute(text("DELETE FROM event WHERE id < (SELECT max(id) FROM event)"))
        listed = await door.http.get("/v1/events", params={"after": first})
        streamed = await door.http.get("/v1/events/stream", headers={"last-event-id": first})
        from_the_oldest = await door.http.get("/v1/events")
    assert [listed.status_code, streamed.status_code] == [410, 410]
    assert listed.json()["code"] == "events_forgotten"
    assert len(from_the_oldest.json()["data"]) == 1


async def test_a_key_that_may_only_send_sees_its_own(archive: Archive) -> None:
    async with open_door(archive) as door:
        mine, theirs = await a_key(archive, "send"), await a_key(archive, "send")
        made = {}
        for key in (mine, theirs):
            async with caller(door, key.text) as http:
                made[key.text] = (await http.post("/v1/bulk-sends", json=a_bulk_send())).json()["id"]
        async with caller(door, mine.text) as http:
            listed = (await http.get("/v1/events")).json()
            streamed = (await http.get("/v1/events/stream", params={"after": THE_BEGINNING})).text
            others = await http.get("/v1/events", params={"bulk_send": made[theirs.text]})
        async with caller(door, (await a_key(archive, "read")).text) as http:
            everybodys = (await http.get("/v1/events")).json()
    assert [event["data"]["bulk_send_id"] for event in listed["data"]] == [made[mine.text]]
    assert made[mine.text] in streamed
    assert made[theirs.text] not in streamed
    assert others.status_code == 404
    assert len(everybodys["data"]) == 2


# Streams, over a real port


class Reader:
    """A stream of events, read block by block."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()
        self.last_id = ""

    def block(self) -> dict[str, str]:
        """The fields of the next block; a comment under the empty name."""
        found: dict[str, str] = {}
        for line in self._lines:
            if not line:
                self.last_id = found.get("id", self.last_id)
                return found
            name, _, value = line.partition(": ")
            found[name] = value
        raise EOFError

    def rest(self) -> int:
        """So many events until it ends, or breaks off."""
        n = 0
        try:
            while True:
                n += "data" in self.block()
        except (EOFError, httpx2.RemoteProtocolError):
            return n

    def event(self) -> dict[str, Any]:
        while "data" not in (block := self.block()):
            pass
        event: dict[str, Any] = json.loads(block["data"])
        assert (event["id"], event["type"]) == (block["id"], block["event"])
        return event


@contextmanager
def stream(api: ServedApi, path: str = "/v1/events/stream", **more: Any) -> Iterator[Reader]:
    with api.http.stream("GET", path, **more) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        reader = Reader(answer)
        assert reader.block()[""] == "from here"
        yield reader


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    with served_api(tmp_path, ApiConfig(streams_per_key=2, open_on_loopback=True)) as served:
        yield served


def send(api: ServedApi) -> str:
    return str(api.http.post("/v1/bulk-sends", json=a_bulk_send()).json()["id"])


def test_a_stream_tells_what_happens_and_goes_on_where_it_broke_off(api: ServedApi) -> None:
    send(api)
    with stream(api) as reader:
        here = reader.last_id
        now = send(api)
        assert reader.event()["data"]["bulk_send_id"] == now
        seen = reader.last_id
    missed = send(api)
    with stream(api, headers={"Last-Event-ID": seen}, params={"after": THE_BEGINNING}) as reader:
        assert reader.event()["data"]["bulk_send_id"] == missed
    with stream(api, params={"after": here}) as reader:
        assert [reader.event()["data"]["bulk_send_id"] for _ in range(2)] == [now, missed]
    with stream(api, f"/v1/bulk-sends/{missed}/events/stream", params={"after": THE_BEGINNING}) as reader:
        assert reader.event()["data"]["bulk_send_id"] == missed


def test_a_key_has_so_many_streams_and_gets_them_back(api: ServedApi) -> None:
    with stream(api), stream(api):
        refused = api.http.get("/v1/events/stream")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert refused.headers["retry-after"]

    def opens() -> bool:
        with api.http.stream("GET", "/v1/events/stream") as answer:
            return bool(answer.status_code == 200)

    assert eventually(opens)


def test_an_idle_stream_shows_that_it_lives_and_ends_with_its_key(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.event_streams.HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr("api.event_streams.IDLE_SECONDS", 0.01)
    key = api.do(a_key(api.archive, "read"))
    send(api)
    wanted = {"after": THE_BEGINNING, "type": "lane.cooling"}
    with stream(api, headers={"Authorization": f"Bearer {key.text}"}, params=wanted) as reader:
        assert reader.block()[""] == "still there"
        assert eventually(lambda: reader.block() and reader.last_id > THE_BEGINNING)
        api.http.delete(f"/v1/api-keys/{key.key.id}").raise_for_status()
        reader.rest()


def test_a_busy_stream_ends_with_its_key_too(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.event_streams.HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr("api.event_streams.PAGE", 1)
    key = api.do(a_key(api.archive, "read"))
    send(api)
    api.do(fill(api.archive))
    headers = {"Authorization": f"Bearer {key.text}"}
    with stream(api, headers=headers, params={"after": THE_BEGINNING}) as reader:
        assert reader.event()["type"] == "bulk_send.accepted"
        api.http.delete(f"/v1/api-keys/{key.key.id}").raise_for_status()
        assert reader.rest() < MANY


async def fill(archive: Archive) -> None:
    """MANY events and more, of half a kilobyte each."""
    many = text("""
        INSERT INTO event (at, type, name, reason)
        SELECT 1, 'lane.cooling', 'gmail.com', :words FROM message, json_each(:rows)
    """)
    async with archive.writing() as connection:
        await connection.execute(many, {"words": "x" * 500, "rows": json.dumps([0] * MANY)})


def test_streams_end_when_the_process_stops_also_those_that_nobody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.event_streams.GRACE_SECONDS", 0.1)
    with served_api(tmp_path) as api:
        send(api)
        api.do(fill(api.archive))
        with (
            stream(api) as idle,
            stream(api, params={"after": THE_BEGINNING}) as unread,
        ):
            assert unread.event()["type"] == "bulk_send.accepted"
            api.stop()
            assert idle.rest() == 0
            api.thread.join(10)
            assert not api.thread.is_alive()
            assert unread.rest() < MANY
