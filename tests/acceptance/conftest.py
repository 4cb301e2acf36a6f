"""One fleet for all acceptance tests of a worker; most tests deploy an app of their own onto it."""

import os
import signal
from collections.abc import Iterator

import pytest
from desk import AppFolder, Desk
from names import Names


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> None:
    """Where tests run in the background, Ctrl-C is ignored, and by all that they start too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two nodes, web-1 and web-2, with the label role=web; no balancer: lanes are files."""
    run = tmp_path_factory.getbasetemp()
    names = Names((run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "names-on-desks")
    with Desk(tmp_path_factory.mktemp("desk"), names=names).running() as desk:
        yield desk


@pytest.fixture(scope="session")
def shop(desk: Desk) -> AppFolder:
    """An app whose one release, 1, serves from both nodes. For tests that change nothing."""
    return desk.app("shop", nodes={"role": "web"}, owner="the fixture shop").deployed("1")
