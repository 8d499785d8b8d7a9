"""`?dry_run=true`: what a send would be, told before anything is stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from postwerk.archive.engine import Archive
from tests.support.api import Door, a_bulk_send, open_door

PATH = "/v1/bulk-sends?dry_run=true"


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


async def checked(door: Door, *, more: str = "", **changes: Any) -> dict[str, Any]:
    answer = await door.http.post(PATH + more, json=a_bulk_send(**changes))
    assert answer.status_code == 200, answer.text
    async with door.archive.reading() as connection:
        for table in ("bulk_send", "content", "message", "idempotency"):
            count = await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
            assert count.scalar_one() == 0
    return dict(answer.json())


def someone(number: int, **variables: Any) -> dict[str, Any]:
    return {"to": f"user{number}@example.com", "variables": variables}


async def test_who_lacks_which_variable_is_told(door: Door) -> None:
    found = await checked(
        door,
        subject="{{ first_name }}",
        text="{{ order.total }} {{ coupon|default('none') }} {% if vip is defined %}!{% endif %}",
        variables={"shop": "ours"},
        recipients=[
            someone(0, first_name="Ada", order={"total": 3}),
            someone(1, order={"total": 3}),
            someone(2, first_name="Ada", order={}),
            {"to": "nobody"},
            someone(4),
            someone(5, first_name="Ada", order={"total": 3}, coupon="x", vip=True),
            *(someone(number, order={"total": 1}) for number in range(6, 16)),
        ],
    )
    assert found["undefined_variables"] == [
        {"name": "first_name", "recipients": 12, "indexes": [1, 4, 6, 7, 8]},
        {"name": "order.total", "recipients": 2, "indexes": [2, 4]},
    ]
    codes = [(one["code"], one["pointer"]) for one in found["warnings"]]
    assert ("undefined_variables", "#/recipients") in codes
    assert ("unused_variable", "#/variables/shop") in codes
    assert ("refused_recipients", "#/recipients") in codes
    assert (found["total"], found["accepted"], found["rejected"]) == (16, 15, 1)
    assert found["errors"][0]["index"] == 3
    assert [one["index"] for one in found["samples"]] == [0, 1, 2, 4]
    assert [one["error"]["code"] for one in found["samples"][1:]] == ["undefined_variable"] * 3


async def test_a_sample_is_the_mail_as_it_goes_out(door: Door) -> None:
    found = await checked(
        door,
        subject="Grüße, {{ first_name }}",
        text="Dear {{ first_name }},\n…",
        html="<p>{{ first_name }}</p>",
        headers={"X-Campaign": "{{ first_name }}"},
        reply_to="help@shop.example",
        recipients=[
            {"to": {"email": "ada@example.com", "name": "Ada L"}, "variables": {"first_name": "<A>"}}
        ],
    )
    [sample] = found["samples"]
    headers = {header["name"]: header["value"] for header in sample["headers"]}
    assert (sample["index"], sample["to"], sample["error"]) == (0, "ada@example.com", None)
    assert sample["subject"] == headers["Subject"] == "Grüße, <A>"
    assert sample["text"].splitlines() == ["Dear <A>,", "…"]
    assert sample["html"].strip() == "<p>&lt;A&gt;</p>"
    assert headers["To"] == "Ada L <ada@example.com>"
    assert (headers["Reply-To"], headers["X-Campaign"]) == ("help@shop.example", "<A>")
    assert found["undefined_variables"] == []
    assert found["warnings"] == []


@pytest.mark.parametrize(
    ("samples", "status", "shown"), [(0, 200, 0), (1, 200, 1), (10, 200, 10), (11, 422, 0)]
)
async def test_so_many_samples_as_are_asked_for(door: Door, samples: int, status: int, shown: int) -> None:
    request = a_bulk_send(recipients=[someone(number) for number in range(20)])
    answer = await door.http.post(f"{PATH}&samples={samples}", json=request)
    assert answer.status_code == status
    assert len(answer.json().get("samples", [])) == shown


@pytest.mark.parametrize(
    "changes", [{"recipients": []}, {"subject": "{{ x"}, {"from_": "nobody"}, {"relay": "elsewhere"}]
)
async def test_what_a_send_is_refused_for_a_dry_run_is_too(door: Door, changes: dict[str, Any]) -> None:
    dry = await door.http.post(PATH, json=a_bulk_send(**changes))
    real = await door.http.post("/v1/bulk-sends", json=a_bulk_send(**changes))
    assert dry.status_code == real.status_code == 422
    assert dry.json()["errors"] == real.json()["errors"]


async def test_an_empty_subject_is_a_warning(door: Door) -> None:
    assert [one["code"] for one in (await checked(door, subject=" "))["warnings"]][:1] == ["empty_subject"]


async def test_many_recipients_and_a_slow_template_stay_bounded_and_let_others_in(door: Door) -> None:
    loops = "{% for i in range(900) %}{% for j in range(50) %}{{ x|upper }}{% endfor %}{% endfor %}"
    recipients = [
        {"to": f"user{n}@example.com", "variables": {f"v{n % 300}": "x" * 60, "x": "y" * 50}}
        for n in range(3000)
    ]
    names = "".join(f"{{{{ v{number} }}}}" for number in range(300))
    request = a_bulk_send(text=loops + names, recipients=recipients)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    answer = await door.http.post(f"{PATH}&samples=10", json=request)
    took = time.perf_counter() - began
    watching.cancel()
    print(f"{took:.2f} s, others waited {longest * 1000:.0f} ms at most")

    assert answer.status_code == 200
    assert "not_all_examined" in [one["code"] for one in answer.json()["warnings"]]
    assert took < 20
    assert longest < 1
