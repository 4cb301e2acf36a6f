"""One fleet for all acceptance tests of a worker; each test deploys an app of its own onto it."""

import signal
from collections.abc import Iterator

import pytest
from desk import Desk


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> None:
    """Where tests run in the background, Ctrl-C is ignored, and by all that they start too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with Desk(tmp_path_factory.mktemp("desk")).running() as desk:
        yield desk
