"""Talks SMTP to a relay, command by command, and says as a value how far it came (contracts/smtp.py)."""

from postwerk.smtp.conversation import Conversation
from postwerk.smtp.opening import open_conversation
from postwerk.smtp.pool import ConnectionPool, Lease, PoolLimits
from postwerk.smtp.relay import RelayConfig, Security, StageLimits

__all__ = [
    "ConnectionPool",
    "Conversation",
    "Lease",
    "PoolLimits",
    "RelayConfig",
    "Security",
    "StageLimits",
    "open_conversation",
]
