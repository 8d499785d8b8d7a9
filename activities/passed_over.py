"""Messages of suspended domains, which a run over a batch passes over at no cost to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from activities.clock import ActivityClock
from activities.lane_desk import LaneDesk
from postwerk.archive.delivery import DueMessage
from postwerk.rules.suspending import Suspended, domain_of


class PassedOver:
    """What one run has passed over so far. A lane that is suspended as a whole is none of its business."""

    def __init__(self, desk: LaneDesk, lane: str, clock: ActivityClock) -> None:
        self._desk = desk
        self._lane = lane
        self._clock = clock
        self._first: dict[str, int] = {}
        """Of each domain the seq of the first message that was passed over."""

    def suspended(self) -> Mapping[str, Suspended]:
        """The domains, as the desk knows them."""
        return self._desk.suspensions.in_lane(self._lane, self._clock.now())

    def pick(self, messages: Iterable[DueMessage]) -> list[DueMessage]:
        """Those that may go; the others are remembered."""
        suspended = self.suspended()
        picked: list[DueMessage] = []
        for message in messages:
            if (domain := domain_of(message.address)) in suspended:
                self._first[domain] = min(message.seq, self._first.get(domain, message.seq))
            else:
                picked.append(message)
        return picked

    def may_return(self) -> bool:
        """Whether a suspension has ended meanwhile: then what was passed over is to be read again."""
        return bool(self._first) and not self._first.keys() <= self.suspended().keys()

    def returning(self) -> list[int]:
        """From which seqs on there is something that may go again; it is forgotten here."""
        suspended = self.suspended()
        seqs = [seq for domain, seq in self._first.items() if domain not in suspended]
        self._first = {domain: seq for domain, seq in self._first.items() if domain in suspended}
        return seqs
