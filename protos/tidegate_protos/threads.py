"""Blocking work in threads, where a cancelled caller must not leave it running behind its back."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def to_the_end(work: Awaitable[T]) -> T:
    """Let the work end although the caller is cancelled meanwhile, and only then pass that on.

    Otherwise a thread could still be renaming while the next command clears the same names.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        with contextlib.suppress(BaseException):  # read, so that asyncio does not report it
            task.result()
        raise cancelled
    return task.result()
