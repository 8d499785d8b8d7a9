"""One POST to receivers of all kinds: bounded, to a checked address, under the name it was given."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
import trustme

from postwerk.webhooks.addresses import Resolve, ResolverAway, Unresolved, by_system
from postwerk.webhooks.signing import signed_headers
from postwerk.webhooks.wire import MOST_OCTETS, Answer, Wire
from tests.support.receiver import DRIP, DROP, FLOOD, HANG, Receiver, answer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def resolver(*answers: Sequence[str]) -> tuple[Resolve, list[str]]:
    """Answers these in turn, the last one for ever; and what it was asked."""
    left, asked = list(answers), []

    async def resolve(name: str) -> list[str]:
        asked.append(name)
        return list(left.pop(0) if len(left) > 1 else left[0])

    return resolve, asked


async def posted(url: str, *, private: bool = True, **options: object) -> Answer:
    wire = Wire(private=private, **{"seconds": 2.0, **options})  # type: ignore[arg-type]
    try:
        return await wire.post(url, b"{}", signed_headers("msg_1", b"{}", [SECRET], datetime.now(UTC)))
    finally:
        await wire.close()


async def test_the_receiver_can_verify_what_it_gets() -> None:
    with Receiver(answer(201, "thank\x00 you\r\n")) as receiver:
        found = await posted(receiver.url)
        (got,) = receiver.got
    assert (found.status, found.detail, found.trouble) == (201, "thank  you", "")
    assert got.verified(SECRET) == {}
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/json"


async def test_both_secrets_sign_while_one_is_exchanged() -> None:
    other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    with Receiver() as receiver:
        wire = Wire(private=True)
        headers = signed_headers("msg_1", b"{}", [other, SECRET], datetime.now(UTC))
        await wire.post(receiver.url, b"{}", headers)
        await wire.close()
        (got,) = receiver.got
    assert got.verified(SECRET) == got.verified(other) == {}
    assert len(got.headers["webhook-signature"].split(" ")) == 2


@pytest.mark.parametrize(
    ("says", "trouble"), [(HANG, "timeout"), (DROP, "broken_off"), (b"no HTTP\r\n\r\n", "broken_off")]
)
async def test_who_gives_no_answer_is_left_soon(says: bytes, trouble: str) -> None:
    began = time.monotonic()
    with Receiver(says) as receiver:
        found = await posted(receiver.url, seconds=0.5)
    assert (found.status, found.trouble) == (None, trouble)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("says", [FLOOD, DRIP])
async def test_of_an_endless_answer_only_the_beginning_is_read(says: bytes) -> None:
    with Receiver(says) as receiver:
        found = await posted(receiver.url)
    assert found.status == 200
    assert 0 < len(found.detail) <= 500 < MOST_OCTETS


async def test_a_redirection_is_not_followed_and_no_cookie_is_kept() -> None:
    with Receiver() as elsewhere:
        moved = answer(302, location=elsewhere.url, set_cookie="a=b")
        with Receiver(moved) as receiver:
            wire = Wire(private=True)
            headers = signed_headers("msg_1", b"{}", [SECRET], datetime.now(UTC))
            statuses = [(await wire.post(receiver.url, b"{}", headers)).status for _ in range(2)]
            await wire.close()
            assert "cookie" not in receiver.got[1].headers
            assert receiver.connections == 1
    assert statuses == [302, 302]
    assert elsewhere.got == []


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await posted(receiver.url)
        assert len(receiver.got) == 1
    assert proxy.got == []


async def test_a_packed_answer_stays_packed() -> None:
    """A gzip bomb is never unpacked: nothing in the answer is needed."""
    with Receiver(answer(200, "\x1f\x8b not gzip", content_encoding="gzip")) as receiver:
        found = await posted(receiver.url)
        assert receiver.got[0].headers["accept-encoding"] == "identity"
    assert found.status == 200


# Where it goes


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.215.14", "127.0.0.1"],  # all of them are looked at
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%eth0"],
        ["64:ff9b::7f00:1"],
        ["not an address"],
    ],
)
async def test_a_name_that_leads_inside_is_not_called(addresses: list[str]) -> None:
    resolve, asked = resolver(addresses)
    with Receiver() as receiver:
        found = await posted(f"https://shop.example:{receiver.port}/", private=False, resolve=resolve)
        assert receiver.connections == 0
    assert (found.status, found.trouble) == (None, "not_public")
    assert asked == ["shop.example"]


async def test_metadata_is_not_called_even_where_own_networks_are() -> None:
    resolve, _ = resolver(["169.254.169.254"])
    assert (await posted("http://metadata.example/", resolve=resolve)).trouble == "not_public"
    assert (await posted("http://169.254.169.254/", resolve=resolve)).trouble == "not_allowed"


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that says something else the second time (DNS rebinding) is not asked a second time."""
    resolve, asked = resolver(["127.0.0.1"], ["169.254.169.254"])
    called: list[object] = []
    plain = socket.getaddrinfo

    def getaddrinfo(host: object, *arguments: object, **options: object) -> object:
        called.append(host)
        return plain(host, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Receiver() as receiver:
        wire = Wire(private=True, resolve=resolve, seconds=2)
        headers = signed_headers("msg_1", b"{}", [SECRET], datetime.now(UTC))
        url = f"http://rebinding.example:{receiver.port}/"
        first = await wire.post(url, b"{}", headers)
        await wire.close()  # the next one connects anew, and is checked anew
        second = await wire.post(url, b"{}", headers)
        await wire.close()
        assert len(receiver.got) == 1
        assert receiver.got[0].headers["host"] == f"rebinding.example:{receiver.port}"
    assert first.status == 200
    assert second.trouble == "not_public"
    assert asked == ["rebinding.example", "rebinding.example"]
    assert "rebinding.example" not in called


async def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    resolve, _ = resolver(["127.0.0.2", "127.0.0.1"])
    with Receiver() as receiver:
        found = await posted(f"http://shop.example:{receiver.port}/", resolve=resolve)
    assert found.status == 200


async def test_plain_http_is_not_spoken_to_the_public() -> None:
    assert (await posted("http://shop.example/", private=False)).trouble == "not_allowed"


# TLS


@pytest.fixture
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server called shop.example uses, and what trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("shop.example").configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_tls_is_spoken_with_the_name(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    resolve, _ = resolver(["127.0.0.1"])
    names: list[str | None] = []
    tls[0].sni_callback = lambda _socket, name, _context: names.append(name)
    with Receiver(tls=tls[0]) as receiver:
        there = await posted(f"https://shop.example:{receiver.port}/", resolve=resolve, trust=tls[1])
        other = await posted(f"https://other.example:{receiver.port}/", resolve=resolve, trust=tls[1])
        unknown = await posted(f"https://shop.example:{receiver.port}/", resolve=resolve)
        assert len(receiver.got) == 1
    assert there.status == 200
    assert names == ["shop.example", "other.example", "shop.example"]
    assert (other.trouble, unknown.trouble) == ("tls", "tls")


# The system's resolver


async def test_the_system_resolves_names() -> None:
    assert "127.0.0.1" in await by_system("localhost")
    assert await by_system("127.0.0.1") == ["127.0.0.1"]


async def test_a_name_that_does_not_exist_is_told_from_a_resolver_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(number: int) -> object:
        def getaddrinfo(*_arguments: object, **_options: object) -> object:
            raise socket.gaierror(number, "x")

        return getaddrinfo

    monkeypatch.setattr(socket, "getaddrinfo", failing(socket.EAI_NONAME))
    with pytest.raises(Unresolved):
        await by_system("nowhere.example")
    monkeypatch.setattr(socket, "getaddrinfo", failing(socket.EAI_AGAIN))
    with pytest.raises(ResolverAway):
        await by_system("later.example")
