"""How many of a number a share is: "3" or "25%". Called by strategies and guards."""

from tidegate_controller.core.spec import Share


def at_least_one(share: Share, total: int) -> int:
    """For what goes on: rounded down, but never nobody and never more than there are."""
    return max(1, min(total, _exact(share, total) // 100))


def rounded_up(share: Share, total: int) -> int:
    """For what must be kept: rounded up; a number counts as it is, also where there are fewer."""
    return -(-_exact(share, total) // 100)


def _exact(share: Share, total: int) -> int:
    """In hundredths."""
    return int(share[:-1]) * total if share.endswith("%") else int(share) * 100
