"""What several tests of the agent need."""

from collections.abc import Iterator

import artifact_web
import pytest


@pytest.fixture
def server() -> Iterator[artifact_web.Server]:
    with artifact_web.running() as server:
        yield server
