"""Is the app in a slot healthy? One question of the kind that was configured, the wait after a
start, the watch ever after.

Called by the agent's slots. A kind is a module here (`http`, `tcp`, `exec`, `grpc`, `unit`) with a
line in `check.KINDS`; `watch` knows none of them.
"""

from tidegate_agent.health.check import Check, check_of, in_haste, once_up, probe
from tidegate_agent.health.kind import Context
from tidegate_agent.health.watch import Monitor, surely, wait_healthy

__all__ = [
    "Check",
    "Context",
    "Monitor",
    "check_of",
    "in_haste",
    "once_up",
    "probe",
    "surely",
    "wait_healthy",
]
