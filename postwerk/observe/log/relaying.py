"""What is said of relays, lanes and keys. At INFO and above no address, content or secret (P7)."""

from __future__ import annotations

from postwerk.observe.log.logger import sentence


def relay_unreachable(relay: str, reason: str, failures: int) -> None:
    sentence.warning("no session with the relay", relay=relay, reason=reason, in_a_row=failures)


def relay_unknown(relay: str, known: list[str]) -> None:
    """A bulk send names a relay that this worker's settings do not; its mail waits."""
    sentence.error("relay not known to this worker, its mail waits", relay=relay, known=known)


def lane_cools(lane: str, reason: str, seconds: float) -> None:
    sentence.warning("lane cools down", lane=lane, reason=reason, for_seconds=round(seconds))


def lane_recovered(lane: str) -> None:
    sentence.info("lane recovered", lane=lane)


def dkim_key_unusable(words: str) -> None:
    """Names the file and what is wrong with it, never what is in it."""
    sentence.warning("a DKIM key cannot be used", reason=words)


def dkim_key_open_to_others(path: str, mode: str) -> None:
    sentence.warning("a DKIM key can be read by others than its owner; chmod 600 it", file=path, mode=mode)
