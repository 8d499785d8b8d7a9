"""The sandbox's pages: a mail's tabs and files, nothing of it alive, live lists, and who may delete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx2
import pytest

from postwerk.sandbox.config import SandboxConfig
from postwerk.sandbox.web.guard import Guard
from tests.support.inbox import PICTURE, rich_mail
from tests.support.sandbox import SandboxProcess, Talk

ALERT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as running:
        yield running


@pytest.fixture
def talk(sandbox: SandboxProcess) -> Iterator[Talk]:
    sandbox.clear()
    with sandbox.talk() as client:
        yield client


@pytest.fixture
def rich(sandbox: SandboxProcess, talk: Talk) -> int:
    """The number of a mail that has everything."""
    talk.submit("ok@example.com", rich_mail())
    return int(sandbox.messages()[0]["id"])


def token_in(page: str) -> str:
    match = re.search(r'name="token" value="([\w-]+)"', page)
    assert match is not None
    return match[1]


def test_the_tabs_of_a_mail_show_its_sides(sandbox: SandboxProcess, rich: int) -> None:
    tabs = {
        view: sandbox.get(f"/messages/{rich}?view={view}").text
        for view in ("html", "text", "headers", "source", "attachments", "smtp")
    }

    assert f'<iframe sandbox src="/messages/{rich}/html"' in tabs["html"]
    assert '<a href="https://example.de/bestätigen?a=1&amp;b=2" rel="noopener' in tabs["html"]
    assert "javascript:" not in tabs["html"]
    assert 'href="https://example.de/a?b=1&amp;c="' in tabs["text"]
    assert "<td>Jürgen Müller &lt;j@example.de&gt;<details>" in tabs["headers"]
    assert "=?utf-8?" in tabs["headers"]
    assert "Content-Type: multipart/mixed" in tabs["source"]
    assert [name in tabs["attachments"] for name in ("logo.png", "Rechnung März.pdf", "application/pdf")] == [
        True
    ] * 3
    assert "<dd>EHLO test</dd>" in tabs["smtp"]
    assert "<h1>Grüße aus Köln</h1>" in tabs["smtp"]


def test_the_html_stands_alone_under_a_policy_that_forbids_everything_but_its_pictures(
    sandbox: SandboxProcess, rich: int
) -> None:
    answer = sandbox.get(f"/messages/{rich}/html")

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script" not in policy
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert '<img src="data:image/png;base64,iVBORw0KGgo' in answer.text
    assert "cid:" not in answer.text


def test_parts_come_as_files_under_names_that_are_only_names(sandbox: SandboxProcess, rich: int) -> None:
    told = {one["name"]: one for one in sandbox.get(f"/api/messages/{rich}").json()["attachments"]}
    assert [(name, one["kind"], one["inline"]) for name, one in told.items()] == [
        ("logo.png", "image/png", True),
        ("Rechnung März.pdf", "application/pdf", False),
        ("etc_pass;wd.csv", "text/csv", False),
    ]
    logo, pdf, csv = (sandbox.get(f"/messages/{rich}/parts/{one['part']}") for one in told.values())

    assert logo.content == PICTURE
    assert pdf.content == b"%PDF-1.4"
    assert pdf.headers["content-disposition"] == (
        "attachment; filename=\"Rechnung M_rz.pdf\"; filename*=UTF-8''Rechnung%20M%C3%A4rz.pdf"
    )
    assert csv.headers["content-disposition"].startswith('attachment; filename="etc_pass_wd.csv"; ')
    for answer in (logo, pdf, csv):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert sandbox.get(f"/messages/{rich}/parts/99").status_code == 404


def test_what_a_stranger_wrote_stays_text_on_every_page(sandbox: SandboxProcess, talk: Talk) -> None:
    headers = "".join(
        f"{name}: {ALERT}{IMAGE}\r\n" for name in ("From", "To", "Cc", "Date", "Message-ID", "Subject")
    )
    mail = (
        f"{headers}X-{IMAGE}: {ALERT}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/plain\r\n\r\n{ALERT} https://x.example/{IMAGE}\r\n"
        f'--b\r\nContent-Type: image/{IMAGE}; name="{IMAGE}"\r\nContent-ID: <{IMAGE}>\r\n'
        f"Content-Disposition: attachment\r\n\r\n{ALERT}\r\n--b--\r\n"
    )
    talk.send(f"EHLO {ALERT}\r\n".encode())
    assert talk.reply().startswith("250")
    talk.submit(f'"{IMAGE}"@example.com', mail.encode())
    talk.submit(f'bounce+"{IMAGE}@example.com')
    talk.submit('"bounce"@example.com', mail.encode())
    number = sandbox.messages()[0]["id"]

    views = [
        f"/messages/{number}?view={view}&q={ALERT}"
        for view in ("text", "headers", "source", "attachments", "smtp")
    ]
    for path in ("/", f"/?q={ALERT}{IMAGE}", f'/?q=code:"{IMAGE}', "/messages/r1", *views):
        page = sandbox.get(path)
        assert page.status_code == 200
        assert not re.search(r"<script(?! src=\"/static/)|<img(?! class=\"thumb\")", page.text), path
        assert "alert(1)" in page.text or path == "/messages/r1"


def test_a_refused_mail_has_its_page_too(sandbox: SandboxProcess, talk: Talk) -> None:
    talk.submit("bounce@example.com")

    (line,) = sandbox.get("/api/messages?query=").json()["messages"]
    page = sandbox.get(f"/messages/{line['ref']}").text

    assert "<h1>Refused: 550 5.1.1 No such user here</h1>" in page
    assert "<dd>EHLO test</dd>" in page
    assert "view=source" not in page


def test_the_same_is_there_by_http_as_on_the_pages(sandbox: SandboxProcess, rich: int) -> None:
    base = f"/api/messages/{rich}"
    assert sandbox.get(f"{base}/text").text == "Hallo, lies https://example.de/a?b=1&c=<2>.\n"
    assert sandbox.get(f"{base}/html").text == sandbox.get(f"/messages/{rich}/html").text
    assert sandbox.get(f"{base}/parts/3").content == PICTURE
    subject = next(one for one in sandbox.get(f"{base}/headers").json() if one["name"] == "Subject")
    assert (subject["value"], subject["raw"].startswith("=?utf-8?")) == ("Grüße aus Köln", True)


def test_the_list_hears_of_new_mail(sandbox: SandboxProcess, talk: Talk) -> None:
    with (
        httpx2.Client(base_url=sandbox.http_url, timeout=20) as client,
        client.stream("GET", "/api/events") as events,
    ):
        assert events.headers["content-type"] == "text/event-stream"
        told = (json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: "))
        assert next(told)["accepted"] == 0
        talk.submit("ok@example.com")
        assert any(news["accepted"] == 1 for news in told)
        talk.submit("bounce@example.com")
        assert any(news["refused"] == {"550": 1} for news in told)


def test_an_open_page_does_not_keep_the_sandbox_from_stopping() -> None:
    with (
        SandboxProcess() as sandbox,
        httpx2.stream("GET", f"{sandbox.http_url}/api/events", timeout=20) as events,
    ):
        lines = events.iter_lines()
        assert next(lines) == "retry: 2000"
        assert sandbox.stop() == 0
        assert next(lines) == "event: changed"


def test_pages_delete_with_their_token_and_only_from_this_site(sandbox: SandboxProcess, rich: int) -> None:
    token, path = token_in(sandbox.get("/").text), f"/messages/{rich}/delete"
    foreign = [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ]
    for headers in foreign:
        for where in ("/clear", path):
            answer = sandbox.request("POST", where, data={"token": token}, headers=headers)
            assert answer.status_code == 403, headers
        assert sandbox.request("DELETE", "/api/messages", headers=headers).status_code == 403
    for where in ("/clear", path):
        assert sandbox.request("POST", where, data={"token": token[:-1]}).status_code == 403
        assert sandbox.request("POST", where).status_code == 403
    assert len(sandbox.messages()) == 1

    own = {"origin": sandbox.http_url, "sec-fetch-site": "same-origin"}
    assert (
        sandbox.request("POST", path, data={"token": token, "q": "a b"}, headers=own).headers["location"]
        == "/?q=a+b"
    )
    assert sandbox.messages() == []


def test_what_a_search_found_is_deleted_by_the_page_and_the_rest_stays(
    sandbox: SandboxProcess, talk: Talk
) -> None:
    talk.submit("ok@one.example")
    talk.submit("ok@two.example")
    page = sandbox.get("/?q=to:one")
    assert "1 found" in page.text

    data = {"token": token_in(page.text), "q": "to:one"}
    assert sandbox.request("POST", "/clear", data=data | {"q": "code:x"}).status_code == 400
    assert sandbox.request("POST", "/clear", data=data).status_code == 303

    assert [row["rcpt_to"] for row in sandbox.messages()] == ["ok@two.example"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8025", 200),
        ("inbox.localhost:8025", 200),
        ("[::1]:8025", 200),
        ("127.9.9.9", 200),
        ("evil.example:8025", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example@localhost:1/x", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
def test_a_name_that_somebody_elses_dns_made_is_no_name_of_ours(
    sandbox: SandboxProcess, host: str, status: int
) -> None:
    assert sandbox.get("/api/counts", headers={"host": host}).status_code == status


def test_names_can_be_added_and_beyond_loopback_any_will_do() -> None:
    named = SandboxConfig(http_name=("Mail.Dev.example",)).http_names
    public = SandboxConfig(host="0.0.0.0").http_names

    assert Guard(named).knows_host({b"host": b"mail.dev.example:80"})
    assert not Guard(named).knows_host({b"host": b"evil.example"})
    assert not Guard(SandboxConfig(host="0.0.0.0", http_name=("inbox",)).http_names).knows_host(
        {b"host": b"x"}
    )
    assert Guard(public).knows_host({b"host": b"any.example"})
