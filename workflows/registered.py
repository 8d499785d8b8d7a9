"""WORKFLOWS: the list that worker.py and the tests register.

Not in the package's __init__: the sandbox runs that for each workflow anew, and would load all three each time.
"""

from workflows.bulk_send import BulkSend
from workflows.delivery import Delivery
from workflows.expansion import Expansion

WORKFLOWS = [BulkSend, Expansion, Delivery]
