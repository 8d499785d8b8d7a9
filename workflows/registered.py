"""WORKFLOWS: the list that worker.py and the tests register.

Not in the package's __init__: the sandbox runs that anew for each workflow, and would load them all.
"""

from workflows.bulk_send import BulkSend
from workflows.coalesce import Coalesce
from workflows.delivery import Delivery
from workflows.expansion import Expansion
from workflows.message import Message
from workflows.operation import Operation
from workflows.recurring import Recurring
from workflows.webhook import Webhook
from workflows.webhook_replay import WebhookReplay

BULK_WORKFLOWS = [BulkSend, Expansion, Delivery, Operation, Recurring]
MESSAGE_WORKFLOWS = [Message, Coalesce]
"""On the task queue of transactional messages."""
WEBHOOK_WORKFLOWS = [Webhook, WebhookReplay]
"""On the task queue of webhooks."""
WORKFLOWS = [*BULK_WORKFLOWS, *MESSAGE_WORKFLOWS, *WEBHOOK_WORKFLOWS]
