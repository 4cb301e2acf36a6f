"""A number of nodes as people give it: so many, or so many of a hundred."""

from typing import Annotated

import msgspec

Share = Annotated[str, msgspec.Meta(pattern=r"^([0-9]{1,4}|(100|[0-9]{1,2})%)$")]  # "3" or "25%"


def at_most(share: Share, total: int) -> int:
    """How many of `total` that is where no more are allowed: a part of one does not count."""
    if share.endswith("%"):
        return total * int(share[:-1]) // 100
    return min(int(share), total)
