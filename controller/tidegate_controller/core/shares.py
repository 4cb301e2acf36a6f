"""A number of nodes as people give it, so many or so many of a hundred, and how many that are.

Called by strategies, guards and the policy about failures.
"""

from typing import Annotated

import msgspec

Share = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,5})%?$")]  # "3" or "25%"


def at_least_one(share: Share, total: int) -> int:
    """For what goes on: rounded down, but never nobody and never more than there are."""
    return max(1, at_most(share, total))


def at_most(share: Share, total: int) -> int:
    """Where no more are allowed: rounded down, and never more than there are."""
    return min(total, _exact(share, total) // 100)


def rounded_up(share: Share, total: int) -> int:
    """For what must be kept: rounded up; a number counts as it is, also where there are fewer."""
    return -(-_exact(share, total) // 100)


def _exact(share: Share, total: int) -> int:
    """In hundredths."""
    return int(share[:-1]) * total if share.endswith("%") else int(share) * 100
