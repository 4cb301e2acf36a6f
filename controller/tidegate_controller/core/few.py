"""Names and reasons in a line for people, however many there are. Used all over the core.

A fleet has thousands of nodes, and what they have in common goes wrong on all of them at once.
"""

from collections.abc import Iterable

REASONS_NAMED = 3


def few(texts: Iterable[str], most: int = REASONS_NAMED, between: str = "; ") -> str:
    """The first of them, and how many more there are."""
    every = list(texts)
    rest = len(every) - most
    return between.join(every[:most]) + (f" and {rest} more" if rest > 0 else "")
