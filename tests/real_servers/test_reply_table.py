"""Every code at every stage, said by a server: what follows is what reply_cells.toml promises."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest

from postwerk.contracts.smtp import Exchange
from postwerk.rules.reply_class import BulkEffect, Decision, Effect, LaneEffect, classify
from postwerk.smtp import RelayConfig, Security
from tests.support.scripted_server import EHLO, ScriptedServer, make_certificates, send_one

CELLS: dict[str, dict[str, str]] = tomllib.loads(
    (Path(__file__).parent / "reply_cells.toml").read_text("utf-8")
)
CODES = [421, 450, 451, 452, 454, 455, 500, 501, 502, 503, 504]
CODES += [521, 530, 535, 550, 551, 552, 553, 554, 555, 556]
STAGES = ["banner", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot", "quit"]

OFFER = {
    "starttls": EHLO.replace("250 8BITMIME", "250-8BITMIME\r\n250 STARTTLS"),
    "auth": EHLO.replace("250 8BITMIME", "250-8BITMIME\r\n250 AUTH PLAIN"),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("certificates")
    return {"ca": str(folder / "ca.pem")} | make_certificates(folder)


@pytest.fixture(scope="module", params=STAGES)
def conversations(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: dict[str, Any]
) -> tuple[str, dict[int, Exchange]]:
    """The stage, and how a message ended for each code said there. One server, a connection for each code."""
    stage = request.param
    offer = {"ehlo": OFFER[stage]} if stage in OFFER else {}
    scripts = [offer | {stage: f"{code} as the script says"} for code in CODES]
    settings = _implicit_tls(certificates) if stage == "auth" else {}
    with ScriptedServer(tmp_path_factory.mktemp(stage), *scripts, **settings) as server:
        relay = _relay(server, stage, certificates)
        exchanges = asyncio.run(_one_after_the_other(relay))
        assert server.accepted == len(CODES)
        assert server.verbs.count("QUIT") == len(CODES) or stage != "quit"
    return stage, exchanges


def _implicit_tls(certificates: dict[str, Any]) -> dict[str, Any]:
    return {"tls": "implicit", "certificate": certificates["good"]}


def _relay(server: ScriptedServer, stage: str, certificates: dict[str, Any]) -> RelayConfig:
    if stage == "starttls":
        return server.relay(host="localhost", security=Security.STARTTLS, ca_file=certificates["ca"])
    if stage == "auth":
        secured = {"host": "localhost", "security": Security.IMPLICIT, "ca_file": certificates["ca"]}
        return server.relay(username="user", password="hunter2", **secured)
    return server.relay()


async def _one_after_the_other(relay: RelayConfig) -> dict[int, Exchange]:
    return {code: await send_one(relay) for code in CODES}


@pytest.mark.parametrize("code", CODES)
def test_the_cell_holds(conversations: tuple[str, dict[int, Exchange]], code: int) -> None:
    stage, exchanges = conversations
    exchange = exchanges[code]

    assert classify(exchange) == _promised(CELLS[stage][str(code)])
    assert exchange.reply is not None
    if stage == "quit":  # the result was there before
        assert (exchange.stage, exchange.reply.code) == ("dot", 250)
    else:
        assert (exchange.stage, exchange.reply.code) == (stage, code)


def _promised(cell: str) -> Decision:
    """Read from "bounce user_unknown suppress": effect, reason, then what there is of the others."""
    effect, reason, *rest = cell.split()
    assert set(rest) <= {"suspect", "slow", "host", "config", "too_big", "suppress"}
    lane = next((LaneEffect(word) for word in rest if word in list(LaneEffect)), LaneEffect.NONE)
    bulk = next((one for one in (BulkEffect.CONFIG, BulkEffect.TOO_BIG) if one in rest), BulkEffect.NONE)
    return Decision(Effect(effect), reason, lane, bulk, suppress="suppress" in rest)


def test_there_is_a_cell_for_every_code_at_every_stage() -> None:
    assert {stage: list(map(int, cells)) for stage, cells in CELLS.items()} == dict.fromkeys(STAGES, CODES)
