"""Messages a second, from the start of a bulk send to the last 250 that the sink gave."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from bench import mail
from bench.house import RunningHouse
from bench.programs import workplace
from bench.sink import SmtpSink
from bench.usage import CpuMeter
from postwerk.archive.engine import Archive, ArchiveConfig

PATIENCE_SECONDS = 300.0
_CHILDREN_OF_ONE = 500
_SPAN = text(
    "SELECT count(*), min(started_at), max(started_at + milliseconds * 1000) FROM attempt WHERE bulk_id = :id"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A bulk send that has ended, and the time from the call of /start to the sink's last 250."""

    bulk_id: str
    seconds: float
    upload_seconds: float


def measure_round(recipients: int) -> dict[str, float]:
    """Once with one worker process, once with two."""
    one, two = send_many(recipients, 1), send_many(recipients, 2)
    return {
        "postwerk_per_s": recipients / one.seconds,
        "postwerk_2_workers_per_s": recipients / two.seconds,
        "postwerk_with_upload_per_s": recipients / (one.upload_seconds + one.seconds),
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(one[name] for one in rounds)) for name in rounds[0]}


def measure_children_of_one() -> dict[str, float]:
    """A child workflow for each recipient: what a row of its own in the Web UI costs."""
    sent = send_many(_CHILDREN_OF_ONE, 1, recipients_per_child=1)
    return {"per_child_1_per_s": round(_CHILDREN_OF_ONE / sent.seconds, 1)}


def send_many(recipients: int, processes: int, **options: Any) -> Sent:
    """One bulk send in a new house."""
    with (
        workplace() as folder,
        SmtpSink(folder) as sink,
        RunningHouse(folder, sink.port, worker_processes=processes) as house,
    ):
        return carry(house, sink, recipients, _title(processes, options), **options)


def carry(house: RunningHouse, sink: SmtpSink, recipients: int, title: str, **options: Any) -> Sent:
    """Upload, start and wait for the end."""
    bulk_id = house.post(mail.request(open=True, **options))
    uploading = time.monotonic()
    house.upload(bulk_id, mail.csv_rows(recipients), "text/csv", recipients)
    upload_seconds = time.monotonic() - uploading
    before = sink.taken
    pids = {name: house.pid(name) for name in ("worker", "temporal", "api")} | {"sink": sink.pid}
    with CpuMeter(pids) as cpu:
        started = time.monotonic()
        house.start(bulk_id)
        seconds = sink.wait_for(before + recipients, PATIENCE_SECONDS) - started
    view = house.wait_until_ended(bulk_id, PATIENCE_SECONDS)
    assert sink.taken == before + recipients, f"{sink.taken - before} mails instead of {recipients}"
    print(
        f"{title}: {recipients / seconds:,.0f}/s ({recipients:,} in {seconds:.2f} s; "
        f"archive: first to last reply {_span(house, bulk_id, recipients):.2f} s, "
        f"{view['started_at']} to {view['finished_at']}; upload {upload_seconds:.2f} s; "
        f"CPU microseconds a message: {cpu.microseconds_per(recipients)})",
        flush=True,
    )
    return Sent(bulk_id, seconds, upload_seconds)


def _title(processes: int, options: dict[str, Any]) -> str:
    words = f"Postwerk, {processes} worker process{'es' * (processes > 1)}"
    return ", ".join([words, *(f"{name} {value}" for name, value in options.items())])


def _span(house: RunningHouse, bulk_id: str, recipients: int) -> float:
    """What the archive says about the same: seconds from the first attempt to the last reply."""

    async def ask() -> float:
        archive = Archive(ArchiveConfig(house.plan.environment["POSTWERK_DATABASE_URL"]))
        try:
            async with archive.reading() as connection:
                attempts, first, last = (await connection.execute(_SPAN, {"id": bulk_id})).one()
        finally:
            await archive.close()
        assert attempts == recipients, f"{attempts} attempts for {recipients} mails"
        return float(last - first) / 1e6

    return asyncio.run(ask())
