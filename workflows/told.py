"""What signals and queries say of themselves in the Web UI and in `temporal workflow metadata`."""

from __future__ import annotations

PROGRESS = "Where it stands, as of the last look at the counters"
HOLD = 'Stop at once; the deadline\'s clock stands still. Input: {"reason": "..."}, or nothing'
RELEASE = "Go on; the deadline has moved by the time held"
RETRY_NOW = "What is deferred is due now; lanes keep their pace and rests"
LOOK_AGAIN = "Who sleeps because of a lane, a rate or a relay asks anew; what is deferred stays so"
SET_DEADLINE = 'Its time ends then. Input: {"deadline": "2027-01-31T12:00:00Z"}'
SET_EXPIRY = 'Its time ends then at the latest, held or not. Input: {"expires_at": "2027-01-31T12:00:00Z"}'
SET_BEGINNING = 'When it begins, if it has not begun. Input: {"send_at": "2027-01-31T12:00:00Z"}, or {}: now'
CARRY_MORE = "Looks for batches that nobody carries yet; the API sends it when failed messages start again"
ARRIVE = "Another message of the key; the API sends it"
WAKE = "It was made, changed or enabled: what waits is tried at once"
