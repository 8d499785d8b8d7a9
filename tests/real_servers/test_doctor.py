"""The doctor, against a DNS server that says what a test wants it to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from api.dependencies import ApiConfig
from postwerk.archive.engine import Archive
from postwerk.contracts.domains import Level
from postwerk.domains.doctor import Sender, examine
from postwerk.domains.lookup import Lookup
from postwerk.domains.spf import read_spf
from postwerk.errors import ConfigurationError
from postwerk.mime.dkim_keys import DkimKey, new_key
from tests.support.api import open_door
from tests.support.dns import DnsServer, Zone

ROOT = Path(__file__).resolve().parents[2]
RSA, RSA_PEM = new_key("shop.example.com", "r1", "rsa")
ED = new_key("example.com", "e1", "ed25519")[0]

KEY_AT = ("r1._domainkey.shop.example.com", "TXT")


def txt(text: str) -> str:
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))


GOOD: dict[tuple[str, str], Any] = {
    ("shop.example.com", "MX"): ["10 mx1.example.com.", "5 mx0.example.com."],
    ("bounce.example.com", "TXT"): [txt("v=spf1 include:_spf.example.com a:relay.example.com -all")],
    ("_spf.example.com", "TXT"): [txt("unrelated"), txt("v=spf1 ip4:8.8.4.0/24 ~all")],
    ("bounce.example.com", "MX"): ["10 in.example.com."],
    KEY_AT: [txt(RSA.record)],
    ("_dmarc.example.com", "TXT"): [txt("v=DMARC1; p=none; rua=mailto:d@example.com")],
    ("relay.example.com", "A"): ["8.8.8.8"],
    ("out.example.com", "A"): ["8.8.8.9"],
    ("9.8.8.8.in-addr.arpa", "PTR"): ["out.example.com."],
    ("mail.example.com", "A"): ["8.8.8.10"],
}
SENDER = Sender(
    domain="shop.example.com",
    keys=(RSA,),
    bounce_domain="bounce.example.com",
    relay_host="relay.example.com",
    ehlo_name="out.example.com",
    public_url="https://mail.example.com",
)


async def verdicts(zone: Zone, **sender: Any) -> dict[str, tuple[Level, str]]:
    with DnsServer(zone) as server:
        wanted = Sender(**{name: getattr(SENDER, name) for name in Sender.__slots__} | sender)
        report = await examine(wanted, Lookup(server.address))
    for verdict in report.verdicts:
        assert verdict.level is Level.OK or verdict.advice, verdict
    return {verdict.check: (verdict.level, verdict.detail) for verdict in report.verdicts}


async def test_all_is_well() -> None:
    found = await verdicts(GOOD)
    assert {level for level, _ in found.values()} == {Level.OK}, found
    assert set(found) == {"mx", "spf", "dkim", "dmarc", "bounce_domain", "host_name", "public_url"}
    assert "2 lookups" in found["spf"][1]
    assert "names the relay" in found["spf"][1]
    assert "mx0.example.com, mx1" in found["mx"][1]


def spf(text: str, **more: Any) -> Zone:
    return {**GOOD, ("bounce.example.com", "TXT"): [txt(text)], **more.get("zone", {})}


MANY = {(f"n{n}.example.com", "TXT"): [txt(f"v=spf1 a:x{n}.example.com -all")] for n in range(6)}
INCLUDES = " ".join(f"include:n{n}.example.com" for n in range(6))


@pytest.mark.parametrize(
    ("zone", "sender", "check", "level", "words"),
    [
        ({("shop.example.com", "MX"): []}, {}, "mx", Level.FAIL, "no MX record and no address"),
        ({("shop.example.com", "MX"): [], ("shop.example.com", "A"): ["8.8.8.8"]},
         {}, "mx", Level.WARN, "only"),
        ({("shop.example.com", "MX"): ["0 ."]}, {}, "mx", Level.FAIL, "null MX"),
        ({("bounce.example.com", "TXT"): []}, {}, "spf", Level.FAIL, "no SPF record"),
        (spf("v=spf1 -all", zone={("bounce.example.com", "TXT"): [txt("v=spf1 -all"), txt("v=spf1 ~all")]}),
         {}, "spf", Level.FAIL, "2 SPF records"),
        (spf(f"v=spf1 {INCLUDES} -all", zone=MANY), {}, "spf", Level.FAIL, "12 lookups"),
        (spf("v=spf1 include:nowhere.example.com -all"), {}, "spf", Level.FAIL, "nowhere.example.com"),
        (spf("v=spf1 +all"), {}, "spf", Level.FAIL, "everybody"),
        (spf("v=spf1 a:relay.example.com"), {}, "spf", Level.WARN, "nothing about everybody else"),
        (spf("v=spf1 ip4:8.8.4.4 -all"), {}, "spf", Level.WARN, "does not name the relay (8.8.8.8)"),
        (spf("v=spf1 ip4:8.8.0.0/16 -all"), {}, "spf", Level.OK, "names the relay"),
        (spf("v=spf1 a:relay.example.com/24 -all"), {"relay_host": "8.8.8.200"}, "spf", Level.OK, "names"),
        (spf("v=spf1 redirect=_spf.example.com"), {"relay_host": "127.0.0.1"}, "spf", Level.OK, "redirect"),
        (spf("v=spf1 exists:%{i}.x.example.com -all"), {}, "spf", Level.OK, "1 lookups"),
        ({("bounce.example.com", "TXT"): "SERVFAIL"}, {}, "spf", Level.WARN, "no answer"),
        ({KEY_AT: []}, {}, "dkim", Level.FAIL, "has no record"),
        ({KEY_AT: [txt(ED.record)]}, {}, "dkim", Level.FAIL, "ed25519"),
        ({KEY_AT: [txt("v=DKIM1; k=rsa; p=")]}, {}, "dkim", Level.FAIL, "withdrawn"),
        ({KEY_AT: [txt("k=rsa; p=AAAA")]}, {}, "dkim", Level.FAIL, "another"),
        ({KEY_AT: [txt(f"{RSA.record}; t=y:s")]}, {}, "dkim", Level.WARN, "t=y"),
        ({KEY_AT: [txt(RSA.record)] * 2 + [txt("x")]}, {}, "dkim", Level.FAIL, "several"),
        ({}, {"keys": ()}, "dkim", Level.WARN, "no DKIM key"),
        ({("_dmarc.example.com", "TXT"): []}, {}, "dmarc", Level.FAIL, "no DMARC record"),
        ({("_dmarc.example.com", "TXT"): [txt("v=DMARC1; p=none"), txt("v=DMARC1; p=reject")]},
         {}, "dmarc", Level.FAIL, "2 DMARC"),
        ({("_dmarc.example.com", "TXT"): [txt("v=DMARC1; rua=x")]}, {}, "dmarc", Level.FAIL, "no policy"),
        ({}, {"keys": ()}, "dmarc", Level.WARN, "only SPF"),
        ({}, {"keys": (ED,)}, "dmarc", Level.OK, "our signature"),
        ({("_dmarc.shop.example.com", "TXT"): [txt("v=DMARC1; p=reject; adkim=s; aspf=s")]},
         {"keys": (ED,)}, "dmarc", Level.FAIL, "neither"),
        ({}, {"keys": (), "bounce_domain": "other.net"}, "dmarc", Level.FAIL, "neither"),
        ({("bounce.example.com", "MX"): []}, {}, "bounce_domain", Level.FAIL, "no MX record"),
        ({}, {"ehlo_name": "localhost"}, "host_name", Level.WARN, "localhost"),
        ({("out.example.com", "A"): []}, {}, "host_name", Level.FAIL, "has no address"),
        ({("9.8.8.8.in-addr.arpa", "PTR"): ["x.example.com."]},
         {}, "host_name", Level.WARN, "does not point back"),
        ({}, {"public_url": ""}, "public_url", Level.WARN, "no public address"),
        ({}, {"public_url": "http://mail.example.com"}, "public_url", Level.WARN, "needs https://"),
        ({}, {"public_url": "https://gone.example.com"}, "public_url", Level.FAIL, "has no address"),
        ({}, {"domain": "gmail.com"}, "sender", Level.FAIL, "belongs to a mailbox provider"),
        ({}, {"domain": "yahoo.co.uk"}, "sender", Level.FAIL, "belongs to a mailbox provider"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said(
    zone: Zone, sender: dict[str, Any], check: str, level: Level, words: str
) -> None:
    found = (await verdicts({**GOOD, **zone}, **sender))[check]
    assert found[0] is level, found
    assert words in found[1]


async def test_an_spf_record_that_includes_itself_comes_to_an_end() -> None:
    with DnsServer(
        {("a.example", "TXT"): [txt("v=spf1 include:a.example include:a.example -all")]}
    ) as server:
        found = await read_spf(Lookup(server.address), "a.example")
        assert found.lookups > 10
        assert len(server.asked) < 30


async def test_a_silent_server_takes_ten_seconds_at_most() -> None:
    with DnsServer({}, silent=True) as server:
        started = time.monotonic()
        report = await examine(SENDER, Lookup(server.address))
        assert time.monotonic() - started < 11
    assert report.level is Level.WARN


@pytest.mark.parametrize("server", ["nowhere", "127.0.0.1:x", "::1]"])
def test_a_server_that_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(ConfigurationError, match="POSTWERK_DNS_SERVER"):
        Lookup(server)


# The doors


def cli(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTWERK_")}
    environment |= {f"POSTWERK_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "postwerk", *arguments],
        cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_commands_make_a_key_and_find_it_published(tmp_path: Path) -> None:
    settings = {
        "dkim_keys": str(tmp_path / "keys"),
        "bounce_domain": "bounce.example.com",
        "relay_url": "smtp://relay.example.com",
        "ehlo_name": "out.example.com",
        "public_url": "https://mail.example.com",
    }
    made = cli(tmp_path, "dkim", "create", "Shop.Example.com", "--selector", "r1", **settings)
    assert made.returncode == 0, made.stderr
    path = tmp_path / "keys" / "shop.example.com" / "r1.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    again = cli(tmp_path, "dkim", "create", "shop.example.com", "--selector", "r1", **settings)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    line = cli(tmp_path, "dkim", "show", **settings).stdout
    assert line in made.stdout
    name, _, record = line.strip().partition(". IN TXT ")
    with DnsServer({**GOOD, (name, "TXT"): [record]}) as server:
        well = cli(tmp_path, "doctor", "shop.example.com", "--server", server.address, **settings)
        assert (well.returncode, well.stderr) == (0, ""), well.stdout
        assert "ok    dkim           r1._domainkey.shop.example.com holds our rsa-sha256 key." in well.stdout
        other = cli(tmp_path, "doctor", "shop.example.com", "--json", "--server", server.address)
        assert other.returncode == 2
        assert json.loads(other.stdout)["level"] == "fail"
        warned = cli(
            tmp_path, "doctor", "shop.example.com", dns_server=server.address,
            **{**settings, "ehlo_name": "localhost"},
        )  # fmt: skip
        assert warned.returncode == 1
    path.write_text("no key")
    spoiled = cli(tmp_path, "doctor", "shop.example.com", **settings)
    assert spoiled.returncode == 2
    assert "r1.pem" in spoiled.stderr


async def test_the_api_says_the_same(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "shop.example.com").mkdir()
    (tmp_path / "shop.example.com" / "r1.pem").write_bytes(RSA_PEM)
    with DnsServer(GOOD) as server:
        config = ApiConfig(
            public_url=SENDER.public_url,
            dkim_keys=str(tmp_path),
            bounce_domain=SENDER.bounce_domain,
            relay_server="relay.example.com:25",
            ehlo_name=SENDER.ehlo_name,
            dns_server=server.address,
        )
        async with open_door(archive, config) as door:
            found = (await door.http.get("/v1/domains/Shop.example.com/check")).json()
            assert (found["domain"], found["level"]) == ("shop.example.com", "ok"), found
            assert (await door.http.get("/v1/domains/a_b..c/check")).status_code == 422


def test_a_key_is_shown_without_its_secret() -> None:
    assert "private" not in repr(DkimKey("a.example", "s", ED.private))
