"""What is wrong with us is no recipient's fault: the send is paused, and goes on once it is mended (F26)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.bad_day import await_completed, await_paused, tell
from tests.faults.mailing import a_mailing, addresses, verdict_of
from tests.support.scripted_server import make_certificates
from tests.support.system import System
from tests.support.tls_front import TlsFront

CONNECTIONS = 8
SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": str(CONNECTIONS)}
MOST_FAILURES = 10 + CONNECTIONS
"""The tenth pauses the send; by then each connection may have begun another one."""


@pytest.mark.timeout(90)
def test_a_sender_whom_nobody_takes_pauses_the_send(tmp_path: Path) -> None:
    to = addresses(200)
    with System(tmp_path, settings=SETTINGS) as system:
        system.sandbox.set_domain("*", stage="mail", answer="550 5.7.1 Sender address rejected")
        bulk_id = system.post(a_mailing(to))["id"]
        reason = await_paused(system, bulk_id)
        failures = len(system.sandbox.attempts(stage="mail"))
        counts = system.view(bulk_id)["counts"]
        system.sandbox.clear_domain()
        tell(system, bulk_id, "release")
        await_completed(system, bulk_id)
        verdict = verdict_of(system, bulk_id, to)
        listed = system.api.get("/v1/suppressions").json()["data"]

    print(f"{failures} failures, then: {reason}")
    assert reason.startswith("paused by itself: 10 times in a row sender_refused at mail: 550")
    assert 10 <= failures <= MOST_FAILURES
    assert counts["bounced"] == 0
    assert listed == []
    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_wrong_password_pauses_the_send(tmp_path: Path) -> None:
    to = addresses(100)
    with _behind_tls(tmp_path, "good") as (system, front):
        system.sandbox.set_domain("*", preset="auth-535")
        bulk_id = system.post(a_mailing(to))["id"]
        reason = await_paused(system, bulk_id)
        failures = front.connections
        counts = system.view(bulk_id)["counts"]
        system.sandbox.clear_domain()
        tell(system, bulk_id, "release")
        await_completed(system, bulk_id)
        verdict = verdict_of(system, bulk_id, to)
        listed = system.api.get("/v1/suppressions").json()["data"]
        logs = system.logs()

    print(f"{failures} failures, then: {reason}")
    assert reason.startswith("paused by itself: 10 times in a row our_credentials at auth: 535")
    assert 10 <= failures <= MOST_FAILURES
    assert counts["bounced"] == 0
    assert listed == []
    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    assert verdict.attempts == len(to), "a failed session is nobody's attempt"
    assert "secret" not in logs


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("certificate", ["unknown authority", "wrong host", "expired"])
def test_a_certificate_that_cannot_be_trusted_pauses_the_send(tmp_path: Path, certificate: str) -> None:
    to = addresses(100)
    with _behind_tls(tmp_path, certificate) as (system, front):
        bulk_id = system.post(a_mailing(to))["id"]
        reason = await_paused(system, bulk_id)
        failures = front.connections
        before = system.sandbox.connections()
        front.present((os.fspath(tmp_path / "good.pem"), os.fspath(tmp_path / "good.key")))
        tell(system, bulk_id, "release")
        await_completed(system, bulk_id)
        verdict = verdict_of(system, bulk_id, to)

    print(f"{failures} failures, then: {reason}")
    assert reason.startswith("paused by itself: 10 times in a row tls_certificate at ")
    assert 10 <= failures <= MOST_FAILURES
    assert before == [], "nobody spoke to a server that could not be trusted"
    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    assert verdict.attempts == len(to)


@contextmanager
def _behind_tls(tmp_path: Path, certificate: str) -> Iterator[tuple[System, TlsFront]]:
    """A relay that asks for a password, over TLS."""
    certificates = make_certificates(tmp_path)
    system: System
    with TlsFront(lambda: system.sandbox.smtp_port, certificates[certificate]) as front:
        system = System(
            tmp_path,
            settings=SETTINGS | {"POSTWERK_RELAY_CA_FILE": os.fspath(tmp_path / "ca.pem")},
            sandbox_options=("--credentials", "shop:secret"),
            relay_url=f"smtps://shop:secret@localhost:{front.port}",
        )
        with system:
            yield system, front
