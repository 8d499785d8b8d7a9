"""WORKFLOWS: the list that worker.py and the tests register.

Not in the package's __init__: the sandbox runs that anew for each workflow, and would load all three.
"""

from workflows.bulk_send import BulkSend
from workflows.delivery import Delivery
from workflows.expansion import Expansion

WORKFLOWS = [BulkSend, Expansion, Delivery]
