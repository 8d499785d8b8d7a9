"""What may be done to messages, in words: for buttons, for asking once more, for the notice after it."""

from __future__ import annotations

from typing import NamedTuple

from postwerk.archive.operations import Operation
from postwerk.contracts.queue import NEEDS_REASON, OperationState, QueueFilter, Verb
from postwerk.contracts.states import MessageState


class Deed(NamedTuple):
    """A verb as the page says it."""

    verb: Verb
    word: str
    done: str
    means: str
    to_sends: str = ""
    """What it means for a filter of whole bulk sends, where that is something else."""
    cannot_be_undone: bool = False

    @property
    def needs_reason(self) -> bool:
        return self.verb in NEEDS_REASON


DEEDS = {
    deed.verb: deed
    for deed in (
        Deed(
            Verb.RETRY,
            "Retry",
            "are due now",
            "Deferred messages are due now. Lanes keep their pace and their rests; held messages stay held.",
        ),
        Deed(
            Verb.HOLD,
            "Hold",
            "are held",
            "They are not tried until they are released, and their clock stands still.",
            "Whole bulk sends are meant: they are paused.",
        ),
        Deed(
            Verb.RELEASE,
            "Release",
            "are released",
            "Held messages are due now.",
            "Whole bulk sends are meant: those that are paused go on, and every held message is released.",
        ),
        Deed(
            Verb.CANCEL,
            "Cancel",
            "are cancelled",
            "They end cancelled, and nobody is told. What is being sent keeps its true outcome.",
            "Whole bulk sends are meant: they are cancelled.",
            cannot_be_undone=True,
        ),
        Deed(
            Verb.EXPIRE,
            "Bounce now",
            "are given up",
            "They end expired at once, and the sender is told as of any failure.",
            cannot_be_undone=True,
        ),
    )
}
_USEFUL: dict[MessageState, tuple[Verb, ...]] = {
    MessageState.QUEUED: (Verb.HOLD, Verb.CANCEL, Verb.EXPIRE),
    MessageState.SENDING: (Verb.HOLD, Verb.CANCEL, Verb.EXPIRE),
    MessageState.DEFERRED: (Verb.RETRY, Verb.HOLD, Verb.CANCEL, Verb.EXPIRE),
    MessageState.HELD: (Verb.RELEASE, Verb.CANCEL, Verb.EXPIRE),
}


def useful_for(state: MessageState) -> list[Deed]:
    """What can be done to a message in this state; nothing when it has ended."""
    return [DEEDS[verb] for verb in _USEFUL.get(state, ())]


def means_of(deed: Deed, wanted: QueueFilter) -> str:
    """What will become of them."""
    return deed.to_sends if wanted.names_sends_only and deed.to_sends else deed.means


class Told(NamedTuple):
    """A notice, and of what kind it is."""

    text: str
    kind: str


_STARTED_AGAIN = Deed(Verb.RETRY_FAILED, "Retry of failed", "are started again", "")
"""Asked for on the page of a bulk send."""


def told_of(op: Operation) -> Told:
    """What was done, as it stands now."""
    deed = DEEDS.get(op.verb, _STARTED_AGAIN)
    if op.state is OperationState.RUNNING:
        meant = "messages" if op.matched is None else _messages(op.matched)
        return Told(f"{deed.word}: {meant}, under way.", "good")
    if op.state is OperationState.FAILED:
        return Told(f"{deed.word}: it failed after {_messages(op.changed)}.", "bad")
    if not op.matched:
        return Told("Nothing was done: no message is meant any more.", "warn")
    skipped = f" {_messages(op.skipped)} had ended, or stood so already." if op.skipped else ""
    verb = deed.done if op.changed != 1 else deed.done.replace("are", "is", 1)
    return Told(f"{_messages(op.changed)} {verb}.{skipped}", "good" if op.changed else "warn")


def _messages(n: int) -> str:
    return f"{n:,} message{'' if n == 1 else 's'}"
