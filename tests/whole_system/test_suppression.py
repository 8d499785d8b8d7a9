"""The suppression list over real processes: who is listed gets nothing, and everything adds up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.judge import judge
from tests.support.sandbox import eventually
from tests.support.system import System


def a_request(to: list[str]) -> dict[str, Any]:
    return {
        "from": "Shop <news@shop.example>",
        "subject": "Hello",
        "text": "spring is here.\n",
        "recipients": [{"to": one} for one in to],
    }


@pytest.mark.timeout(110)
def test_who_is_listed_gets_nothing_in_small_sends_and_large_ones(tmp_path: Path) -> None:
    small = [f"ok+{n}@small.example" for n in range(6)]
    large = [f"ok+{n}@large.example" for n in range(130)]
    with System(tmp_path) as system:
        listed = ["OK+1@small.example", *[f"ok+{n}@large.example" for n in range(0, 130, 3)]]
        rows = "\r\n".join(["address,reason", *[f"{one},complaint" for one in listed]])
        taken = system.api.post("/v1/suppressions", content=rows, headers={"content-type": "text/csv"})
        assert taken.json()["added"] == 45

        for to, suppressed, told in ((small, 1, 1), (large, 44, None), (["ok+1@small.example"], 1, 1)):
            answer = system.post(a_request(to))
            assert (answer["accepted"], answer["suppressed"]) == (len(to), told)
            bulk_id = answer["id"]
            system.wait_until_accounted(bulk_id)
            eventually(lambda bulk_id=bulk_id: system.view(bulk_id)["state"] == "completed")  # type: ignore[misc]
            counts = system.view(bulk_id)["counts"]
            assert (counts["suppressed"], counts["delivered"]) == (suppressed, len(to) - suppressed)
            assert judged(system, bulk_id, to).complaints == []

        mailed = {one["rcpt_to"].lower() for one in system.sandbox.messages()}
        assert mailed == set(small + large) - {one.lower() for one in listed}
        assert "small.example" not in system.logs()

        assert system.api.delete("/v1/suppressions/ok%2B1@small.example").status_code == 204
        bulk_id = system.post(a_request(["ok+1@small.example"]))["id"]
        assert system.wait_until_accounted(bulk_id)["counts"]["delivered"] == 1
        assert "small.example" not in system.logs()


def judged(system: System, bulk_id: str, to: list[str]) -> Any:
    url = system.house.environment["POSTWERK_DATABASE_URL"]
    return judge(url, system.data / "sandbox.db", bulk_id, to)
