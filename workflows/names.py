"""Names that people read in the Web UI and type at the command line: workflow ids and search attributes."""

from __future__ import annotations

from temporalio.common import SearchAttributeKey

BULK_ID = SearchAttributeKey.for_keyword("BulkId")
BULK_STATE = SearchAttributeKey.for_keyword("BulkState")
LANE = SearchAttributeKey.for_keyword("Lane")
SEARCH_ATTRIBUTE_NAMES = (BULK_ID.name, BULK_STATE.name, LANE.name)


def bulk_workflow_id(bulk_id: str) -> str:
    """`bulk-<id>`: one root workflow for each bulk send, so that starting twice is harmless."""
    return f"bulk-{bulk_id}"


def expansion_workflow_id(bulk_id: str, first: int, last: int) -> str:
    return f"bulk-{bulk_id}/batches-{first}-{last}"


def delivery_workflow_id(bulk_id: str, number: int) -> str:
    return f"bulk-{bulk_id}/batch-{number}"
