"""Lists in what people read: the first few, and how many more there are.

What is said of a thousand nodes goes into the log, and to everybody who looks on.
"""

from collections.abc import Iterable

NODES_TOLD = 10


def first_few(texts: Iterable[str], most: int, between: str = ", ") -> str:
    """At most so many of them, such as "a, b and 7 more"."""
    every = list(texts)
    rest = len(every) - most
    return between.join(every[:most]) + (f" and {rest} more" if rest > 0 else "")
