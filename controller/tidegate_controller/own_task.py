"""Work that whoever has asked for it cannot cut short by going away. Called by `engine`, for what
it writes: once that is in the log, it has to be in the engine's memory as well.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tidegate_controller.errors import ShuttingDown

T = TypeVar("T")


async def in_own_task(tasks: asyncio.TaskGroup | None, work: Coroutine[Any, Any, T]) -> T:
    """What comes of the work, which is a task of that group and not of the caller's. Raises
    `ShuttingDown` where the group takes none any more."""
    assert tasks is not None
    try:
        task = tasks.create_task(work)
    except RuntimeError as ending:
        work.close()
        raise ShuttingDown(
            "the controller is about to end", "ask again once it has started anew"
        ) from ending
    return await asyncio.shield(task)
