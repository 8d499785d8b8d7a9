"""The OpenAPI document tells the truth: schemathesis finds no 500 and no undocumented answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

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
from tests.support.keys import FromThisMachine

LISTED = "ada@example.com"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
WITHOUT_KEYS = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


async def _prepare(archive: Archive) -> None:
    await migrate(archive)
    await archive.close()


def test_no_call_answers_500_or_what_is_not_documented(tmp_path: Path) -> None:
    archive = Archive(ArchiveConfig(url=f"sqlite+aiosqlite:///{tmp_path}/archive.db", durability="normal"))
    asyncio.run(_prepare(archive))
    # It makes keys too, and calls often.
    config = ApiConfig(max_body_bytes=1_000_000, open_on_loopback=True, calls_per_minute=0)
    parts = Parts(archive, cast(Client, RecordingTemporal()), config)
    app = FromThisMachine(create_app(parts))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=WITHOUT_KEYS)

    found: list[Any] = list(schema.get_all_operations())
    operations = [one.ok() for one in found]
    assert len(operations) >= 16
    known = [str(_made(schema, open=open)["id"]) for open in (True, False)]
    for operation in operations:
        _list(schema)
        _try(operation, known, _suspended(schema), _key(schema))
    asyncio.run(archive.close())


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


def _key(schema: Any) -> str:
    body = {"name": f"trial {uuid4()}", "scopes": ["send"]}
    answer = schema["/v1/api-keys"]["POST"].Case(body=body, media_type="application/json").call()
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _try(operation: Any, known: list[str], suspension_id: str, key_id: str) -> None:
    """Half of the calls ask for something that is there."""

    @EXAMPLES
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
        if bulk_id and "key_id" in case.path_parameters:
            case.path_parameters["key_id"] = key_id
        case.call_and_validate(checks=CHECKS)

    calls()
