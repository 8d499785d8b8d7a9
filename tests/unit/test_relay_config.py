"""A relay's URL is read as its writer meant it, or refused with one line that never shows the password."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from postwerk.errors import ConfigurationError
from postwerk.smtp import RelayConfig, Security, StageLimits

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "security", "host", "port"),
    [
        ("smtp://mx.example.org", Security.NONE, "mx.example.org", 25),
        ("smtp://mx.example.org/", Security.NONE, "mx.example.org", 25),
        ("smtp://127.0.0.1:2525", Security.NONE, "127.0.0.1", 2525),
        ("smtp://[::1]:2525", Security.NONE, "::1", 2525),
        ("SMTP://MX.Example.org", Security.NONE, "mx.example.org", 25),
        ("smtp+starttls://u:p@mx.example.org", Security.STARTTLS, "mx.example.org", 587),
        ("smtp+starttls://mx.example.org:25", Security.STARTTLS, "mx.example.org", 25),
        ("smtps://u:p@mx.example.org", Security.IMPLICIT, "mx.example.org", 465),
        ("smtps://u:p@mx.example.org:4650", Security.IMPLICIT, "mx.example.org", 4650),
    ],
)
def test_a_url_says_host_port_and_security(url: str, security: Security, host: str, port: int) -> None:
    relay = RelayConfig.from_url(url)

    assert (relay.security, relay.host, relay.port) == (security, host, port)


def test_credentials_are_percent_decoded() -> None:
    relay = RelayConfig.from_url("smtps://us%40er:p%23%2F%3A%C3%A9@mx.example.org")

    assert (relay.username, relay.password) == ("us@er", "p#/:é")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"http://u:{SECRET}@mx.example.org", "scheme"),
        (f"u:{SECRET}@mx.example.org", "scheme"),
        (f"{SECRET}", "scheme"),
        ("", "scheme"),
        (f"smtps:u:{SECRET}@mx.example.org", "scheme"),
        ("smtp://", "host"),
        ("smtp://:25", "host"),
        (f"smtps://u:{SECRET}@", "host"),
        ("smtp://two words", "host"),
        ("smtp://a..example.org", "host"),
        (f"smtp://{'a' * 64}.example.org", "host"),
        (f"smtps://u:{SECRET}@mx.example.org:port", "port"),
        (f"smtps://u:{SECRET}@mx.example.org:0", "port"),
        (f"smtps://u:{SECRET}@mx.example.org:65536", "port"),
        (f"smtps://u:x/{SECRET}@mx.example.org", "path"),  # an unencoded "/" in a password
        (f"smtps://u:x#{SECRET}@mx.example.org", "fragment"),
        (f"smtps://u:x?{SECRET}@mx.example.org", "query"),
        ("smtp://mx.example.org/inbox", "path"),
        ("smtp://mx.example.org?tls=1", "query"),
        ("smtp://[::1", "not a URL"),
        (f"smtp://u:{SECRET}@mx.example.org", "clear text"),
        ("smtps://user@mx.example.org", "without the other"),
        (f"smtps://:{SECRET}@mx.example.org", "without the other"),
        (f"smtps://u:%00{SECRET}@mx.example.org", "NUL"),
    ],
)
def test_a_bad_url_is_refused_in_one_line_that_names_the_setting(url: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RelayConfig.from_url(url)

    assert refused.value.message.startswith("POSTWERK_RELAY_URL ")
    assert named in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "url",
    [
        f"smtps://u:{SECRET}@mx.example.org:{SECRET}",
        f"smtps://mx.example.org:{SECRET}",
        f"smtps://u:[{SECRET}@mx.example.org",
        f"{SECRET}://mx.example.org",
        f"smtp://u:{SECRET}@mx.example.org",
    ],
)
def test_an_error_never_shows_the_password_not_even_in_its_causes(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RelayConfig.from_url(url)

    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_the_password_is_not_in_the_repr() -> None:
    assert SECRET not in repr(RelayConfig.from_url(f"smtps://u:{SECRET}@mx.example.org"))


def test_overrides_win_over_the_url() -> None:
    limits = StageLimits(mail=timedelta(seconds=1))

    relay = RelayConfig.from_url(
        "smtp://mx.example.org", name="second", limits=limits, ehlo_name="me.example"
    )

    assert (relay.name, relay.limits.mail, relay.ehlo_name) == ("second", timedelta(seconds=1), "me.example")


@pytest.mark.parametrize("name", ["", "two words", "mx\r\nRSET", "müller.example"])
def test_an_ehlo_name_that_would_break_the_command_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="EHLO"):
        RelayConfig(host="mx.example.org", port=25, ehlo_name=name)


def test_a_missing_ca_file_is_found_when_the_relay_is_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CA file"):
        RelayConfig.from_url("smtps://mx.example.org", ca_file=str(tmp_path / "missing.pem"))


def test_a_file_without_certificates_is_no_ca_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")

    with pytest.raises(ConfigurationError, match="CA file"):
        RelayConfig.from_url("smtps://mx.example.org", ca_file=str(tmp_path / "ca.pem"))


def test_tls_is_verified_at_least_1_2_and_built_once() -> None:
    relay = RelayConfig.from_url("smtps://mx.example.org")

    assert relay.tls_context.verify_mode is ssl.CERT_REQUIRED
    assert relay.tls_context.check_hostname
    assert relay.tls_context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert relay.tls_context is relay.tls_context


def test_the_limit_for_the_dot_grows_with_the_message() -> None:
    limits = StageLimits()

    assert limits.for_dot(0) == 600
    assert limits.for_dot(16 * 1024 * 1024) == 600 + 256


def test_the_longest_transaction_is_more_than_the_sum_of_its_stages() -> None:
    limits = StageLimits()

    stages = limits.opening + limits.mail + limits.rcpt + limits.data + limits.block + limits.dot
    assert limits.longest(1024) > stages
