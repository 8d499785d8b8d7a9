"""Further relays are read as they are written, or refused on one line that shows no password."""

from __future__ import annotations

import argparse

import pytest

from postwerk.cli import check_settings
from postwerk.errors import ConfigurationError
from postwerk.settings import Settings, load_settings
from postwerk.smtp import Security

SECRET = "hunter2"
TWO = f"backup=smtp://mx.example.org:2525, bulk-2=smtps://user:{SECRET}@mail.example.org"


@pytest.mark.parametrize("written", [TWO, TWO.replace(",", "\n"), f"\n{TWO},\n"])
def test_relays_are_named_in_one_line_or_in_several(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("POSTWERK_RELAYS", written)
    monkeypatch.setenv("POSTWERK_EHLO_NAME", "out.example.org")
    backup, bulk = load_settings().further_relays()
    assert (backup.name, backup.host, backup.port, backup.security) == (
        "backup",
        "mx.example.org",
        2525,
        Security.NONE,
    )
    assert (bulk.name, bulk.port, bulk.username, bulk.password) == ("bulk-2", 465, "user", SECRET)
    assert {backup.ehlo_name, bulk.ehlo_name} == {"out.example.org"}


def test_without_the_setting_there_are_none() -> None:
    assert Settings(_env_file=None).further_relays() == ()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"smtps://user:{SECRET}@mail.example.org", "entry 1: does not begin with a name"),
        (f"ok=smtp://a, back up=smtps://user:{SECRET}@b", "entry 2: does not begin with a name"),
        (f"x/y=smtps://user:{SECRET}@b", "entry 1: does not begin with a name"),
        (f"-x=smtps://user:{SECRET}@b", "entry 1: does not begin with a name"),
        (f"{'x' * 41}=smtps://user:{SECRET}@b", "entry 1: does not begin with a name"),
        (f"default=smtps://user:{SECRET}@b", "entry 1: is named default"),
        (f"a=smtp://a,A=smtps://user:{SECRET}@b", "entry 2: has the name A a second time"),
        (f"a=http://user:{SECRET}@b", "entry 1: has an unknown scheme"),
        (f"a=smtp://user:{SECRET}@b", "entry 1: would send a password in clear text"),
        ("a=", "entry 1: has an unknown scheme"),
        (f"a=smtps://user:x,{SECRET}@b", "entry 1: has a bad port"),
        (f"a=smtp://a,b=smtps://user:{SECRET}@b:0", "entry 2: has a bad port"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_number(
    monkeypatch: pytest.MonkeyPatch, written: str, said: str
) -> None:
    monkeypatch.setenv("POSTWERK_RELAYS", written)
    with pytest.raises(ConfigurationError) as raised:
        load_settings().further_relays()
    words = raised.value.message
    assert words.startswith(f"POSTWERK_RELAYS, {said}")
    assert "\n" not in words
    assert SECRET not in words


def test_check_settings_shows_every_relay_and_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSTWERK_RELAYS", f"{TWO}\nsix=smtp+starttls://u:{SECRET}%2C2@[::1]")
    assert check_settings.run(argparse.Namespace()) == 0
    shown = capsys.readouterr().out
    assert (
        "POSTWERK_RELAYS=backup=smtp://mx.example.org:2525,bulk-2=smtps://user:***@mail.example.org:465,"
        "six=smtp+starttls://u:***@[::1]:587\n"
    ) in shown
    assert SECRET not in shown


def test_check_settings_refuses_relays_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTWERK_RELAYS", "backup=mail.example.org")
    with pytest.raises(ConfigurationError, match=r"^POSTWERK_RELAYS, entry 1"):
        check_settings.run(argparse.Namespace())
