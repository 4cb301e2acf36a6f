"""Trees of a slot's own: what their names show is durable, and whole after a kill at any point."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate_agent.trees import Trees

PUBLISH = """
import asyncio, sys
from pathlib import Path
from tidegate_agent.trees import Purpose, Trees
slot, release = Path(sys.argv[1]), Path(sys.argv[2])
trees, digest = Trees(slot), "sha256:" + "a" * 64
trees.sweep()
async def main():
    tree = await trees.make(digest, release, None)
    await trees.publish(tree, Purpose(digest, "c", 8001, False, "c1"))
asyncio.run(main())
"""
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


def publish(folder: Path, *before: str) -> int:
    """Make and publish a tree in a process of its own; its exit code."""
    release, slot = folder / "release", folder / "slot"
    release.mkdir(exist_ok=True)
    (release / "app").write_text("app")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*before, sys.executable, "-c", PUBLISH, str(slot), str(release)]
    return subprocess.run(command, env=environment, check=False).returncode


@needs_strace
def test_what_next_names_was_synced_before(tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    calls = "trace=rename,fsync,syncfs"
    assert publish(tmp_path, "strace", "-ff", "-ttt", "-y", "-o", f"{traces}/of", "-e", calls) == 0
    lines = sorted(line for file in traces.iterdir() for line in file.read_text().splitlines())
    text = re.sub(r"tree-a{64}-[0-9a-f]{8}", "TREE", "\n".join(lines))
    text = re.sub(r"\.next\.[0-9a-f]{8}", ".next", text)
    found = re.findall(r"(rename|fsync|syncfs)\((.*)\) += 0", text)
    assert [(call, *re.findall(r"/slot/?([^>\"]*)", rest)) for call, rest in found] == [
        ("syncfs", "TREE"),
        ("fsync", "TREE.json.tmp"),
        ("rename", "TREE.json.tmp", "TREE.json"),
        ("fsync", ""),
        ("rename", ".next", "next"),
        ("fsync", ""),
    ]


@needs_strace
@pytest.mark.parametrize(
    "call",
    [
        *("copy_file_range:1", "syncfs:1", "fsync:1", "rename:1", "fsync:2", "symlink:1"),
        *("rename:2", "fsync:3"),
    ],
)
def test_a_kill_between_any_two_names_leaves_the_former_tree_or_the_new_one(
    tmp_path: Path, call: str
) -> None:
    trees = Trees(tmp_path / "slot")
    assert publish(tmp_path) == 0
    former = trees.next()
    assert former is not None
    name, _, when = call.partition(":")
    kill = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}"]
    publish(tmp_path, *kill, "-e", f"inject={name}:signal=KILL:when={when}")
    now = trees.next()
    assert now is not None
    assert (now == former) == (call != "fsync:3")
    trees.sweep()
    left = sorted(path.name for path in (tmp_path / "slot").iterdir())
    assert left == ["next", now.path.name, f"{now.path.name}.json"]
    assert (now.path / "app").read_text() == "app"
