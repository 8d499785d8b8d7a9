"""Templates, files and bodies at the API: what is taken, what is refused and where, what is then stored."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import text

from api.dependencies import ApiConfig
from api.taking.files import FileLimits
from postwerk.archive.delivery import bulk_content
from postwerk.archive.engine import Archive
from postwerk.contracts.content import Content
from tests.support.api import Door, a_bulk_send, open_door

PDF, PNG = b"%PDF-1.7 " + b"x" * 2_000, b"\x89PNG\r\n\x1a\n" + b"y" * 500
ICS = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
LIMITS = FileLimits(file_octets=200_000, files=3, message_octets=300_000)


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(file_limits=LIMITS)) as opened:
        yield opened


def a_file(data: bytes = PDF, filename: str = "a.pdf", **more: Any) -> dict[str, Any]:
    return {"filename": filename, "content": base64.b64encode(data).decode(), **more}


async def stored(door: Door, **changes: Any) -> Content:
    """The content of a send that must be taken."""
    answer = await door.send(**changes)
    assert answer.status_code == 202, answer.text
    async with door.archive.reading() as connection:
        found = await bulk_content(connection, answer.json()["id"])
    assert found is not None
    return found[0]


async def blobs(door: Door) -> list[tuple[str, int]]:
    async with door.archive.reading() as connection:
        return [
            tuple(row) for row in await connection.execute(text("SELECT id, size FROM blob ORDER BY size"))
        ]


async def refused(door: Door, **changes: Any) -> tuple[int, str, str]:
    answer = await door.send(**changes)
    problem = answer.json()
    assert answer.status_code in (413, 422), problem
    return answer.status_code, problem["errors"][0]["code"], problem["errors"][0]["pointer"]


# Files


async def test_the_same_bytes_in_two_sends_are_stored_once(door: Door) -> None:
    first = await stored(door, attachments=[a_file(), a_file(PNG, "b.png")])
    second = await stored(door, attachments=[a_file(filename="other.pdf")])
    assert await blobs(door) == [(sha256(data).hexdigest(), len(data)) for data in (PNG, PDF)]
    assert first.attachments[0].blob == second.attachments[0].blob
    assert [(one.name, one.media_type) for one in first.attachments] == [
        ("a.pdf", "application/pdf"),
        ("b.png", "image/png"),
    ]


async def test_a_file_put_here_before_is_sent_by_its_id(door: Door) -> None:
    put = await door.http.put("/v1/attachments", content=PDF, headers={"content-type": "application/pdf"})
    file = put.json()
    assert (put.status_code, file["size"]) == (200, len(PDF))
    assert file["id"] == "sha256:" + sha256(PDF).hexdigest()
    assert (await door.http.put("/v1/attachments", content=PDF)).json()["id"] == file["id"]
    content = await stored(door, attachments=[{"filename": "a.pdf", "id": file["id"]}])
    assert (content.attachments[0].blob, content.attachments[0].size) == (sha256(PDF).hexdigest(), len(PDF))
    assert (await door.http.get(f"/v1/attachments/{file['id']}")).json()["size"] == len(PDF)
    assert len(await blobs(door)) == 1


async def test_a_file_that_is_too_large_is_refused_while_it_streams(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b"x" * 10_000

    answer = await door.http.put("/v1/attachments", content=endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert (await door.http.put("/v1/attachments", content=b"")).status_code == 422
    missing = await door.http.get("/v1/attachments/sha256:" + "0" * 64)
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("attachments", "expected"),
    [
        ([a_file(b"x" * 200_001)], (413, "too_large", "#/attachments/0/content")),
        ([a_file()] * 4, (413, "too_many", "#/attachments")),
        ([a_file(b"x" * 150_000), a_file(b"y" * 150_000)], (413, "message_too_big", "#/attachments")),
        ([a_file(filename="../a.pdf")], (422, "invalid_filename", "#/attachments/0/filename")),
        ([{"filename": "a", "content": "###"}], (422, "invalid_attachment", "#/attachments/0/content")),
        ([{"filename": "a", "content": "YQ"}], (422, "invalid_attachment", "#/attachments/0/content")),
        ([{"content": "YQ=="}], (422, "invalid_attachment", "#/attachments/0")),
        ([{"filename": "a"}], (422, "missing", "#/attachments/0/content")),
        ([a_file(id="sha256:" + "0" * 64)], (422, "both_given", "#/attachments/0/content")),
        ([a_file(), {"filename": "a", "id": "sha256:" + "0" * 64}],
         (422, "unknown_attachment", "#/attachments/1/id")),
        ([{"filename": "a", "id": "../x"}], (422, "unknown_attachment", "#/attachments/0/id")),
        ([a_file(colour="red")], (422, "invalid_attachment", "#/attachments/0")),
        ([a_file(content_type="pdf")], (422, "invalid_content_type", "#/attachments/0/content_type")),
        ([a_file(content_id="a b")], (422, "invalid_content_id", "#/attachments/0/content_id")),
        ([a_file(inline=True)], (422, "missing", "#/attachments/0/content_id")),
        ([a_file(content_id="x")], (422, "no_html", "#/attachments/0/inline")),
        ([a_file(content_id="x"), a_file(content_id="x")],
         (422, "duplicate_content_id", "#/attachments/0/content_id")),
        ([a_file(ICS, "a.ics"), a_file(ICS, "b.ics")], (422, "several_invitations", "#/attachments/1")),
        ([a_file(ICS.replace(b"REQUEST", b"DANCE"), "a.ics")],
         (422, "invalid_calendar", "#/attachments/0/content")),
        ("a.pdf", (422, "invalid_type", "#/attachments")),
        ([7], (422, "invalid_attachment", "#/attachments/0")),
    ],
)  # fmt: skip
async def test_a_file_that_cannot_be_taken_is_named(door: Door, attachments: Any, expected: Any) -> None:
    assert await refused(door, attachments=attachments) == expected
    assert await blobs(door) == []


async def test_what_the_html_shows_must_be_there(door: Door) -> None:
    html = '<img src="cid:logo"><td background=cid:{{ x }}>'
    assert await refused(door, html=html) == (422, "unknown_content_id", "#/html")
    content = await stored(door, html=html, attachments=[a_file(PNG, "logo.png", content_id="<logo>")])
    assert (content.attachments[0].content_id, content.attachments[0].inline) == ("logo", True)


async def test_an_invitation_is_recognised_by_its_method(door: Door) -> None:
    found = await stored(door, attachments=[a_file(ICS, "invite.ics")])
    assert (found.attachments[0].media_type, found.attachments[0].method) == ("text/calendar", "REQUEST")
    plain = await stored(door, attachments=[a_file(ICS.replace(b"METHOD:REQUEST\r\n", b""), "event.ics")])
    assert plain.attachments[0].method == ""
    put = (await door.http.put("/v1/attachments", content=ICS)).json()
    by_id = await stored(door, attachments=[{"filename": "invite.ics", "id": put["id"]}])
    assert by_id.attachments[0].method == "REQUEST"


async def test_a_program_is_taken_with_a_warning(door: Door) -> None:
    answer = await door.send(attachments=[a_file(b"MZ", "setup.exe")])
    found = [(one["code"], one["pointer"]) for one in answer.json()["warnings"]]
    assert found[:1] == [("executable_attachment", "#/attachments/0/filename")]
    harmless = (await door.send(attachments=[a_file()])).json()["warnings"]
    assert found[1:] == [(one["code"], one["pointer"]) for one in harmless], "what any bulk mail is told"
    dry = await door.http.post(
        "/v1/bulk-sends?dry_run=true", json=a_bulk_send(attachments=[a_file(b"MZ", "setup.exe")])
    )
    assert [(one["code"], one["pointer"]) for one in dry.json()["warnings"]] == found
    assert dry.json()["samples"][0]["error"] is None, "its files are not needed to show it"
    assert len(await blobs(door)) == 2


# Bodies


async def test_a_text_is_made_of_the_html_unless_one_is_given_or_none_is_wanted(door: Door) -> None:
    html = "<p>Dear {{ first_name }}</p>"
    made = await stored(door, text=None, html=html)
    assert (made.text, made.text_from_html) == ("Dear {{ first_name }}\n", True)
    each = await stored(door, text=None, html="<p>{{ first_name|safe }}</p>")
    assert (each.text, each.text_from_html) == (None, True)
    none = await stored(door, text="", html=html)
    assert (none.text, none.text_from_html) == (None, False)
    own = await stored(door, text="mine", html=html)
    assert (own.text, own.text_from_html) == ("mine", False)


async def test_styles_are_inlined_when_it_is_asked_for(door: Door) -> None:
    html = "<style>p{color:red}</style><p>{{ first_name }}</p>"
    once = await stored(door, html=html, inline_css=True)
    assert 'style="color: red;"' in (once.html or "")
    assert not once.inline_css
    each = await stored(door, html=html + "{% if x %}{% endif %}", inline_css=True, variables={"x": 1})
    assert each.inline_css
    assert (await refused(door, html="<p>" * 6_000, inline_css=True))[1:] == ("html_too_complex", "#/html")


# Templates


async def put(door: Door, id: str = "welcome", **document: Any) -> Any:
    return await door.http.put(f"/v1/templates/{id}", json=document)


async def test_each_change_makes_the_next_version_and_none_is_changed(door: Door) -> None:
    first = await put(door, subject="Hi {{ first_name }}", html="<p>1</p>")
    again = await put(door, html="<p>1</p>", subject="Hi {{ first_name }}")
    second = await door.http.post("/v1/templates/welcome", json={"subject": "Hello"})
    assert [(a.status_code, a.json()["version"]) for a in (first, again, second)] == [
        (201, 1),
        (200, 1),
        (201, 2),
    ]
    old = (await door.http.get("/v1/templates/welcome?version=1")).json()
    assert old["document"] == {"subject": "Hi {{ first_name }}", "html": "<p>1</p>"}
    assert (await door.http.get("/v1/templates/welcome")).json()["document"] == {"subject": "Hello"}
    assert (await door.http.get("/v1/templates/welcome?version=3")).status_code == 404
    page = (await door.http.get("/v1/templates/welcome/versions?limit=1")).json()
    rest = (await door.http.get(f"/v1/templates/welcome/versions?after={page['next']}")).json()
    assert [one["version"] for one in page["data"] + rest["data"]] == [2, 1]


async def test_templates_are_listed_by_name_and_a_deleted_ones_numbers_are_not_used_again(door: Door) -> None:
    for id in ("b", "a", "c"):
        await put(door, id, subject=id)
    page = (await door.http.get("/v1/templates?limit=2")).json()
    rest = (await door.http.get(f"/v1/templates?after={page['next']}")).json()
    assert [one["id"] for one in page["data"] + rest["data"]] == ["a", "b", "c"]
    assert (await door.http.delete("/v1/templates/a")).status_code == 204
    assert (await door.http.delete("/v1/templates/a")).status_code == 404
    assert (await door.http.get("/v1/templates/a")).status_code == 404
    assert (await door.http.get("/v1/templates/a?version=1")).status_code == 404
    assert [one["id"] for one in (await door.http.get("/v1/templates")).json()["data"]] == ["b", "c"]
    assert (await put(door, "a", subject="a")).json()["version"] == 3


async def test_a_send_takes_a_copy_and_what_it_says_itself_wins(door: Door) -> None:
    await put(
        door, subject="Hi {{ first_name }}", html="<p>{{ a }} {{ b }}</p>",
        variables={"a": "1", "b": "2"}, headers={"X-A": "1", "X-B": "2"},
    )  # fmt: skip
    answer = await door.send(
        subject=None,
        text=None,
        template={"id": "welcome"},
        variables={"b": "3", "first_name": "x"},
        headers={"x-b": "9"},
    )
    assert answer.status_code == 202, answer.text
    await put(door, subject="changed")
    await door.http.delete("/v1/templates/welcome")
    bulk_id = answer.json()["id"]
    async with door.archive.reading() as connection:
        found = await bulk_content(connection, bulk_id)
    assert found is not None
    content = found[0]
    assert (content.subject, content.text) == ("Hi {{ first_name }}", "{{ a }} {{ b }}\n")
    assert content.variables == {"a": "1", "b": "3", "first_name": "x"}
    assert content.headers == {"X-A": "1", "x-b": "9"}
    view = (await door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()
    assert view["template"] == {"id": "welcome", "version": 1}
    plain = await door.send()
    assert (await door.http.get(plain.json()["links"]["self"])).json()["template"] is None


async def test_a_send_that_names_no_such_template_is_refused(door: Door) -> None:
    wanted = {"subject": None, "text": None, "template": {"id": "nobody"}}
    assert await refused(door, **wanted) == (422, "unknown_template", "#/template")
    await put(door, "nobody", html="<p>x</p>")
    assert await refused(door, **wanted) == (422, "missing", "#/subject")
    wanted["template"] = {"id": "nobody", "version": 2}
    assert (await refused(door, **wanted))[1] == "unknown_template"


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"subject": "{{ x"}, "#/subject"),
        ({"html": "{% include 'x' %}"}, "#/html"),
        ({"headers": {"Bcc": "x"}}, "#/headers/Bcc"),
        ({"from": "nobody"}, "#/from"),
        ({"colour": "red"}, "#/colour"),
        ({"text": "x", "variables": {"a": "\x00"}}, "#/variables/a"),
    ],
)
async def test_a_template_is_checked_when_it_is_made(door: Door, document: Any, pointer: str) -> None:
    answer = await door.http.put("/v1/templates/a", json=document)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await door.http.put("/v1/templates/a", json={})).status_code == 422
    assert (await door.http.put("/v1/templates/No%20name", json={"text": "x"})).status_code == 422


async def test_a_message_is_shown_as_one_recipient_would_get_it(door: Door) -> None:
    html = '<p>{{ x }}</p><img src="cid:logo">'
    await put(door, subject="Hi {{ who }}", html=html, variables={"who": "you"})
    shown = (await door.http.post("/v1/templates/welcome/render", json={"variables": {"x": "a<b"}})).json()
    assert (shown["subject"], shown["html"], shown["text"]) == (
        "Hi you",
        html.replace("{{ x }}", "a&lt;b"),
        "a<b\n",
    )
    assert shown["undefined_variables"] == shown["errors"] == []
    assert shown["size"] > 300
    less = (await door.http.post("/v1/templates/welcome/render", json={})).json()
    assert (less["undefined_variables"], less["size"], less["html"]) == (
        ["x"],
        None,
        html.replace("{{ x }}", ""),
    )
    inline = {
        "subject": "{{ name }}",
        "text": "{{ to }}",
        "to": "Bob <bob@example.org>",
        "headers": {"X-A": "{{ y }}"},
    }
    answer = await door.http.post("/v1/render", json={**inline, "recipient_variables": {"y": 1}})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["subject"], answer.json()["text"]) == ("Bob", "bob@example.org")
    assert answer.json()["headers"] == {"X-A": "1"}
    assert (await door.http.post("/v1/templates/nobody/render", json={})).status_code == 404
