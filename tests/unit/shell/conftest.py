"""A controller on a log of its own for each test of the shell."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from without_doors import Desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    await desk.start()
    yield desk
    await desk.stop()
    for agent in desk.agents.values():
        await agent.close()
