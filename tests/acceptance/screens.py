"""Makes docs/screens.md: types commands at a fleet on this machine and keeps what they show.

make screens
"""

import io
import os
import re
import signal
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from desk import AppFolder, Desk
from pseudo_terminal import PseudoTerminal

NODES = 3
MANY = 25
COLUMNS, ROWS = 100, 34
BLOB_BYTES = 60_000_000  # enough to see it being fetched
BY_HAND = {"adapter": "none", "directory": None, "lanes": None}
PACE = {"soak": "3s", "drain": "0s", "keep_old_for": "10m"}

HEAD = """# Screens

What the `tidegate` command shows, as text. This page is made by a script that really types these
commands, at a fleet of processes on one machine (`tests/acceptance/screens.py`; `make screens`).
Colours are left out; where a terminal has none, or `NO_COLOR` is set, the marks say the same.
"""


class Page:
    """Prints the screens as they are taken."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def heading(self, text: str, words: str) -> None:
        print(f"\n## {text}\n\n{words}")

    def screen(self, title: str, lines: list[str]) -> None:
        print(f"\n{title}\n\n```text")
        print("\n".join(map(neutral, lines)))
        print("```", flush=True)

    def typed(self, command: str, cwd: Path | None = None) -> str:
        """Type it at a terminal, and show command and answer."""
        terminal = self._desk.sit_down(*command.split()[1:], cwd=cwd, columns=COLUMNS, rows=200)
        terminal.end()
        self.screen(f"`{command}`", terminal.lines)
        return terminal.text

    def when(
        self, terminal: PseudoTerminal, shows: str | Callable[[str], object], title: str
    ) -> None:
        """What the terminal shows at that moment."""
        terminal.until(shows)
        self.screen(title, terminal.lines)


def neutral(line: str) -> str:
    """Without what is of this machine alone."""
    return re.sub(r"kernel \S+,", "kernel 6.1.0-28-amd64,", line)


@contextmanager
def fleet() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as folder, Desk(Path(folder), NODES).running() as desk:
        yield desk


def every_screen(desk: Desk) -> None:
    page = Page(desk)
    print(HEAD, end="")
    good_release(desk, page)
    bad_release(desk, page)
    plans(desk, page)
    looking_back(desk, page)
    making_room(desk, page)
    by_hand(desk, page)
    many_nodes(desk, page)


def shop(desk: Desk) -> AppFolder:
    return desk.held(
        "shop",
        nodes={"role": "web"},
        rollout=PACE,
        health={"healthy_after": "1s", "deadline": "20s"},
    )


def good_release(desk: Desk, page: Page) -> None:
    page.heading("A good release", "Steps, and beneath the present one what each node does.")
    app = shop(desk)
    app.let_go()
    app.deployed("1.4.1")
    app.gate.unlink()
    terminal = app.sit_down("1.4.2", "-m", "orders can be cancelled", columns=COLUMNS, rows=ROWS)
    command = 'tidegate deploy --artifact shop-1.4.2.tar.gz --version 1.4.2 -m "…"'
    starting = re.compile(r"● web-3/green +[1-9] s").search
    page.when(terminal, starting, f"`{command}`, while slots start:")
    app.let_go()
    soaking = "Then with traffic, for as long as `rollout.soak` says:"
    page.when(terminal, "all stay healthy for 2 s", soaking)
    terminal.end()
    page.screen("And what is left standing:", terminal.lines)
    page.typed("tidegate status shop")


def bad_release(desk: Desk, page: Page) -> None:
    page.heading("A bad release", "It is undone by itself; the exit code is 1.")
    app = desk.app("basket", nodes={"role": "web"}, rollout=PACE).deployed("7")
    terminal = app.sit_down("8", columns=COLUMNS, rows=ROWS, behaviour={"exits_at_once": True})
    terminal.end()
    page.screen("`tidegate deploy --artifact basket-8.tar.gz --version 8`", terminal.lines)
    answer = app.deploy("8", exits_at_once=True)
    page.screen("The same without a terminal, as in a pipeline:", answer.out.splitlines())
    page.typed(f"tidegate explain {app.newest()['rollout']}")


def plans(desk: Desk, page: Page) -> None:
    page.heading("Looking before leaping", "Nothing is sent, not even the artifact.")
    app = desk.app("guarded", nodes={"role": "web"}, environment={"protected": True})
    for version in ("1", "2"):
        assert app.deploy(version, "--yes", "-m", f"the {version}. try").code == 0
    artifact = app.build("3")
    page.typed(f"tidegate deploy --artifact {artifact.name} --version 3 --plan", app.folder)
    assert app.deploy("3", "--yes", "-m", "the 3. try").code == 0
    terminal = desk.sit_down("rollback", "guarded", columns=COLUMNS, rows=ROWS)
    terminal.until("Which version [2]:")
    terminal.type("1\n")
    terminal.until("Is this meant? [y/N]:")
    terminal.type("y\n")
    terminal.end()
    page.screen(
        "`tidegate rollback guarded`, where several releases can be gone back to, and the "
        "environment is `protected`:",
        terminal.lines,
    )


def looking_back(desk: Desk, page: Page) -> None:
    page.heading("Looking back", "Who did what, when and why; what a node went through.")
    page.typed("tidegate rollout list")
    newest = desk.type("rollout", "list", "guarded", "--json").json["rollouts"][0]["rollout"]
    page.typed(f"tidegate rollout show {newest}")
    page.typed("tidegate node list")
    page.typed("tidegate node show web-2")


def making_room(desk: Desk, page: Page) -> None:
    page.heading(
        "Making room",
        "Each rollout ends with it, by what `[retention]` says; here it says less than before.",
    )
    app = desk.app("parcels", nodes={"role": "web"}, retention={"releases": 5})
    for version in ("1", "2", "3", "4"):
        app.deployed(version)
    config = app.folder / "tidegate.toml"
    config.write_text(config.read_text().replace("releases = 5", "releases = 0"))
    assert desk.type(*app.words("4", app.folder / "parcels-4.tar.gz"), cwd=app.folder).code == 0
    page.typed("tidegate cleanup parcels")


def by_hand(desk: Desk, page: Page) -> None:
    page.heading(
        "Waiting for a person",
        'Here traffic is switched by hand (`adapter = "none"`). A terminal stays; without one the '
        "command ends with exit code 5.",
    )
    app = desk.app("by-hand", nodes={"role": "web"}, traffic=BY_HAND)
    terminal = app.sit_down("1", columns=COLUMNS, rows=ROWS)
    command = "`tidegate deploy --artifact by-hand-1.tar.gz --version 1`"
    page.when(terminal, "tidegate rollout abort", command)
    name = app.newest()["rollout"]
    page.typed(f"tidegate rollout show {name}")
    assert desk.type("rollout", "continue", name).code == 0
    terminal.end()


def many_nodes(desk: Desk, page: Page) -> None:
    page.heading("Many nodes", "Above twenty there are totals, and by name what is worth a look.")
    for number in range(NODES + 1, MANY + 1):
        desk.run_agent(f"web-{number}", "role=web")
    app = desk.app("large", nodes={"role": "web"}, traffic={"lanes": MANY * 2})
    artifact = app.build("1")
    with tarfile.open(artifact, "w:gz", compresslevel=1) as archive:
        for name in ("serve.py", "release.json"):
            archive.add(app.folder / name, name)
        member = tarfile.TarInfo("blob")
        member.size = BLOB_BYTES
        archive.addfile(member, io.BytesIO(os.urandom(BLOB_BYTES)))
    words = [*app.words("1", artifact)]
    terminal = desk.sit_down(*words, cwd=app.folder, columns=COLUMNS, rows=ROWS)
    fetching = "`tidegate deploy --artifact large-1.tar.gz --version 1`"
    page.when(terminal, lambda text: len(re.findall(r"fetching, \d+ %", text)) > 3, fetching)
    desk.agents["web-17"].send_signal(signal.SIGKILL)
    page.when(terminal, re.compile(r"away for [2-9] s").search, "A node goes away meanwhile:")
    desk.agents.pop("web-17").wait()
    desk.run_agent("web-17", "role=web")
    terminal.end()
    page.screen("It comes back in time:", terminal.lines)


if __name__ == "__main__":
    os.environ["LOGNAME"] = "ann"
    with fleet() as made:
        every_screen(made)
