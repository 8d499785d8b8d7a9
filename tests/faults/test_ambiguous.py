"""The gap that SMTP leaves open (RFC 1047): the dot was written, and the connection died before the reply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.mailing import a_mailing, addresses, verdict_of
from tests.support.system import System

# hang-after-dot belongs here as well; the limit for the dot is ten minutes and no setting shortens it.
# tests/real_servers/test_smtp_stages.py has it with a limit of its own.
DROPPED = 12


@pytest.mark.timeout(90)
def test_a_message_whose_reply_was_lost_is_sent_again_with_the_same_bytes_or_not_at_all(
    tmp_path: Path,
) -> None:
    resend = addresses(30, domain="resend.example") + addresses(
        DROPPED, "drop-after-dot1", domain="resend.example"
    )
    stop = addresses(30, domain="stop.example") + addresses(DROPPED, "drop-after-dot1", domain="stop.example")
    with System(tmp_path) as system:
        first = system.post(a_mailing(resend))["id"]
        second = system.post(a_mailing(stop, on_ambiguous="stop"))["id"]
        for bulk_id in (first, second):
            system.wait_until_accounted(bulk_id)
        resent = verdict_of(system, first, resend, most_extra_copies=DROPPED)
        stopped = verdict_of(system, second, stop, most_extra_copies=0, most_marked=DROPPED)
        again = _details(system, first, "drop-after-dot1+1@resend.example")
        never = _details(system, second, "drop-after-dot1+1@stop.example")
        taken_once = system.sandbox.recipient("drop-after-dot1+1@stop.example")
        taken_twice = system.sandbox.recipient("drop-after-dot1+1@resend.example")

    # The judge has compared Message-ID and bytes of the two copies.
    assert resent.complaints == []
    assert stopped.complaints == []
    assert resent.states == {"delivered": len(resend)}
    assert (resent.extra_copies, resent.possible_duplicates) == (DROPPED, DROPPED)
    assert stopped.states == {"delivered": 30, "unknown": DROPPED}
    assert (again["state"], again["possible_duplicate"], again["attempt_count"]) == ("delivered", True, 2)
    assert [one["outcome"] for one in again["attempts"]] == ["ambiguous", "delivered"]
    assert (never["state"], never["possible_duplicate"], never["attempt_count"]) == ("unknown", True, 1)
    assert taken_twice is not None
    assert taken_twice["copies"] == 2
    assert taken_once is not None
    assert taken_once["copies"] == 1


def _details(system: System, bulk_id: str, address: str) -> dict[str, Any]:
    found = system.api.get(f"/v1/bulk-sends/{bulk_id}/messages", params={"q": address}).json()["data"]
    return dict(system.api.get(f"/v1/messages/{found[0]['id']}").json())
