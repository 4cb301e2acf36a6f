"""What several of the agent's tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from one_node import OneNode


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[OneNode]:
    async with OneNode.running(tmp_path) as node:
        yield node
