"""The reference of `tidegate.toml` is current, whole, and its examples are right."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from config_samples import SMALLEST, read

from tidegate_controller.config_health import HEALTH
from tidegate_controller.config_keys import ENVIRONMENT, SECTIONS, TOP
from tidegate_controller.config_reference import (
    adapter_rows,
    probe_rows,
    reference,
    rows,
    section_rows,
)
from tidegate_controller.config_traffic import TRAFFIC
from tidegate_controller.core.spec import Traffic
from tidegate_controller.traffic.by_command import ByCommand

PAGES = Path(__file__).parents[2] / "docs/reference"
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    found = BLOCK.finditer((PAGES / page).read_text())
    return [block["text"] for block in found if block["language"] == language]


def test_the_reference_is_that_of_the_code() -> None:
    assert (PAGES / "configuration.md").read_text() == reference(), "type `make reference`"


def test_every_key_is_in_the_reference_with_its_meaning() -> None:
    page = reference()
    keys = {**TOP, **ENVIRONMENT, **HEALTH, **TRAFFIC}
    for name, key in keys.items():
        assert key.meaning in page
        assert name in SECTIONS or f"| `{name}` |" in page or name == "environments"
    small = dict(section_rows())
    assert set(small) == set(SECTIONS) - {"health", "traffic"}
    assert all(row[0] in page for found in small.values() for row in found)


def test_each_kind_and_adapter_has_a_table_of_all_its_keys() -> None:
    assert {row[0] for _, found in probe_rows() for row in found} < set(HEALTH)
    assert {row[0] for _, found in adapter_rows() for row in found} == set(TRAFFIC) - {"adapter"}
    needed = {row[0] for _, found in adapter_rows() for row in found if row[2] == "required"}
    assert needed == {"directory", "command"}


def test_a_default_is_written_as_the_file_would_have_it() -> None:
    found = {name: default for name, _, default, _ in dict(section_rows())["service"]}
    assert found["command"] == "required with `process`"
    assert found["stop_grace"] == '`"10s"`'
    assert found["environment"] == "`{}`"
    assert found["ports"] == "the agent picks"
    ((_, form, default, _),) = rows({"lanes": TRAFFIC["lanes"]}, Traffic)
    assert (form, default) == ("a whole number from 1 to 1000", "`20`")


@pytest.mark.parametrize("page", ["configuration.md", "traffic-exec.md"])
def test_the_examples_of_the_reference_are_right(tmp_path: Path, page: str) -> None:
    texts = blocks(page, "toml")
    assert texts
    for text in texts:
        whole = SMALLEST + text
        if "[traffic]" in text:
            whole = SMALLEST.partition("[traffic]")[0] + text
        assert read(tmp_path, whole).environments


async def test_the_program_of_the_reference_moves_traffic(tmp_path: Path) -> None:
    (program,) = blocks("traffic-exec.md", "python")
    move = tmp_path / "move-traffic"
    move.write_text(program.replace("/usr/bin/env python3", sys.executable))
    move.chmod(0o755)
    file = tmp_path / "shop"
    balancer = ByCommand(Traffic(adapter="exec", command=(str(move), str(file))))
    await balancer.check(2)
    assert await balancer.state() == {}
    await balancer.shift({"127.0.0.1:8001": 100, "[::1]:8002": 50})
    assert file.read_text() == "127.0.0.1:8001 100\n[::1]:8002 50\n"
    await balancer.shift({})
    assert await balancer.state() == {}


def test_the_program_of_the_reference_can_be_tried_by_hand(tmp_path: Path) -> None:
    (program,) = blocks("traffic-exec.md", "python")
    (tmp_path / "move-traffic").write_text(program)
    (tmp_path / "move-traffic").chmod(0o755)
    (line,) = blocks("traffic-exec.md", "sh")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = subprocess.run(
        ["sh", "-c", line.replace("/srv/lb/shop", "shop")],
        cwd=tmp_path,
        env={"PATH": path},
        capture_output=True,
        text=True,
    )
    assert (json.loads(said.stdout), said.stderr) == ({"127.0.0.1:8001": 100}, "")
