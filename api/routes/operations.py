"""Operating the queue: what is done to many messages, to one, or to those of a bulk send."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.body_schemas import json_body
from api.claim import Claim
from api.dependencies import Parts, UseParts
from api.idempotency import MayRepeat
from api.ids import bulk_id_of, id_cursor, message_id_of, operation_id_of
from api.making import json_response
from api.operation_orders import MOST_BYTES, read_queue_order, read_reason, read_retry_failed
from api.operation_schemas import DryRun, OperationList, OperationView
from api.operation_views import operation_view
from api.parameters import only_parameters
from api.problem_schemas import problems
from api.queue_orders import VERBS, carry_out, carry_out_on_one, dry_run
from api.taking.body import whole_body
from api.who import By
from postwerk.archive import operations, reads
from postwerk.archive.operations import Operation, new_operation_id
from postwerk.contracts.queue import NEEDS_REASON, OperationState, QueueFilter, Verb

router = APIRouter(prefix="/v1", tags=["operating the queue"])

OF_BULK_SEND = (Verb.RETRY, Verb.HOLD, Verb.RELEASE, Verb.EXPIRE)
"""Its cancel has a call of its own."""
_PROBLEMS = problems(400, 404, 409, 413, 415, 422, 503)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": OperationView, "description": "A large one: watch it under links.self"},
    **_PROBLEMS,
}


def _add_queue_call(verb: Verb, does: str) -> None:
    async def call(
        request: Request, response: Response, parts: UseParts, actor: By
    ) -> OperationView | DryRun:
        only_parameters(request)
        order, wanted = await read_queue_order(request, verb)
        if order.dry_run:
            return await dry_run(parts, verb, wanted)
        return _answer(request, response, parts, await carry_out(parts, verb, wanted, order.reason, actor))

    call.__doc__ = does
    router.post(
        f"/queue/{verb}",
        name=f"{verb} in the queue",
        response_model=OperationView | DryRun,
        responses=_ANSWERS,
        openapi_extra=json_body("QueueOrder"),
    )(call)


def _add_message_call(verb: Verb, does: str) -> None:
    async def call(request: Request, parts: UseParts, actor: By, message_id: str) -> OperationView:
        only_parameters(request)
        bulk_id, seq = message_id_of(message_id)
        reason = await read_reason(request, required=verb in NEEDS_REASON)
        op = await carry_out_on_one(parts, verb, bulk_id, seq, reason, actor)
        return operation_view(request, parts, op)

    call.__doc__ = does
    router.post(
        f"/messages/{{message_id}}/{verb}",
        name=f"{verb} a message",
        response_model=OperationView,
        responses=_PROBLEMS,
        openapi_extra=json_body("ReasonOrder", required=False),
    )(call)


def _add_bulk_send_call(verb: Verb, does: str) -> None:
    async def call(
        request: Request, response: Response, parts: UseParts, actor: By, bulk_id: str
    ) -> OperationView:
        only_parameters(request)
        bulk_id = bulk_id_of(bulk_id)
        reason = await read_reason(request, required=verb in NEEDS_REASON)
        async with parts.archive.reading() as connection:
            await reads.bulk_send(connection, bulk_id)
        op = await carry_out(parts, verb, QueueFilter(bulk=(bulk_id,)), reason, actor)
        return _answer(request, response, parts, op)

    call.__doc__ = does
    router.post(
        f"/bulk-sends/{{bulk_id}}/{verb}",
        name=f"{verb} a bulk send",
        response_model=OperationView,
        responses=_ANSWERS,
        openapi_extra=json_body("ReasonOrder", required=False),
    )(call)


_DOES = {
    Verb.RETRY: "What is deferred is due now. Lanes keep their pace and their rests; what is held stays so.",
    Verb.HOLD: "Not now: messages wait until they are released, and their clock stands still. "
    "A filter that names whole bulk sends pauses these.",
    Verb.RELEASE: "Held messages are due now. A filter that names whole bulk sends resumes these too.",
    Verb.CANCEL: "They end `cancelled` and nobody is told. What is being sent keeps its true outcome. "
    "A filter that names whole bulk sends cancels these.",
    Verb.EXPIRE: "They end `expired` at once, and the sender is told as of any failure.",
}
for _verb in VERBS:
    _add_queue_call(_verb, _DOES[_verb])
    _add_message_call(_verb, _DOES[_verb])
for _verb in OF_BULK_SEND:
    _add_bulk_send_call(_verb, _DOES[_verb])


@router.post(
    "/bulk-sends/{bulk_id}/retry-failed",
    response_model=OperationView | DryRun,
    status_code=202,
    responses={200: {"model": DryRun, "description": "A dry run: what it would be"}, **_PROBLEMS},
    openapi_extra=json_body("RetryFailedOrder", required=False),
)
async def retry_failed(
    request: Request, parts: UseParts, actor: By, repeatable: MayRepeat, bulk_id: str
) -> Response:
    """Start exactly the failed messages again, with a fresh deadline, under the same bulk send.

    Addresses that this send itself put on the suppression list are taken off it.
    """
    only_parameters(request)
    bulk_id = bulk_id_of(bulk_id)
    body = await whole_body(request, MOST_BYTES)
    order, wanted = read_retry_failed(body, bulk_id)
    async with parts.archive.reading() as connection:
        await reads.bulk_send(connection, bulk_id)
    if order.dry_run:
        return json_response(await dry_run(parts, Verb.RETRY_FAILED, wanted), 200)

    async def make(claim: Claim) -> Response:
        op = await _of_a_call_that_died(parts, claim) or await parts.operator.retry_failed(
            bulk_id,
            wanted,
            reason=order.reason,
            actor=actor,
            now=parts.now(),
            operation_id=claim.resource,
            confirm=claim.confirm,
        )
        return json_response(operation_view(request, parts, op), 202)

    return await repeatable.once(body, new_operation_id, make, same_resource=True)


async def _of_a_call_that_died(parts: Parts, claim: Claim) -> Operation | None:
    """It had stored the operation, and nobody had been told yet."""
    if not claim.before:
        return None
    async with parts.archive.reading() as connection:
        return await operations.find_operation(connection, claim.before)


@router.get("/operations", response_model=OperationList, responses=problems(422, 503))
async def list_operations(
    request: Request,
    parts: UseParts,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> OperationList:
    """What operators had done, newest first."""
    only_parameters(request, "limit", "after")
    async with parts.archive.reading() as connection:
        found = await operations.operations(connection, limit=limit + 1, after=id_cursor(after, "op"))
    page, has_more = found[:limit], len(found) > limit
    return OperationList(
        has_more=has_more,
        next=page[-1].id if has_more else None,
        data=[operation_view(request, parts, op) for op in page],
    )


@router.get("/operations/{operation_id}", response_model=OperationView, responses=problems(404, 422, 503))
async def show_operation(request: Request, parts: UseParts, operation_id: str) -> OperationView:
    """An operation as it stands."""
    async with parts.archive.reading() as connection:
        op = await operations.operation(connection, operation_id_of(operation_id))
    return operation_view(request, parts, op)


def _answer(request: Request, response: Response, parts: Parts, op: Operation) -> OperationView:
    if op.state is OperationState.RUNNING:
        response.status_code = 202
    return operation_view(request, parts, op)
