"""A bulk send from the page, step by step, as a browser without scripts sends its forms."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from api.reconciler import Reconciler
from postwerk.archive import reads
from postwerk.archive.audit import audit_entries
from postwerk.archive.intake import Added, add_recipients
from postwerk.archive.reads import MessageFilter
from tests.support.api import Door
from tests.support.keys import a_key
from tests.support.page import Browser, Screen, a_browser, a_browser_here, as_multipart

LIST = b"""E-Mail;First Name;Note
ada@example.com;Ada;x
bob@example.com;Bob;y
nobody;No;z
ADA@example.com;A;x
"""
CONTENT: dict[str, Any] = {
    "name": "spring",
    "from_": "Shop <news@shop.example>",
    "subject": "Hello {{ first_name }}",
    "html": "<p>Dear {{ first_name }},\n{{ note }}</p>",
}


async def a_draft(browser: Browser, **fields: Any) -> Screen:
    """The page of its recipients, or the form again."""
    return await browser.send(await browser.get("/sends/new"), "/sends/new", **CONTENT | fields)


async def with_list(browser: Browser, page: Screen, data: bytes = LIST, **uses: str) -> Screen:
    """The page of its recipients, with this list taken."""
    columns = await browser.send(page, path_of(page), list=("people.csv", data))
    taken = await browser.send(columns, path_of(columns), **uses)
    while "being taken" in taken.text:
        taken = await browser.get(path_of(taken))
    return taken


def path_of(page: Screen) -> str:
    return page.answer.url.path


def draft_id(page: Screen) -> str:
    return path_of(page).split("/")[2]


async def test_a_send_is_written_tried_and_started(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    written = await a_draft(browser, rate="50/s", tags="news, spring")
    bulk_id = draft_id(written)

    columns = await browser.send(written, path_of(written), list=("people.csv", LIST))
    assert columns.all("tbody th") == ["E-Mail", "First Name", "Note"]
    assert "ada@example.com · bob@example.com · nobody" in columns.text
    fields = {one.attributes["name"]: one.attributes["value"] for one in columns.tree.css(".mapping input")}
    assert fields == {"as_0": "e_mail", "as_1": "first_name", "as_2": "note"}  # as the mail reads it

    taken = await browser.send(columns, path_of(columns))
    assert taken.said("#h-taken") == "2 recipients"
    assert "1 row refused, 1 duplicate" in taken.text
    assert taken.all(".list tbody td") == ["4", "nobody", "An email address must have an @-sign"]
    refused = await browser.http.get(taken.link("All of them as CSV"))
    assert refused.text.splitlines()[1].startswith("4,nobody,to,")

    preview = await browser.get(taken.link("On to the preview"))
    assert preview.all(".sample h3") == ["Hello Ada", "Hello Bob"]
    frame = await browser.http.get(preview.tree.css_first("iframe").attributes["src"])
    assert frame.text.split() == ["<p>Dear", "Ada,", "x</p>"]
    assert frame.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "Recipients cannot unsubscribe" in preview.text

    tried = await browser.send(preview, f"/sends/{bulk_id}/draft/test", to="me@shop.example", as_="2")
    assert tried.notice == "A test mail is on its way to me@shop.example."

    last = await browser.get(tried.link("On to sending"))
    assert last.said("#h-send") == "Send to 2 recipients from news@shop.example, 50/s, now?"
    begun = await browser.send(last, f"/sends/{bulk_id}/draft/start")
    assert path_of(begun) == f"/sends/{bulk_id}"
    assert begun.notice == "2 recipients: it is started."

    answer = (await page_door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()
    assert (answer["state"], answer["accepted"], answer["rate"]) == ("queued", 2, "50/s")
    assert answer["metadata"] == {"tags": ["news", "spring"]}
    messages = (await page_door.http.get(f"/v1/bulk-sends/{bulk_id}/messages")).json()["data"]
    details = (await page_door.http.get(f"/v1/messages/{messages[0]['id']}")).json()
    assert details["variables"] == {"first_name": "Ada", "note": "x"}
    [test] = [one for one in page_door.temporal.started if one != f"bulk-{bulk_id}"]
    tests = (await page_door.http.get("/v1/bulk-sends?kind=test")).json()["data"]
    assert test == f"bulk-{tests[0]['id']}"


async def test_however_often_it_is_clicked_it_is_one_send(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    form = await browser.get("/sends/new")
    pages = await asyncio.gather(*[browser.send(form, "/sends/new", **CONTENT) for _ in range(3)])
    assert len({draft_id(page) for page in pages}) == 1
    bulk_id = draft_id(pages[0])
    columns = await browser.send(pages[0], path_of(pages[0]), list=("people.csv", LIST))
    await asyncio.gather(*[browser.send(columns, path_of(columns)) for _ in range(3)])
    taken = await browser.send(columns, path_of(columns))
    assert "2 recipients 1 row refused, 1 duplicate" in taken.text
    preview = await browser.get(f"/sends/{bulk_id}/draft/preview")
    tries = [browser.send(preview, f"/sends/{bulk_id}/draft/test", to="a@shop.example") for _ in range(3)]
    await asyncio.gather(*tries)
    last = await browser.get(f"/sends/{bulk_id}/draft/start")

    clicks = [browser.send(last, f"/sends/{bulk_id}/draft/start") for _ in range(4)]
    ends = {path_of(page) for page in await asyncio.gather(*clicks)}

    assert ends == {f"/sends/{bulk_id}"}
    assert len((await page_door.http.get("/v1/bulk-sends")).json()["data"]) == 1
    assert len((await page_door.http.get("/v1/bulk-sends?kind=test")).json()["data"]) == 1
    back = await browser.get(f"/sends/{bulk_id}/draft/preview")
    assert path_of(back) == f"/sends/{bulk_id}"
    assert back.notice == "This send is queued, and no draft any more."


async def test_what_was_looked_at_is_what_is_sent(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    taken = await with_list(browser, await a_draft(browser))
    bulk_id = draft_id(taken)
    last = await browser.get(f"/sends/{bulk_id}/draft/start")
    await page_door.upload(bulk_id, b"to\neve@example.com\n", "text/csv")

    again = await browser.send(last, f"/sends/{bulk_id}/draft/start")

    assert (again.status, again.said(".notice")) == (
        409,
        "The draft has changed since you looked; look once more.",
    )
    assert "Send to 3 recipients" in again.text
    assert not page_door.temporal.started


async def test_everything_wrong_is_said_at_its_field_and_nothing_typed_is_lost(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    typed = {
        "from_": "news@@shop",
        "subject": "{{ first_name",
        "html": "<p>\n{% if %}</p>",
        "text": "kept\n  as typed ",
        "rate": "fast",
        "zone": "Europe/Nowhere",
        "send_at": "2030-06-01T08:00",
        "window_start": "09:00",
        "variables": "{",
        "headers": "X-One: 1\nnonsense",
        "auto_pause": "many",
        "deadline": "9 lives",
    }
    page = await a_draft(browser, **typed, files=[("a.txt", b"file"), ("empty.txt", b"")])

    assert page.status == 422
    wrong = {
        one.attributes["name"]: page.said(f"#{one.attributes['name']}-wrong")
        for one in page.tree.css("[aria-invalid]")
    }
    expected = {"from", "subject", "html", "rate", "zone", "variables", "headers", "auto_pause", "deadline"}
    assert set(wrong) == expected | {"files"}
    assert all(page.tree.css_first(f"#{name}-wrong").attributes["role"] == "alert" for name in wrong)
    assert wrong["html"].startswith("line 2:")
    assert wrong["headers"].startswith("Line 2")
    assert "window_days-wrong" in page.answer.text
    assert page.tree.css_first("[autofocus]").attributes["name"] == "from"
    fields = page.form("/sends/new")
    for name, value in typed.items():
        field = fields.css_first(f'[name="{name.rstrip("_")}"]')
        assert (field.attributes.get("value") or field.text().removeprefix("\n")) == value, name
    assert page.all(".files tbody th") == ["a.txt"]

    good = {"from_": "news@shop.example", "subject": "s", "html": "<p>x</p>", "zone": "UTC", "rate": None}
    good |= dict.fromkeys(("variables", "headers", "auto_pause", "deadline", "window_start"))
    assert "/draft/recipients" in path_of(await browser.send(page, "/sends/new", **good))


async def test_what_is_too_large_or_cannot_be_kept_is_said_at_its_field(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    page = await a_draft(browser, text="x" * (1024 * 1024 + 1), html="<p>a\x00b</p>")
    assert page.said("#text-wrong").startswith("longer than")
    assert "NUL" in page.said("#html-wrong")
    page = await a_draft(browser, html="x" * (5 * 1024 * 1024), text="kept", files=("big", b"x" * 19_000_000))
    assert page.said("#html-wrong") == "All that is typed together may have 4.2 MB."
    assert page.said("#files-wrong") == "big is larger than 18.9 MB."
    assert page.said("#text") == "kept"


@pytest.mark.parametrize(
    ("query", "status"),
    [("columns?list=x%00", 404), ("preview?q=%00", 200), ("preview?after=-1", 422), ("sample?seq=9", 404)],
)
async def test_addresses_that_nobody_was_given_say_so(page_door: Door, query: str, status: int) -> None:
    browser = a_browser_here(page_door)
    draft = await a_draft(browser)
    assert (await browser.get(f"/sends/{draft_id(draft)}/draft/{query}")).status == status


async def test_without_recipients_nothing_starts(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    draft = await a_draft(browser)
    bulk_id = draft_id(draft)
    empty = await browser.send(draft, path_of(draft))
    assert (empty.status, empty.said("#list-wrong")) == (
        422,
        "Choose a file with something in it, or paste some rows.",
    )
    last = await browser.get(f"/sends/{bulk_id}/draft/start")
    assert "no recipients yet" in last.text
    assert not last.offers(f"/sends/{bulk_id}/draft/start")


@pytest.mark.parametrize(
    ("data", "header", "address"),
    [
        (b"ada@example.com\tAda\nbob@example.com\tBob\n", False, 0),
        ("Name,Adresse\nJörg,joerg@example.com\n".encode("cp1252"), True, 1),
        ("\ufeffname;e-mail\nZoë;zoe@example.com\n".encode("utf-16"), True, 1),
    ],
)
async def test_lists_of_all_kinds_are_understood(
    page_door: Door, data: bytes, header: bool, address: int
) -> None:
    browser = a_browser_here(page_door)
    taken = await with_list(browser, await a_draft(browser), data)
    assert taken.said("#h-taken") == f"{data.count(b'@')} recipient{'s' if data.count(b'@') > 1 else ''}"


async def test_columns_are_told_and_what_cannot_be_is_said(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    draft = await a_draft(browser)
    columns = await browser.send(draft, path_of(draft), pasted="mail,a,b,c\nx@example.com,1,2,3\n")
    wrong = await browser.send(columns, path_of(columns), as_1="not good", as_2="c")
    assert (wrong.status, wrong.said("#as_1-wrong")[:10], wrong.said("#as_3-wrong")[:7]) == (
        422,
        "A variable",
        "Another",
    )
    none = await browser.send(wrong, path_of(wrong), use_0="")
    assert "one of them is" in none.said("#columns-wrong")
    taken = await browser.send(wrong, path_of(wrong), use_1="name", use_2="", as_3="third")
    assert taken.said("#h-taken") == "1 recipient"
    async with page_door.archive.reading() as connection:
        [message] = await reads.messages(connection, draft_id(draft), MessageFilter())
    assert (message.name, message.variables) == ("1", {"third": "3"})


async def test_a_list_that_breaks_off_says_where_and_keeps_what_came_before(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    taken = await with_list(browser, await a_draft(browser), b'to\nada@example.com\n"bob@example.com\n')
    assert taken.said("#h-taken") == "1 recipient"
    assert "broke off" in taken.text
    assert "Row 3: A quote is opened and never closed." in taken.text


async def test_a_list_of_another_encoding_is_read_again_without_a_new_upload(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    draft = await a_draft(browser)
    data = "to,first_name\nada@example.com,Łucja\n".encode("cp1250")
    columns = await browser.send(draft, path_of(draft), list=("people.csv", data))
    assert "Łucja" not in columns.text
    where = f"{columns.answer.url.path}?{columns.answer.url.query.decode()}&charset=cp1250"
    assert "Łucja" in (await browser.get(where)).text


async def test_a_list_that_was_interrupted_goes_on_and_is_erased_at_last(
    page_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process is killed: the archive goes away in the middle, with a part of it stored."""
    browser = a_browser_here(page_door)
    data = (
        b"to,first_name,note\n" + b"".join(b"a%d@example.com,A,x\n" % n for n in range(1200)) + b"bad,x,y\n"
    )
    draft = await a_draft(browser)
    columns = await browser.send(draft, path_of(draft), list=("people.csv", data))
    calls = 0

    async def going_away(*given: Any) -> Added:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError
        return await add_recipients(*given)

    monkeypatch.setattr("api.taking.parts.add_recipients", going_away)
    page = await browser.send(columns, path_of(columns))
    assert "500 recipients so far; it goes on behind them." in page.text
    monkeypatch.undo()

    page = await browser.send(page, path_of(columns))

    assert page.said("#h-taken") == "1,200 recipients"
    assert "1 row refused" in page.text
    assert "0 duplicates" in page.text
    last = await browser.get(path_of(page).replace("recipients", "start"))
    await browser.send(last, path_of(last))
    await Reconciler(page_door.archive, page_door.parts.client, "q").look(datetime.now(UTC))
    async with page_door.archive.reading() as connection:
        for table in ("draft_list", "draft_piece"):
            assert not (await connection.exec_driver_sql(f"SELECT * FROM {table}")).all()
        [started] = await audit_entries(connection, limit=5)
    assert (started.action, started.via, started.count) == ("bulk.start", "page", 1200)


async def test_a_workbook_is_refused_with_the_way_out(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    draft = await a_draft(browser)
    page = await browser.send(draft, path_of(draft), list=("people.xlsx", b"PK\x03\x04" + b"x" * 5000))
    assert "save the sheet as CSV" in page.said("#list-wrong")


async def test_a_draft_is_said_anew_and_its_recipients_stay(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    extra = {"send_at": "2030-06-01T08:00", "zone": "Europe/Berlin", "notify_to": '"Doe, J" <j@shop.example>'}
    extra |= {"reply_to": 'a@shop.example, "B, C" <b@shop.example>', "metadata": json.dumps({"crm": 1})}
    extra |= {"window_days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "window_start": "00:00"}
    extra |= {"window_end": "00:00", "auto_pause": "7.5 %", "headers": "X-A: b", "deadline": "36h"}
    extra |= {"window_end": "23:59"}
    taken = await with_list(browser, await a_draft(browser, **extra, files=("a.txt", b"file")))
    where = f"/sends/{draft_id(taken)}/draft/content"
    async with page_door.archive.reading() as connection:
        before = await reads.content_of(connection, draft_id(taken))
        options = (await reads.bulk_send(connection, draft_id(taken))).options
    assert f"{options.send_at:%H:%M}" == "06:00"

    form = await browser.get(where)
    assert form.all(".files tbody th") == ["a.txt"]
    changed = await browser.send(form, where, subject="Other")

    assert changed.notice == "The draft is stored."
    async with page_door.archive.reading() as connection:
        after = await reads.content_of(connection, draft_id(taken))
        send = await reads.bulk_send(connection, draft_id(taken))
    assert after == before.model_copy(update={"subject": "Other"})
    assert (send.options, send.accepted, send.metadata) == (options, 2, {"crm": 1})


async def test_a_stored_template_says_what_is_left_empty(page_door: Door) -> None:
    await page_door.http.put(
        "/v1/templates/welcome",
        json={"from": "Shop <a@shop.example>", "subject": "Welcome", "html": "<p>Hi {{ first_name }}</p>"},
    )
    browser = a_browser_here(page_door)
    empty = {"from_": "", "subject": "", "html": ""}
    draft = await a_draft(browser, **empty, template="welcome")
    answer = (await page_door.http.get(f"/v1/bulk-sends/{draft_id(draft)}")).json()
    assert answer["template"] == {"id": "welcome", "version": 1}
    wrong = await a_draft(browser, **empty, template="welcome", version="9")
    assert "no such version" in wrong.said("#version-wrong") + wrong.said("#template-wrong")


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


async def test_hostile_words_stay_words(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    escaped = HOSTILE.replace("{{ 7 * 7 }}", "")
    draft = await a_draft(
        browser, name=escaped, subject=escaped, tags=escaped[:40], html=f"<p>{escaped}</p>", text=HOSTILE
    )
    assert draft.status == 422  # a product of two numbers is nothing that a template may ask for
    draft = await a_draft(browser, name=escaped, subject=escaped, html=f"<p>{escaped}</p>")
    data = f'to,"{escaped.replace(chr(34), chr(34) * 2)}"\nada@example.com,"<b>x</b>"\n<script>@,y\n'
    columns = await browser.send(draft, path_of(draft), list=('"><script>.csv', data.encode()))
    pages = [draft, columns]
    pages.append(await browser.send(columns, path_of(columns), as_1="<script>"))
    pages.append(await browser.send(columns, path_of(columns)))
    for step in ("content", "recipients", "preview", "start"):
        pages.append(await browser.get(f"/sends/{draft_id(draft)}/draft/{step}"))
    pages.append(await browser.get(f"/sends/{draft_id(draft)}/draft/preview?q=%3Cscript%3E"))
    for page in pages:
        scripts = [one.attributes.get("src", "") for one in page.tree.css("script")]
        assert [one for one in scripts if not one.startswith("/static/")] == [], page.answer.url
        assert not page.tree.css("img, [onerror]"), page.answer.url
        assert page.answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_key_that_may_only_read_sees_no_way_to_send(page_door: Door) -> None:
    sender, reader = a_browser(page_door), a_browser(page_door)
    await sender.log_in((await a_key(page_door.archive, "send")).text)
    await reader.log_in((await a_key(page_door.archive, "read")).text)
    other = a_browser(page_door)
    await other.log_in((await a_key(page_door.archive, "send", "read")).text)
    draft = await a_draft(sender)
    where = path_of(draft)

    assert "New send" not in (await reader.get("/")).text
    assert (await sender.get("/sends/new")).all("[aria-labelledby=h-drafts] a") == ["spring"]
    assert (await other.get("/sends/new")).all("[aria-labelledby=h-drafts] a") == []
    for path in ("/sends/new", where, where.replace("recipients", "preview")):
        assert (await reader.get(path)).status == 403, path
    assert (await other.get(where)).status in (403, 404)
    assert (await other.get(f"/sends/new?like={draft_id(draft)}")).status == 200
    token = {"token": (await other.get("/sends/new")).tree.css_first("[name=token]").attributes["value"]}
    assert (await other.post(where.replace("recipients", "start"), token)).status in (403, 404)


async def test_a_domain_that_the_key_may_not_use_is_said_at_its_field(page_door: Door) -> None:
    browser = a_browser(page_door)
    await browser.log_in((await a_key(page_door.archive, "send", domains=("other.example",))).text)
    page = await a_draft(browser)
    assert page.status == 422
    assert page.said("#from-wrong") == "This API key may not send from this domain."


async def test_a_form_with_files_is_read_behind_its_token_only(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    form = await browser.get("/sends/new")
    for token in ("", "wrong", None):
        refused = await browser.send(
            form, "/sends/new", **CONTENT, token=token, files=("a.txt", b"never kept")
        )
        assert refused.status == 403, token
    late = {"subject": "x", "token": form.tree.css_first("[name=token]").attributes["value"]}
    body = await browser.send(form, "/sends/new", **CONTENT)
    assert body.status == 200
    content, kind = as_multipart(late)
    assert (await browser.post("/sends/new", content, content_type=kind)).status == 403
    cut = as_multipart({"token": late["token"], "name": "x" * 1000})[0][:900]
    assert (await browser.post("/sends/new", cut, content_type=kind)).status == 400
    async with page_door.archive.reading() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM blob")).scalar_one() == 0
