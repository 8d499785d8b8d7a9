"""One mail that tells of a whole bulk send: at its end, or when some of it is late.

A server's words stand in the attached list alone, as cells of CSV.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime

from postwerk.contracts.content import Attachment, Content, Mailbox
from postwerk.contracts.notices import FAILED_STATES, Reason, ToldMessage, ToldSend
from postwerk.contracts.states import OPEN_STATES, BulkState, MessageState
from postwerk.mime.dsn import SPEAKER

MOST_CSV_BYTES = 5 * 1024 * 1024
MOST_REASONS = 20
_COLUMNS = ("address", "state", "reason", "code", "enhanced", "reply", "attempts", "changed_at")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet, and an address or a reply may begin so."""
_ENDED = {BulkState.COMPLETED: "completed", BulkState.CANCELLED: "cancelled", BulkState.FAILED: "broken off"}


class FailureList:
    """The CSV of what failed, up to 5 MB."""

    def __init__(self, most_bytes: int = MOST_CSV_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lines: list[str] = []
        self.full = False
        self._add(_COLUMNS)

    @property
    def rows(self) -> int:
        return len(self._lines) - 1

    @property
    def text(self) -> str:
        return "".join(self._lines)

    def add(self, messages: Iterable[ToldMessage]) -> None:
        """Take as many as there is room for; then it is `full`."""
        for message in messages:
            if not self.full:
                self._add(_row(message))

    def _add(self, cells: Sequence[object]) -> None:
        line = _csv_line(cells)
        size = len(line.encode())
        if self._bytes + size > self._most_bytes:
            self.full = True
            return
        self._bytes += size
        self._lines.append(line)


def end_digest(about: ToldSend, why: Sequence[Reason], failures: FailureList, api_url: str) -> Content:
    """Told once, at the end: how many came to which end, why some failed, and a list of those."""
    ended = _ENDED.get(about.state, about.state.value)
    failed = about.count(*FAILED_STATES)
    text = [
        f"The bulk send {_title(about)} is {ended}.",
        "",
        *_totals(about),
        *_why("Why they failed", why),
        *_list_words(about, failed - failures.rows, failures, api_url),
        *_dates(about),
    ]
    subject = f"{_called(about)}: {ended}, {failed:,} of {about.accepted:,} failed"
    return _digest(about, subject, text, _csv(about, failures))


def delay_digest(about: ToldSend, why: Sequence[Reason], now: datetime, api_url: str) -> Content:
    """Told once, a day after the beginning: how many messages are still open, and why."""
    still_open = about.count(*OPEN_STATES)
    text = [
        f"The bulk send {_title(about)} is under way since {about.accepted_at:%Y-%m-%d %H:%M} UTC,",
        f"and {still_open:,} of its {about.accepted:,} messages are not yet delivered.",
        "They are tried again; nothing needs to be done.",
        "",
        *_totals(about),
        *_why("Why they were deferred", why),
        f"Looked at: {now:%Y-%m-%d %H:%M} UTC",
        f"Tried until: {about.deadline:%Y-%m-%d %H:%M} UTC",
        f"Those deferred: {_api(about, MessageState.DEFERRED, api_url)}",
        "",
    ]
    subject = f"{_called(about)}: {still_open:,} of {about.accepted:,} not yet delivered"
    return _digest(about, subject, text, ())


def _digest(
    about: ToldSend, subject: str, text: Sequence[str], attachments: tuple[Attachment, ...]
) -> Content:
    """As variables: what stands in them is shown and never read as a template."""
    return Content(
        sender=Mailbox(email=about.content.sender.email, name=SPEAKER),
        return_path=about.content.return_path,
        subject="{{ subject }}",
        text="{{ text }}",
        variables={"subject": subject, "text": "\n".join(text)},
        headers={"Auto-Submitted": "auto-generated"},
        attachments=attachments,
    )


def _called(about: ToldSend) -> str:
    return about.name or about.id


def _title(about: ToldSend) -> str:
    return f'"{about.name}" ({about.id})' if about.name else about.id


def _totals(about: ToldSend) -> list[str]:
    rows = [(about.counts[state], state.value) for state in MessageState if about.counts.get(state)]
    return [f"{n:>12,} {words}" for n, words in [*rows, (about.accepted, "in all")]] + [""]


def _why(title: str, why: Sequence[Reason]) -> list[str]:
    if not why:
        return []
    rows = [f"{one.messages:>12,} {one.state.value}: {one.reason}" for one in why[:MOST_REASONS]]
    rest = sum(one.messages for one in why[MOST_REASONS:])
    return [f"{title}:", "", *rows, *([f"{rest:>12,} for other reasons"] if rest else []), ""]


def _list_words(about: ToldSend, left_out: int, failures: FailureList, api_url: str) -> list[str]:
    if not failures.rows:
        return []
    words = ["Each of them stands in the attached list."]
    if left_out > 0:
        words = [
            f"The attached list holds the first {failures.rows:,} of them; {left_out:,} are left out.",
            "The API has them all:",
            *(f"    {_api(about, state, api_url)}" for state in FAILED_STATES if about.counts.get(state)),
        ]
    return [*words, ""]


def _dates(about: ToldSend) -> list[str]:
    dates = [f"Accepted: {about.accepted_at:%Y-%m-%d %H:%M} UTC"]
    if about.finished_at is not None:
        dates.append(f"Ended: {about.finished_at:%Y-%m-%d %H:%M} UTC")
    return [*dates, ""]


def _api(about: ToldSend, state: MessageState, api_url: str) -> str:
    return f"GET {api_url.rstrip('/')}/v1/bulk-sends/{about.id}/messages?state={state.value}"


def _csv(about: ToldSend, failures: FailureList) -> tuple[Attachment, ...]:
    if not failures.rows:
        return ()
    return (Attachment(name=f"failed-{about.id}.csv", media_type="text/csv", text=failures.text),)


def _row(message: ToldMessage) -> tuple[object, ...]:
    return (
        message.address,
        message.state.value,
        message.reason,
        message.code or "",
        message.enhanced,
        " / ".join(message.said.splitlines()),
        message.attempts,
        f"{message.changed_at:%Y-%m-%dT%H:%M:%SZ}" if message.changed_at else "",
    )


def _csv_line(cells: Sequence[object]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow([_cell(cell) for cell in cells])
    return written.getvalue()


def _cell(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
