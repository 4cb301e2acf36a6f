"""What several of the agent's tests share."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fake_systemd import FakeSystemd
from one_node import PYTHON, OneNode, anybody_may_run_python


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[OneNode]:
    async with OneNode.running(tmp_path) as node:
        yield node


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """That everybody can enter, unlike pytest's own. For tests that need root."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
async def open_node(open_folder: Path) -> AsyncIterator[OneNode]:
    """An agent that may run apps as anybody, in a folder that only it can enter so far."""
    if not anybody_may_run_python():
        pytest.skip(f"needs a {PYTHON} that every user may run")
    data = open_folder / "data"
    data.mkdir(mode=0o700)
    async with OneNode.running(data) as node:
        yield node


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemd:
    """Before anything else looks for systemctl in the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return FakeSystemd(folder, monkeypatch)
