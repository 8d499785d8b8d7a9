"""What is said of mail that came back. At INFO and above no address, content or secret (P7)."""

from __future__ import annotations

from postwerk.observe.log.logger import sentence


def inbound_listening(protocol: str, address: str, domain: str) -> None:
    sentence.info("inbound listening", protocol=protocol, address=address, domain=domain)


def inbound_unparsed(inbound_id: str, why: str) -> None:
    sentence.warning("a mail that came back cannot be read", inbound=inbound_id, why=why)


def inbound_failed(inbound_id: str, error: Exception) -> None:
    """Our mistake; it is tried again."""
    sentence.error(
        "a mail that came back could not be processed", inbound=inbound_id, error=type(error).__name__
    )


def inbound_not_stored(error: BaseException) -> None:
    """Its sender was told to try again later."""
    sentence.warning("a mail that came back could not be stored", error=type(error).__name__)
