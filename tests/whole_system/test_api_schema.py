"""The OpenAPI document tells the truth: schemathesis finds no 500 and no undocumented answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from temporalio.client import Client

from api.app import create_app
from api.dependencies import ApiConfig, Parts
from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.migrate import migrate
from tests.support.api import RecordingTemporal, a_bulk_send
from tests.support.dns import DnsServer
from tests.support.keys import FromThisMachine

LISTED = "ada@example.com"
NOBODY_LISTENS = "http://localhost:1024/hook"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
WITHOUT_KEYS = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("message/rfc822")
def _mail(_context: Any, value: Any) -> bytes:
    """A mail is any bytes."""
    return bytes(getattr(value, "data", None) or str(value).encode("utf-8", "replace"))


async def _prepare(archive: Archive) -> None:
    await migrate(archive)
    await archive.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_no_call_answers_500_or_what_is_not_documented(tmp_path: Path, examples: int) -> None:
    archive = Archive(ArchiveConfig(url=f"sqlite+aiosqlite:///{tmp_path}/archive.db", durability="normal"))
    asyncio.run(_prepare(archive))
    # It makes keys too, and calls often.
    with DnsServer({}) as server:
        config = ApiConfig(
            max_body_bytes=1_000_000,
            open_on_loopback=True,
            calls_per_minute=0,
            dns_server=server.address,
            public_url="https://x.example",
            stream_seconds=0.0,
            webhook_allow_private=True,
            webhook_resolve=_resolve,
        )
        _try_all(Parts(archive, cast(Client, RecordingTemporal()), config), examples)
    asyncio.run(archive.close())


def _try_all(parts: Parts, examples: int) -> None:
    app = FromThisMachine(create_app(parts))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=WITHOUT_KEYS)

    found: list[Any] = list(schema.get_all_operations())
    operations = [one.ok() for one in found]
    assert len(operations) >= 16
    known = [str(_made(schema, open=open)["id"]) for open in (True, False)]
    few = settings(EXAMPLES, max_examples=examples)
    for operation in operations:
        _list(schema)
        _try(few, operation, known, _suspended(schema), _key(schema), _came_back(schema), _webhook(schema))


def _made(schema: Any, **changes: Any) -> Any:
    answer = (
        schema["/v1/bulk-sends"]["POST"]
        .Case(body=a_bulk_send(**changes), media_type="application/json")
        .call()
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


def _list(schema: Any) -> None:
    call = schema["/v1/suppressions"]["POST"].Case(body={"address": LISTED}, media_type="application/json")
    assert call.call().status_code == 200


def _suspended(schema: Any) -> str:
    body = {"domain": "gmx.de", "for": "1d", "reason": "trial"}
    answer = schema["/v1/suspensions"]["POST"].Case(body=body, media_type="application/json").call()
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _came_back(schema: Any) -> str:
    call = schema["/v1/inbound"]["POST"].Case(
        body="Subject: x", media_type="message/rfc822", query={"rcpt": "x"}
    )
    answer = call.call()
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _key(schema: Any) -> str:
    body = {"name": f"trial {uuid4()}", "scopes": ["send"]}
    answer = schema["/v1/api-keys"]["POST"].Case(body=body, media_type="application/json").call()
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _webhook(schema: Any) -> str:
    call = schema["/v1/webhooks"]["POST"].Case(body={"url": NOBODY_LISTENS}, media_type="application/json")
    answer = call.call()
    if answer.status_code == 409:  # there are as many as there may be by now
        return str(schema["/v1/webhooks"]["GET"].Case().call().json()["data"][0]["id"])
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _resolve(_name: str) -> list[str]:
    """Every name is this machine's: nobody outside is called."""
    return ["127.0.0.1"]


def _try(
    examples: settings,
    operation: Any,
    known: list[str],
    suspension_id: str,
    key_id: str,
    inbound_id: str,
    webhook_id: str,
) -> None:
    """Half of the calls ask for something that is there."""

    @examples
    @given(case=operation.as_strategy(), bulk_id=st.sampled_from([None, *known]))
    def calls(case: Any, bulk_id: str | None) -> None:
        if bulk_id and "bulk_id" in case.path_parameters:
            case.path_parameters["bulk_id"] = bulk_id
        if bulk_id and "message_id" in case.path_parameters:
            case.path_parameters["message_id"] = f"{bulk_id}.1"
        if bulk_id and "address" in case.path_parameters:
            case.path_parameters["address"] = LISTED
        if bulk_id and "suspension_id" in case.path_parameters:
            case.path_parameters["suspension_id"] = suspension_id
        if bulk_id and "inbound_id" in case.path_parameters:
            case.path_parameters["inbound_id"] = inbound_id
        if bulk_id and "key_id" in case.path_parameters:
            case.path_parameters["key_id"] = key_id
        if bulk_id and "webhook_id" in case.path_parameters:
            case.path_parameters["webhook_id"] = webhook_id
        case.call_and_validate(checks=CHECKS)

    calls()
