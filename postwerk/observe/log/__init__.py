"""The sentences of the log, one function each: nobody writes a line in any other way (docs/logging.md)."""

from __future__ import annotations

from postwerk.observe.log.calling import (
    archive_away,
    batches_not_woken,
    batches_woken,
    broke_off,
    call_failed,
    change_not_followed,
    client_gone,
    key_use_not_noted,
    lease_not_renewed,
    left_to_reconciler,
    queue_not_counted,
    relays_unusable,
    rescheduled,
    schema_is_wrong,
    stream_ended,
)
from postwerk.observe.log.foreign import clean_access_lines, silence
from postwerk.observe.log.logger import about
from postwerk.observe.log.reconciling import (
    not_reconciled,
    stands_still,
    workflow_failed,
    workflow_lost,
    workflow_terminated,
)
from postwerk.observe.log.relaying import (
    dkim_key_open_to_others,
    dkim_key_unusable,
    lane_cools,
    lane_recovered,
    relay_unknown,
    relay_unreachable,
)
from postwerk.observe.log.returning import (
    inbound_failed,
    inbound_listening,
    inbound_not_stored,
    inbound_unparsed,
)
from postwerk.observe.log.setup import LogFormat, configure_logging
from postwerk.observe.log.showing import figures_unknown, part_not_drawn, part_unknown
from postwerk.observe.log.telling import webhook_failed, webhook_gone
from postwerk.observe.log.working import (
    archive_unavailable,
    attempt_made,
    batch_finished,
    bulk_paused,
    consequence_not_drawn,
    sender_told,
    temporal_away,
    worker_started,
    worker_stopping,
)

__all__ = [
    "LogFormat",
    "about",
    "archive_away",
    "archive_unavailable",
    "attempt_made",
    "batch_finished",
    "batches_not_woken",
    "batches_woken",
    "broke_off",
    "bulk_paused",
    "call_failed",
    "change_not_followed",
    "clean_access_lines",
    "client_gone",
    "configure_logging",
    "consequence_not_drawn",
    "dkim_key_open_to_others",
    "dkim_key_unusable",
    "figures_unknown",
    "inbound_failed",
    "inbound_listening",
    "inbound_not_stored",
    "inbound_unparsed",
    "key_use_not_noted",
    "lane_cools",
    "lane_recovered",
    "lease_not_renewed",
    "left_to_reconciler",
    "not_reconciled",
    "part_not_drawn",
    "part_unknown",
    "queue_not_counted",
    "relay_unknown",
    "relay_unreachable",
    "relays_unusable",
    "rescheduled",
    "schema_is_wrong",
    "sender_told",
    "silence",
    "stands_still",
    "stream_ended",
    "temporal_away",
    "webhook_failed",
    "webhook_gone",
    "worker_started",
    "worker_stopping",
    "workflow_failed",
    "workflow_lost",
    "workflow_terminated",
]
