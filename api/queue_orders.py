"""What is ordered of messages, whichever door the order comes through: counted beforehand, and done."""

from __future__ import annotations

from api.dependencies import Parts
from api.operation_schemas import DryRun
from api.whole_sends import do_to_sends
from postwerk.archive import reads
from postwerk.archive.audit import Actor
from postwerk.archive.operations import Operation
from postwerk.contracts.queue import QueueFilter, Verb
from postwerk.contracts.states import OPEN_STATES
from postwerk.errors import Conflict

VERBS = (Verb.RETRY, Verb.HOLD, Verb.RELEASE, Verb.CANCEL, Verb.EXPIRE)


async def carry_out(parts: Parts, verb: Verb, wanted: QueueFilter, reason: str, actor: Actor) -> Operation:
    """Done, or `running` when it is large. A filter that names whole sends acts on these."""
    if wanted.names_sends_only and (done := await do_to_sends(parts, verb, wanted, reason, actor)):
        return done
    return await parts.operator.do(verb, wanted, reason=reason, actor=actor, now=parts.now())


async def carry_out_on_one(
    parts: Parts, verb: Verb, bulk_id: str, seq: int, reason: str, actor: Actor
) -> Operation:
    """The same of one message. Raises NotFound, Conflict when it has ended."""
    async with parts.archive.reading() as connection:
        message = await reads.message(connection, bulk_id, seq)
    if message.state not in OPEN_STATES:
        raise Conflict(f"This message is {message.state}: there is nothing to be done any more.")
    public_id = f"{bulk_id}.{seq}"
    wanted = QueueFilter(ids=(public_id,))
    return await parts.operator.do(
        verb, wanted, reason=reason, actor=actor, now=parts.now(), target=public_id
    )


async def dry_run(parts: Parts, verb: Verb, wanted: QueueFilter) -> DryRun:
    """How many it would be."""
    meant = await parts.operator.count(verb, wanted, parts.now())
    states = {state: n for state, n in sorted(meant.states.items()) if n}
    return DryRun(verb=verb, matched=meant.states.total(), states=states, bulk_sends=meant.bulk_sends)
