"""What the reconciler says. At INFO and above no address, content or secret (P7)."""

from __future__ import annotations

from postwerk.observe.log.logger import sentence


def workflow_lost(bulk_id: str) -> None:
    """Temporal's database was lost or restored."""
    sentence.warning("a bulk send has lost its workflow; starting it again", bulk=bulk_id)


def workflow_terminated(bulk_id: str) -> None:
    sentence.warning("the workflow of a bulk send was terminated; closing it", bulk=bulk_id)


def workflow_failed(bulk_id: str) -> None:
    sentence.warning("the workflow of a bulk send has failed; closing it", bulk=bulk_id)


def not_reconciled(what: str, error: BaseException) -> None:
    sentence.warning("reconciling failed, tried again soon", what=what, error=type(error).__name__)


def stands_still(bulk_id: str, words: str) -> None:
    """Nothing of it has moved for long, and nothing is known that ends by itself."""
    sentence.warning("a bulk send stands still", bulk=bulk_id, reason=words)
