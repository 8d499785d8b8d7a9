"""Whether a large send needs more of anything but time: memory of the worker, histories of Temporal."""

from __future__ import annotations

from bench.histories import histories_of
from bench.house import RunningHouse
from bench.programs import workplace
from bench.send import carry
from bench.sink import SmtpSink
from bench.usage import MemoryMeter

_MEGABYTE = 1e6


def measure(few: int, many: int) -> dict[str, float]:
    """A small and a large send through the same worker process."""
    with workplace() as folder, SmtpSink(folder) as sink, RunningHouse(folder, sink.port) as house:
        _, small = _carry(house, sink, few)
        bulk_id, large = _carry(house, sink, many)
        histories = histories_of(house, bulk_id)
    growth = (large.peak - small.peak) / _MEGABYTE
    per_message = histories.events / many
    print(
        f"Size, {many:,} mails: worker at most {large.peak / _MEGABYTE:.0f} MB "
        f"({small.peak / _MEGABYTE:.0f} MB at {few:,}); {histories.workflows:,} workflows, "
        f"{histories.events:,} events, the largest history {histories.largest_events:,} events "
        f"and {histories.largest_bytes:,} bytes",
        flush=True,
    )
    return {
        "rss_growth_mb": round(growth, 1),
        "largest_history_events": histories.largest_events,
        "largest_history_bytes": histories.largest_bytes,
        "events_per_message": round(per_message, 4),
    }


def _carry(house: RunningHouse, sink: SmtpSink, recipients: int) -> tuple[str, MemoryMeter]:
    """Its id, and what the worker took meanwhile."""
    memory = MemoryMeter(house.pid("worker"))
    memory.start()
    sent = carry(house, sink, recipients, "Postwerk, 1 worker process, memory watched")
    memory.stop()
    return sent.bulk_id, memory
