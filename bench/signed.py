"""The same with all that a sender of bulk mail is asked for: signed, a way out, bounce addresses."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from random import Random

from bench import mail
from bench.house import RunningHouse
from bench.programs import workplace
from bench.send import Sent, carry, send_many
from bench.sink import SmtpSink
from postwerk.mime.dkim_keys import new_key


def measure_round(recipients: int, algorithm: str, kilobytes: int = 0) -> dict[str, float]:
    """Plain and signed in turn, each with one worker process and with two; signed, a file may go along."""
    figures: dict[str, float] = {}
    for processes in (1, 2):
        plain = recipients / send_many(recipients, processes).seconds
        signed = recipients / send_signed(recipients, processes, algorithm, kilobytes).seconds
        figures |= {
            f"plain_{processes}_per_s": plain,
            f"{algorithm}_{processes}_per_s": signed,
            f"{algorithm}_{processes}_percent": 100 * signed / plain,
        }
    return figures


def send_signed(recipients: int, processes: int, algorithm: str, kilobytes: int = 0) -> Sent:
    """One bulk send in a new house that has a key of this kind."""
    with (
        workplace() as folder,
        SmtpSink(folder) as sink,
        RunningHouse(
            folder, sink.port, worker_processes=processes, settings=_settings(folder, algorithm)
        ) as house,
    ):
        title = f"Postwerk, {processes} worker processes, signed by {algorithm}"
        return carry(house, sink, recipients, title, list_unsubscribe=True, attachments=_files(kilobytes))


def _files(kilobytes: int) -> list[dict[str, str]]:
    """One that cannot be compressed, the same for everybody."""
    data = Random(kilobytes).randbytes(kilobytes * 1024)
    return [{"filename": "catalogue.pdf", "content": b64encode(data).decode()}] if kilobytes else []


def _settings(folder: Path, algorithm: str) -> dict[str, str]:
    domain = mail.SENDER.partition("@")[2]
    path = folder / "keys" / domain / "bench.pem"
    path.parent.mkdir(parents=True)
    path.touch(0o600)
    path.write_bytes(new_key(domain, "bench", algorithm)[1])
    return {"POSTWERK_DKIM_KEYS": str(folder / "keys"), "POSTWERK_BOUNCE_DOMAIN": f"bounce.{domain}"}
