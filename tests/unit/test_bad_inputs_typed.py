"""Bad inputs as a person types them: each command in this process, with no controller to ask.

Of each: what is said, the exit code, and that nothing is left on the disk.
"""

import json
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import hostile_archives
import pytest
from click.testing import CliRunner
from command_tree import commands as all_commands
from command_tree import does_something
from config_samples import SMALLEST, changed
from hostile_archives import TIGHT

from tidegate_agent.unpack import open_archive, unpack
from tidegate_controller.cli import artifact, commands
from tidegate_controller.cli.words import a_rollout
from tidegate_protos.archives.contents import Limits
from tidegate_protos.archives.reading import Refused

NOBODY = "127.0.0.1:9"


@dataclass(frozen=True)
class Said:
    """What a command leaves behind on a terminal."""

    code: object
    out: str
    err: str


Typed = Callable[..., Said]


@pytest.fixture
def typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    """Types `tidegate WORDS` in a folder with a tidegate.toml that is right, until changed."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "tidegate.toml").write_text(SMALLEST)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TIDEGATE_CONTROLLER", NOBODY)

    def type_(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["tidegate", *words])
        before = left(tmp_path)
        with pytest.raises(SystemExit) as ended:
            commands.main()
        assert left(tmp_path) == before, "nothing is made, changed or removed"
        said = Said(ended.value.code, *capsys.readouterr())
        assert "Traceback" not in said.err
        assert all(line.isprintable() for line in said.err.splitlines()), said.err
        return said

    return type_


def left(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path beneath, with its inode and when it was last written."""
    found = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


# --- Names ---------------------------------------------------------------------------------------

BAD = ["../../x", "..", "/etc/passwd", "a/b", "a b", "a\nb", "#a", "{{7*7}}", "\x1b[2J", "wéb", ""]
BAD += ["x" * 64, "a\u202eb", "a;b", "$(id)", "@/etc/passwd"]

# What to type for each word that is a name: its command, with BAD where the name belongs.
NAMES = {
    "rollback app": ["rollback", "BAD"],
    "rollback environment": ["rollback", "shop", "-e", "BAD"],
    "rollback to": ["rollback", "shop", "--to", "BAD"],
    "status app": ["status", "BAD"],
    "rollout list app": ["rollout", "list", "BAD"],
    "rollout show rollout_id": ["rollout", "show", "BAD"],
    "rollout continue rollout_id": ["rollout", "continue", "BAD"],
    "rollout retry rollout_id": ["rollout", "retry", "BAD"],
    "rollout approve rollout_id": ["rollout", "approve", "BAD"],
    "rollout promote rollout_id": ["rollout", "promote", "BAD"],
    "rollout pause rollout_id": ["rollout", "pause", "BAD"],
    "rollout resume rollout_id": ["rollout", "resume", "BAD"],
    "rollout abort rollout_id": ["rollout", "abort", "BAD"],
    "rollout replay rollout_id": ["rollout", "replay", "BAD"],
    "controller reconcile app": ["controller", "reconcile", "BAD"],
    "controller reconcile environment": ["controller", "reconcile", "shop", "-e", "BAD"],
    "explain rollout_id": ["explain", "BAD"],
    "log rollout_id": ["log", "--rollout", "BAD"],
    "release list app": ["release", "list", "BAD"],
    "freeze app": ["freeze", "BAD", "--for", "1h", "-m", "why"],
    "freeze environment": ["freeze", "shop", "-e", "BAD", "--for", "1h", "-m", "why"],
    "lock app": ["lock", "BAD"],
    "lock environment": ["lock", "shop", "-e", "BAD"],
    "unlock app": ["unlock", "BAD"],
    "unlock environment": ["unlock", "shop", "-e", "BAD"],
    "release quarantine app": ["release", "quarantine", "BAD", "1"],
    "release quarantine version": ["release", "quarantine", "shop", "BAD"],
    "release quarantine environment": ["release", "quarantine", "shop", "1", "-e", "BAD"],
    "release unquarantine app": ["release", "unquarantine", "BAD", "1"],
    "release unquarantine version": ["release", "unquarantine", "shop", "BAD"],
    "release unquarantine environment": ["release", "unquarantine", "shop", "1", "-e", "BAD"],
    "release push version": ["release", "push", "--artifact", "a.tar", "--version", "BAD"],
    "release push digest": ["release", "push", "--artifact", "a.tar", "--digest", "BAD"],
    "node show name": ["node", "show", "BAD"],
    "node remove node": ["node", "remove", "BAD"],
    "cleanup app": ["cleanup", "BAD"],
    "cleanup environment": ["cleanup", "shop", "-e", "BAD"],
    "config check environment": ["config", "check", "-e", "BAD"],
    "traffic caddyfile environment": ["traffic", "caddyfile", "-e", "BAD"],
    "deploy environment": ["deploy", "--artifact", "a.tar", "--version", "1", "-e", "BAD"],
    "deploy version": ["deploy", "--artifact", "a.tar", "--version", "BAD"],
    "deploy digest": ["deploy", "--artifact", "a.tar", "--version", "1", "--digest", "BAD"],
    "init app": ["init", "-c", "new.toml", "--command", "./serve", "--app", "BAD"],
    "init environment": ["init", "-c", "new.toml", "--command", "./serve", "-e", "BAD"],
    "init nodes": ["init", "-c", "new.toml", "--command", "./serve", "--nodes", "BAD"],
}
NAMED = {"app", "environment", "version", "to", "rollout_id", "node", "nodes", "name", "digest"}


def parameters() -> Iterator[str]:
    for path, command in all_commands():
        if does_something(command):
            words = path.removeprefix("tidegate ")
            yield from (f"{words} {one.name}" for one in command.params)


def test_every_word_that_is_a_name_is_tried_here() -> None:
    found = {one for one in parameters() if one.rpartition(" ")[2] in NAMED}
    assert found - {"demo nodes"} == NAMES.keys()


@pytest.mark.parametrize("where", NAMES)
def test_what_is_no_name_is_refused_wherever_one_is_taken(typed: Typed, where: str) -> None:
    for bad in BAD:
        said = typed(*(bad if word == "BAD" else word for word in NAMES[where]))
        assert (said.code, said.out) == (2, ""), (bad, said)
        assert "\x1b" not in said.err
        assert "\u202e" not in said.err
        shown = (repr(bad[:59])[1:-1], bad[:59], json.dumps(bad)[1:-1], "control characters; found")
        assert any(words in said.err for words in shown), (bad, said.err)


@pytest.mark.parametrize("bad", ["0", "r0", "7a", "r", "r1.5", "R7", "r-1", "r" + "9" * 30])
def test_what_is_no_rollout_is_refused(typed: Typed, bad: str) -> None:
    said = typed("rollout", "show", bad)
    assert (said.code, said.out) == (2, "")
    assert f"{bad!r} is not a rollout such as r12; see: tidegate rollout list" in said.err


@pytest.mark.parametrize("written", ["4", "r4"])
def test_the_number_of_a_rollout_will_do(written: str) -> None:
    @click.command()
    @click.argument("rollout", callback=a_rollout)
    def command(rollout: str) -> None:
        click.echo(rollout)

    assert CliRunner().invoke(command, [written]).output == "r4\n"


# --- Numbers and times in a configuration --------------------------------------------------------

NUMBERS = ["nan", "inf", "-1", "-0.5", "1e999", '"5 parsecs"', '"NaN"', '"-5s"', "9" * 30, "true"]
TAKE_NUMBERS = {
    "traffic.lanes": "lanes",
    "retention.releases": "releases",
    "health.failures": "failures",
    "rollout.soak": "soak",
    "health.deadline": "deadline",
    "hooks.migrate_timeout": "migrate_timeout",
    "service.stop_grace": "stop_grace",
    "artifact.strip_components": "strip_components",
    "service.ports.blue": "blue",
}


@pytest.mark.parametrize("key", TAKE_NUMBERS)
def test_a_number_or_time_that_is_none_is_refused_before_anything_is_sent(
    typed: Typed, key: str
) -> None:
    table, _, name = key.partition(".")
    head = f"[{table}]\n"
    for bad in NUMBERS:
        text = SMALLEST if head in SMALLEST else SMALLEST + head
        Path("tidegate.toml").write_text(changed(head, f"{head}{name} = {bad}\n", text))
        for words in (["config", "check"], ["deploy", "--artifact", "a.tar", "--version", "1"]):
            said = typed(*words)
            assert (said.code, said.out) == (2, ""), (bad, said)
            assert f"[{table}] {name}: must be " in said.err, (bad, said.err)
            assert "\n  next: mend the file" in said.err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'app = "other"\n{SMALLEST}', 2),
        (f'{SMALLEST}[traffic]\nadapter = "none"\n', 15),
        (changed('{ role = "web" }', '{ role = "web", role = "db" }'), 4),
    ],
)
def test_a_key_twice_is_refused_with_its_line(typed: Typed, text: str, line: int) -> None:
    Path("tidegate.toml").write_text(text)
    for words in (["config", "check"], ["deploy", "--artifact", "a.tar", "--version", "1"]):
        said = typed(*words)
        assert (said.code, said.out) == (2, "")
        assert f"tidegate.toml:{line}: a key or table that was already given above" in said.err
        assert said.err.count("\n  next: mend the file") == 1


# --- Artifacts -----------------------------------------------------------------------------------


def test_every_hostile_archive_is_refused_before_it_is_sent_and_by_the_agent(
    typed: Typed,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The files that the script writes: both sides say the same, and leave nothing."""
    monkeypatch.setattr(artifact, "LIMITS", Limits(**TIGHT))
    corpus = tmp_path_factory.mktemp("corpus") / "new"
    monkeypatch.setattr(sys, "argv", ["hostile_archives.py", str(corpus)])
    runpy.run_path(hostile_archives.__file__, run_name="__main__")
    assert f" archives, each with the words that refuse it in FILE.why: {corpus}" in (
        capsys.readouterr().out
    )
    files = [path for path in sorted(corpus.iterdir()) if path.suffix != ".why"]
    assert len(files) == len(hostile_archives.HOSTILE) > 300
    for path in files:
        words = path.with_name(f"{path.name}.why").read_text().strip()
        said = typed("deploy", "--artifact", str(path), "--version", "1", "--json")
        assert (said.code, said.out) == (2, ""), (path, said)
        assert said.err.startswith(f"error: the artifact {path} "), said.err
        assert "an artifact is a .tar.gz, .tar.zst, .tar or .zip: tar czf" in said.err
        tree = corpus.with_name("tree")
        refusal = refused_by_the_agent(path, tree)
        assert words in refusal
        known = refusal.removeprefix("the artifact is ").partition("; an artifact is ")[0]
        assert known.removeprefix("an ").removesuffix(" file") in said.err
        assert not tree.exists()
    shutil.rmtree(corpus)


def refused_by_the_agent(path: Path, tree: Path) -> str:
    try:
        fd, form = open_archive(str(path))
        with open(fd, "rb"):
            unpack(fd, form, str(tree), Limits(**TIGHT))
    except Refused as refusal:
        return str(refusal)
    return "it was unpacked"
