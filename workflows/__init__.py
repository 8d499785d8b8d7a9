"""What happens next, and when. WORKFLOWS is the list that worker.py and the tests register."""

from workflows.bulk_send import BulkSend
from workflows.delivery import Delivery
from workflows.expansion import Expansion

WORKFLOWS = [BulkSend, Expansion, Delivery]
