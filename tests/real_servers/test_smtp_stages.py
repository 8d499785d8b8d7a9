"""Each stage knows its name: where a conversation failed, with what, and whether the dot was written."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from postwerk.contracts.smtp import Exchange, Stage, Trouble
from postwerk.smtp import RelayConfig, Security, open_conversation
from tests.support.scripted_server import (
    EHLO,
    LETTER,
    ScriptedServer,
    make_certificates,
    quick_limits,
    send_one,
)

STAGES = ["banner", "ehlo", "mail", "rcpt", "data", "dot"]
WITH_TLS = {"ehlo": [EHLO.replace("250 8BITMIME", "250-8BITMIME\r\n250 STARTTLS"), EHLO]}
WITH_AUTH = {"ehlo": EHLO.replace("250 8BITMIME", "250-AUTH CRAM-MD5 PLAIN LOGIN\r\n250 8BITMIME")}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("certificates")
    return {"ca": str(folder / "ca.pem")} | make_certificates(folder)


async def test_a_250_to_the_dot_is_a_reply_at_the_dot(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.dot_written, exchange.trouble) == (Stage.DOT, True, None)
    assert exchange.reply is not None
    assert (exchange.reply.code, exchange.reply.enhanced) == (250, "2.0.0")
    assert (exchange.host, exchange.tls) == ("127.0.0.1", "")
    assert server.messages == [LETTER + b".\r\n"]
    assert server.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


# A1: the same words from aiosmtplib at every stage; here each stage has its own name
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("fault", "trouble"), [("close", Trouble.LOST), ("reset", Trouble.LOST), ("hang", Trouble.TIMEOUT)]
)
async def test_a_lost_or_silent_server_is_known_by_stage(
    tmp_path: Path, stage: str, fault: str, trouble: Trouble
) -> None:
    # A reset without any delay may come before connect() returns, and then belongs to that stage.
    with ScriptedServer(tmp_path, {stage: {"wait": 0.05, "then": fault}}) as server:
        exchange = await send_one(server.relay(limits={stage: 0.3} if fault == "hang" else {}))

    assert (exchange.stage, exchange.trouble) == (Stage(stage), trouble)
    assert exchange.reply is None
    assert exchange.dot_written == (stage == "dot")
    assert exchange.detail
    assert "\n" not in exchange.detail


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", [421, 450, 452, 500, 530, 550, 554])
async def test_a_refusal_is_a_reply_at_its_stage(tmp_path: Path, stage: str, code: int) -> None:
    with ScriptedServer(tmp_path, {stage: f"{code} {code // 100}.7.1 no"}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble) == (Stage(stage), None)
    assert exchange.reply is not None
    assert (exchange.reply.code, exchange.reply.enhanced) == (code, f"{code // 100}.7.1")


async def test_a_refused_connection_is_no_reply(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        relay = RelayConfig(host="127.0.0.1", port=unused.getsockname()[1], limits=quick_limits())

        exchange = await send_one(relay)

    assert (exchange.stage, exchange.trouble, exchange.detail) == (
        Stage.CONNECT,
        Trouble.REFUSED,
        "connection refused",
    )


async def test_a_name_that_does_not_resolve_is_a_refused_connection() -> None:
    exchange = await send_one(RelayConfig(host="nowhere.invalid", port=25, limits=quick_limits()))

    assert (exchange.stage, exchange.trouble) == (Stage.CONNECT, Trouble.REFUSED)
    assert "resolve" in exchange.detail


# A9: limits of stages add up
async def test_slow_stages_together_are_cut_by_the_limit_for_opening(tmp_path: Path) -> None:
    slow = {"banner": {"wait": 0.3, "say": "220 hi"}, "ehlo": {"wait": 0.3, "say": EHLO}}
    with ScriptedServer(tmp_path, slow) as server:
        exchange = await send_one(server.relay(limits={"opening": 0.4}))

    assert (exchange.stage, exchange.trouble) == (Stage.EHLO, Trouble.TIMEOUT)
    assert exchange.milliseconds >= 350


# A13
@pytest.mark.parametrize("code", [450, 500, 502, 504, 550])
async def test_a_refused_ehlo_is_not_tried_again_as_helo(tmp_path: Path, code: int) -> None:
    with ScriptedServer(tmp_path, {"ehlo": f"{code} no"}) as server:
        exchange = await send_one(server.relay())

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage.EHLO, code)
    assert server.verbs == ["EHLO"]


# A14: not the recipient's fault, and recognisable as such
@pytest.mark.parametrize("code", [421, 450, 521, 554])
async def test_a_refusing_banner_is_a_reply_of_the_session(tmp_path: Path, code: int) -> None:
    with ScriptedServer(tmp_path, {"banner": {"say": f"{code} not you", "then": "close"}}) as server:
        exchange = await send_one(server.relay())

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code, exchange.reply.text) == (Stage.BANNER, code, "not you")
    assert server.verbs == []


# A22
async def test_the_ehlo_name_is_the_configured_one(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path) as server:
        await send_one(server.relay(ehlo_name="mail.example.org"))

    assert server.lines[0] == "EHLO mail.example.org"


async def test_a_long_ehlo_reply_is_read_to_its_last_extension(tmp_path: Path) -> None:
    many = "".join(f"250-X-EXTENSION-{number}\r\n" for number in range(300)) + "250 SIZE 10"
    with ScriptedServer(tmp_path, {"ehlo": "250-hi\r\n" + many}) as server:
        exchange = await send_one(server.relay())

    assert (exchange.stage, exchange.trouble) == (Stage.MAIL, Trouble.TOO_BIG)  # SIZE was the last line


# A5, A18: TLS


def _tls_server(folder: Path, kind: Security, certificate: tuple[str, str], **stages: Any) -> ScriptedServer:
    tls = "implicit" if kind is Security.IMPLICIT else ""
    ehlo: dict[str, Any] = {} if tls else WITH_TLS
    return ScriptedServer(folder, ehlo | stages, tls=tls, certificate=certificate)


@pytest.mark.parametrize("kind", [Security.STARTTLS, Security.IMPLICIT])
async def test_tls_carries_the_message_and_is_named(
    tmp_path: Path, certificates: dict[str, Any], kind: Security
) -> None:
    with _tls_server(tmp_path, kind, certificates["good"]) as server:
        relay = server.relay(host="localhost", security=kind, ca_file=certificates["ca"])
        exchange = await send_one(relay)

    assert exchange.reply is not None
    assert (exchange.stage, exchange.tls) == (Stage.DOT, "TLSv1.3")
    assert server.messages == [LETTER + b".\r\n"]
    if kind is Security.STARTTLS:  # RFC 3207 4.2: EHLO anew
        assert server.verbs[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]


@pytest.mark.parametrize("kind", [Security.STARTTLS, Security.IMPLICIT])
@pytest.mark.parametrize("certificate", ["wrong host", "unknown authority", "expired"])
async def test_a_bad_certificate_is_named_as_such_and_nothing_is_sent(
    tmp_path: Path, certificates: dict[str, Any], kind: Security, certificate: str
) -> None:
    with _tls_server(tmp_path, kind, certificates[certificate]) as server:
        relay = server.relay(host="localhost", security=kind, ca_file=certificates["ca"])
        exchange = await send_one(relay)

    assert (exchange.stage, exchange.trouble) == (Stage.STARTTLS, Trouble.CERTIFICATE)
    assert exchange.detail.startswith("certificate refused: ")
    assert "MAIL" not in server.verbs


@pytest.mark.parametrize("kind", [Security.STARTTLS, Security.IMPLICIT])
@pytest.mark.parametrize(
    ("handshake", "trouble"),
    [
        ("hang", Trouble.TIMEOUT),
        ("close", Trouble.LOST),
        ("reset", Trouble.LOST),
        ({"say": "220 this is clear text", "then": "hang"}, Trouble.TLS),
    ],
)
async def test_a_broken_handshake_is_known_by_its_kind(
    tmp_path: Path, certificates: dict[str, Any], kind: Security, handshake: Any, trouble: Trouble
) -> None:
    limits = {"tls": 0.4} if handshake == "hang" else {}
    with _tls_server(tmp_path, kind, certificates["good"], handshake=handshake) as server:
        relay = server.relay(host="localhost", security=kind, ca_file=certificates["ca"], limits=limits)
        exchange = await send_one(relay)

    # A reset may be quicker than the news that there was a connection.
    assert exchange.stage in {Stage.STARTTLS, Stage.CONNECT if handshake == "reset" else Stage.STARTTLS}
    # garbage after 220 may arrive together with it: then it is a reply that nobody asked for
    assert exchange.trouble in {trouble, Trouble.PROTOCOL if trouble is Trouble.TLS else trouble}


async def test_a_server_without_starttls_gets_neither_password_nor_message(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, WITH_AUTH) as server:  # as if someone had stripped the offer
        relay = server.relay(security=Security.STARTTLS, username="user", password="hunter2")
        exchange = await send_one(relay)

    assert (exchange.stage, exchange.trouble) == (Stage.STARTTLS, Trouble.TLS)
    assert server.verbs == ["EHLO"]


async def test_a_refused_starttls_is_a_reply(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, WITH_TLS | {"starttls": "454 4.7.0 not now"}) as server:
        exchange = await send_one(server.relay(security=Security.STARTTLS))

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage.STARTTLS, 454)
    assert server.verbs == ["EHLO", "STARTTLS"]


# CVE-2011-0411
async def test_what_was_injected_before_the_handshake_ends_the_conversation(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, WITH_TLS | {"starttls": "220 ready\r\n250 AUTH PLAIN"}) as server:
        exchange = await send_one(server.relay(security=Security.STARTTLS))

    assert (exchange.stage, exchange.trouble) == (Stage.STARTTLS, Trouble.PROTOCOL)


# A18, the password


def _login_server(folder: Path, certificates: dict[str, Any], **stages: Any) -> ScriptedServer:
    return ScriptedServer(folder, WITH_AUTH | stages, tls="implicit", certificate=certificates["good"])


def _login(server: ScriptedServer, certificates: dict[str, Any], **limits: float) -> RelayConfig:
    return server.relay(
        host="localhost",
        security=Security.IMPLICIT,
        ca_file=certificates["ca"],
        username="user",
        password="hunter2",
        limits=limits,
    )


async def test_the_password_goes_out_once_with_auth_plain(
    tmp_path: Path, certificates: dict[str, Any]
) -> None:
    with _login_server(tmp_path, certificates) as server:
        exchange = await send_one(_login(server, certificates))

    assert exchange.stage is Stage.DOT
    assert [line for line in server.lines if line.startswith("AUTH")] == ["AUTH PLAIN AHVzZXIAaHVudGVyMg=="]


async def test_a_server_with_only_auth_login_is_served(tmp_path: Path, certificates: dict[str, Any]) -> None:
    ehlo, challenge = "250-hi\r\n250 AUTH LOGIN", "334 UGFzc3dvcmQ6"
    with _login_server(tmp_path, certificates, ehlo=ehlo, auth=challenge) as server:
        exchange = await send_one(_login(server, certificates))

    assert exchange.stage is Stage.DOT
    assert server.lines[1:3] == ["AUTH LOGIN dXNlcg==", "aHVudGVyMg=="]


@pytest.mark.parametrize("code", [454, 535])
async def test_a_wrong_password_is_tried_once_and_is_a_reply_at_auth(
    tmp_path: Path, certificates: dict[str, Any], code: int
) -> None:
    with _login_server(tmp_path, certificates, auth=f"{code} {code // 100}.7.8 no") as server:
        exchange = await send_one(_login(server, certificates))

    assert exchange.reply is not None
    assert (exchange.stage, exchange.reply.code) == (Stage.AUTH, code)
    assert server.verbs == ["EHLO", "AUTH"]
    assert "hunter2" not in repr(exchange)


@pytest.mark.parametrize(("fault", "trouble"), [("close", Trouble.LOST), ("hang", Trouble.TIMEOUT)])
async def test_a_server_lost_at_auth_is_known_by_stage(
    tmp_path: Path, certificates: dict[str, Any], fault: str, trouble: Trouble
) -> None:
    with _login_server(tmp_path, certificates, auth=fault) as server:
        exchange = await send_one(_login(server, certificates, auth=0.4))

    assert (exchange.stage, exchange.trouble) == (Stage.AUTH, trouble)


async def test_a_server_without_a_known_mechanism_is_our_own_refusal(
    tmp_path: Path, certificates: dict[str, Any]
) -> None:
    with _login_server(tmp_path, certificates, ehlo="250-hi\r\n250 AUTH CRAM-MD5") as server:
        exchange = await send_one(_login(server, certificates))

    assert (exchange.stage, exchange.trouble) == (Stage.AUTH, Trouble.LOCAL)


async def test_a_failed_opening_takes_no_longer_than_its_limit(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, {"banner": "hang"}) as server:
        started = time.monotonic()
        opened = await open_conversation(server.relay(limits={"banner": 0.3}))

    assert isinstance(opened, Exchange)
    assert time.monotonic() - started < 3
