"""What the operators' page says. At INFO and above no address, content or secret (P7)."""

from __future__ import annotations

from postwerk.observe.log.logger import sentence


def figures_unknown(error: BaseException) -> None:
    """The next look is soon."""
    sentence.warning("the queue's figures are not known", error=type(error).__name__)


def part_unknown(error: BaseException) -> None:
    """It is shown as not known."""
    sentence.warning("a part of the page is not known", error=type(error).__name__)


def part_not_drawn(error: BaseException) -> None:
    sentence.warning("a live part of the page could not be drawn", error=type(error).__name__)
