"""The sandbox's HTTP side: the API tests rely on, and the inbox people look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sandbox import SandboxProcess, Talk


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as running:
        yield running


@pytest.fixture
def talk(sandbox: SandboxProcess) -> Iterator[Talk]:
    sandbox.clear()
    with sandbox.talk() as client:
        yield client


def test_a_list_is_read_to_its_end_with_its_cursor(sandbox: SandboxProcess, talk: Talk) -> None:
    for number in range(5):
        talk.submit(f"ok+{number}@example.com")

    first = sandbox.get("/api/messages?limit=2").json()
    second = sandbox.get(f"/api/messages?limit=2&after={first['next']}").json()
    third = sandbox.get(f"/api/messages?limit=2&after={second['next']}").json()

    pages = [[row["rcpt_to"] for row in page["messages"]] for page in (first, second, third)]
    assert pages == [
        ["ok+0@example.com", "ok+1@example.com"],
        ["ok+2@example.com", "ok+3@example.com"],
        ["ok+4@example.com"],
    ]
    assert third["next"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=x", "after=-1", "limit="])
def test_a_list_with_a_senseless_limit_or_cursor_is_refused(sandbox: SandboxProcess, query: str) -> None:
    assert sandbox.get(f"/api/messages?{query}").status_code == 400


def test_a_message_is_taken_apart_and_raw_gives_the_exact_bytes(sandbox: SandboxProcess, talk: Talk) -> None:
    talk.submit("ok@example.com", b"From: a@b.example\r\nSubject: s\r\n\r\nline\r\n")
    (row,) = sandbox.messages()

    found = sandbox.get(f"/api/messages/{row['id']}").json()
    raw = sandbox.get(f"/api/messages/{row['id']}/raw")

    assert (found["text"], found["html"], found["headers"]["From"]) == ("line\n", None, "a@b.example")
    assert raw.headers["content-type"] == "message/rfc822"
    assert raw.content == b"From: a@b.example\r\nSubject: s\r\n\r\nline\r\n"


def test_clear_forgets_messages_refusals_and_attempts(sandbox: SandboxProcess, talk: Talk) -> None:
    talk.submit("ok@example.com")
    talk.submit("defer1@example.com")

    sandbox.clear()

    counts = sandbox.counts()
    assert (counts["accepted"], counts["refused"], counts["copies"]) == (0, {}, 0)
    assert not list(sandbox.recipients())
    assert talk.submit("defer1@example.com").startswith("451")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/nothing", 404),
        ("GET", "/messages/99999999", 404),
        ("GET", "/api/messages/99999999/raw", 404),
        ("GET", "/api/recipients/nobody@example.com", 404),
        ("PUT", "/api/messages", 405),
    ],
)
def test_what_is_not_there_is_said_so(sandbox: SandboxProcess, method: str, path: str, status: int) -> None:
    assert sandbox.request(method, path).status_code == status


@pytest.mark.parametrize(("method", "path"), [("POST", "/clear"), ("DELETE", "/api/messages")])
def test_another_site_cannot_clear_the_inbox(
    sandbox: SandboxProcess, talk: Talk, method: str, path: str
) -> None:
    talk.submit("ok@example.com")

    answer = sandbox.request(method, path, headers={"sec-fetch-site": "cross-site"})

    assert answer.status_code == 403
    assert len(sandbox.messages()) == 1


def test_every_page_carries_the_safe_headers(sandbox: SandboxProcess) -> None:
    for path in ("/", "/static/style.css", "/static/inbox.js", "/api/counts", "/nothing"):
        headers = sandbox.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        )
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin", "else browsers send our forms as from nowhere"
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\xff\xfe\r\n",
        b"From: \xff\r\nSubject: \xff\r\nMessage-ID: \xff\r\n\r\n\xff\r\n",
        b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n",
        b"Content-Type: text/plain; charset=nonsense\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%\r\n",
        b"Subject: =?utf-8?b?!!!?= =?nonsense?q?x?=\r\nFrom: =?\r\nDate: never\r\n\r\n",
        b"Subject: =?unknown-8bit?q?=ED=A0=80?=\r\n\r\n",
        b"Content-Disposition: attachment; filename*=x''%FF\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 50_000,
        b"Subject:" + b" =?utf-8?q?y?=\r\n" * 20_000 + b"\r\n",
    ],
)
def test_a_broken_mail_still_has_its_page(sandbox: SandboxProcess, talk: Talk, message: bytes) -> None:
    assert talk.submit("ok@example.com", message).startswith("250")
    (row,) = sandbox.messages()

    assert sandbox.get(f"/messages/{row['id']}").status_code == 200
    assert sandbox.get(f"/api/messages/{row['id']}").status_code == 200


def test_the_inbox_shows_the_newest_first_pages_and_searches(sandbox: SandboxProcess, talk: Talk) -> None:
    for number in range(60):
        talk.submit(f"ok+{number:02d}@example.com", b"Subject: Mail %d\r\n\r\n" % number)

    newest = sandbox.get("/").text
    assert newest.index("ok+59@") < newest.index("ok+58@")
    assert "ok+09@" not in newest
    assert "Older" in newest
    found = sandbox.get("/?q=MAIL+7").text
    assert "ok+07@" in found
    assert "ok+08@" not in found
