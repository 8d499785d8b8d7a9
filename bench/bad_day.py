"""A bad day beside a good one: 40 % greylisted and 5 % refused for now by chance, all to arrive once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
from sqlalchemy import text

from bench import mail
from bench.histories import histories_of
from bench.house import RunningHouse
from bench.programs import workplace
from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.dev.ports import Ports
from postwerk.dev.process import Part, Process, Watchdog

GREYLISTED_SECONDS = 20
RETRY = {"initial": 30, "maximum": 60}
PATIENCE_SECONDS = 400.0
_FIRST_ATTEMPTS = text("""
    SELECT count(*), min(started_at), max(started_at + milliseconds * 1000) FROM attempt
    WHERE bulk_id = :id AND number = 1
""")
_OUTCOMES = text("SELECT outcome, count(*) FROM attempt WHERE bulk_id = :id GROUP BY outcome")


class RunningSandbox:
    """`with RunningSandbox(folder) as sandbox:` the fake mail server, which keeps a ledger."""

    def __init__(self, folder: Path) -> None:
        ports = Ports(usual=False)
        self.port, http_port = ports.take(0), ports.take(0)
        self._url = f"http://127.0.0.1:{http_port}"
        options = {
            "--smtp-port": self.port,
            "--http-port": http_port,
            "--ledger": folder / f"sandbox-{self.port}.db",
            "--greylist-seconds": GREYLISTED_SECONDS,
        }
        words = [str(word) for option in options.items() for word in option]
        self._part = Part("sandbox", (sys.executable, "-m", "postwerk.sandbox", *words))
        self._log = folder / f"sandbox-{self.port}.log"

    def __enter__(self) -> Self:
        self._watchdog = Watchdog()
        self._process = Process(self._part, self._log, {}, self._watchdog)
        deadline = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the sandbox did not start: {self._log.read_text()[-500:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._watchdog.close()

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self._url}/api/counts", timeout=1).status_code == 200
        except httpx2.TransportError:
            return False

    def counts(self) -> dict[str, Any]:
        return dict(httpx2.get(f"{self._url}/api/counts", timeout=30).raise_for_status().json())


def measure(recipients: int) -> dict[str, float]:
    """The same list twice: every address well, and with trouble."""
    good = _carry(recipients, troubled=False)
    bad = _carry(recipients, troubled=True)
    return {
        "good_day_per_s": round(good["first_attempts_per_s"]),
        "bad_day_first_attempts_per_s": round(bad["first_attempts_per_s"]),
        "bad_day_ratio": round(bad["first_attempts_per_s"] / good["first_attempts_per_s"], 2),
        "bad_day_events_per_message": bad["events_per_message"],
        "bad_day_extra_copies": bad["extra_copies"],
    }


def _carry(recipients: int, *, troubled: bool) -> dict[str, float]:
    with (
        workplace() as folder,
        RunningSandbox(folder) as sandbox,
        RunningHouse(folder, sandbox.port) as house,
    ):
        bulk_id = house.post(mail.request(open=True, retry=RETRY))
        house.upload(bulk_id, _rows(recipients, troubled=troubled), "text/csv", recipients)
        house.start(bulk_id)
        began = time.monotonic()
        house.wait_until_ended(bulk_id, PATIENCE_SECONDS)
        seconds = time.monotonic() - began
        span, outcomes = asyncio.run(_attempts(house, bulk_id))
        copies = int(sandbox.counts()["accepted"])
        histories = histories_of(house, bulk_id)
    figures = {
        "first_attempts_per_s": recipients / span,
        "events_per_message": round(histories.events / recipients, 3),
        "extra_copies": copies - recipients,
    }
    day = "A bad day" if troubled else "A good day"
    print(
        f"{day}: {recipients:,} first attempts in {span:.2f} s ({recipients / span:,.0f}/s), all delivered "
        f"after {seconds:.0f} s; attempts {outcomes}; {copies - recipients} extra copies; "
        f"{figures['events_per_message']} events a message, the largest history "
        f"{histories.largest_events:,} events",
        flush=True,
    )
    return figures


def _rows(count: int, *, troubled: bool) -> Iterator[bytes]:
    yield b"email,name,first_name,city,code\n"
    for n in range(count):
        name = _local_part(n) if troubled else "ok"
        domain = mail.DOMAINS[n // 20 % len(mail.DOMAINS)]
        yield f"{name}+{n}@{domain},User {n},User{n},Zürich,c{n:08}\n".encode()


def _local_part(n: int) -> str:
    """Eight of twenty are greylisted, one of twenty is refused once with a 4yz chosen by its address."""
    return "greylist" if n % 20 < 8 else "random4-100" if n % 20 == 8 else "ok"


async def _attempts(house: RunningHouse, bulk_id: str) -> tuple[float, dict[str, int]]:
    """Seconds from the first attempt to the last reply to a first attempt; attempts by outcome."""
    archive = Archive(ArchiveConfig(house.plan.environment["POSTWERK_DATABASE_URL"]))
    try:
        async with archive.reading() as connection:
            _, first, last = (await connection.execute(_FIRST_ATTEMPTS, {"id": bulk_id})).one()
            outcomes = {
                outcome: int(n) for outcome, n in await connection.execute(_OUTCOMES, {"id": bulk_id})
            }
    finally:
        await archive.close()
    return float(last - first) / 1e6, outcomes
