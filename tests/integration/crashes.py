"""What is played while processes are killed, and the kills: used by test_crashes.py, where some are
killed in each rollout, and by torture.py, where one is.

A scene is played again and again on the same stage, each time with another version. After each the
log, the machines and the balancer have to agree.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
from crash_points import CONTROLLER, enter_phase, kill_file, killed_file, phase, points_file
from stage import Stage

from tidegate_controller.cli.client import Client
from tidegate_controller.core.spec import Policy, Spec, Waves

TURNS = 2  # rollouts that the kinds of points of one side are dealt to
TRIES = 3  # more, for what was not come to: a kill came before it, or things went another way
WAVE = re.compile(r"-\d+$")  # its number, in the name of a step

BY_LUCK = ("superseded", "cancelled")  # ends of a chore that a rollout overtakes, or does not

Arm = Callable[[], None]
Told = Callable[[int, int], None]  # after each kill: how many there were, of how many


@dataclass(frozen=True)
class Scene:
    """A rollout that ends well, or one that is undone. `phase`: the part of it that matters, as
    crash_points.py has it; `steps`: which have to occur there. `witnesses`: nodes that differ in
    what they are told, or "idle" and "serving" for one of either group. `away`: the last node is,
    while the release is brought to the others."""

    nodes: int
    spec: Mapping[str, object]
    steps: frozenset[str]
    phase: str = "deploy"
    behaviour: Mapping[str, object] = field(default_factory=dict)  # of the release
    soak: str = "100ms"
    witnesses: tuple[str, ...] = ("web-1",)
    away: bool = False

    def stage(self, folder: Path) -> Stage:
        def chosen(spec: Spec) -> Spec:
            return msgspec.structs.replace(spec, **self.spec)

        return Stage(folder, self.soak, self.nodes, chosen)

    def play(self, stage: Stage, arm: Arm = lambda: None) -> None:
        """`arm` is called just before the part that matters, or what leads to it, begins."""
        version = f"v{stage.last_seq()}"
        if self.away:
            self._play_away(stage, version, arm)
        else:
            arm()
            rollout = stage.deploy(version, **self.behaviour)
            undone = self.phase.endswith("undo")
            assert rollout.state == ("rolled_back" if undone else "succeeded"), rollout
            stage.active = stage.active if undone else version
        stage.assert_agreement(stage.active)

    def _play_away(self, stage: Stage, version: str, arm: Arm) -> None:
        away = stage.fleet.nodes[-1]
        with stage.down(away):
            stage.wait_for(
                lambda status: [n.node for n in status.nodes if not n.connected] == [away]
            )
            rollout = stage.deploy_alone(version)
            assert rollout.state == "succeeded", rollout
            left = stage.chores_left_to(away)  # those of others may not reach into what comes
            stage.wait_for(lambda status: status.unfinished <= left)
            arm()
            # A node that returns may stop its old slot a moment before the converge begins.
            enter_phase(stage.fleet.folder, self.phase)
        stage.active = version
        stage.wait_for(
            lambda status: status.rollout is None and not any(n.debt for n in status.nodes)
        )
        stage.settle()
        with Client(stage.fleet.address).expect() as client:
            latest = client.rollouts("hello", 1).rollouts[0]
        assert (latest.kind, latest.state) == ("converge", "succeeded"), latest


GROUPS = {"slots": {"blue": {"group": "odd"}, "green": {"group": "even"}}}
CANARY = {"strategy": "canary", "waves": Waves(sizes=("1", "100%"))}
CANARY_REHEARSED = {"strategy": "canary", "waves": Waves(sizes=("1", "100%"), rehearse=True)}
ROLLING = {"strategy": "rolling", "waves": Waves(max_parallel="2", min_in_service="1")}
ROLLING_REHEARSED = {
    "strategy": "rolling",
    "waves": Waves(max_parallel="2", min_in_service="1", rehearse=True),
}
BLUE_GREEN_STEPS = frozenset({"preflight", "prepare", "start", "shift", "switch", "verify"})
IN_PLACE_STEPS = frozenset({"stop", "start", "admit", "switch", "verify"})
IN_PLACE_BACK = frozenset({"start-back", "admit-back", "drain-back", "stop-back"})
MAY_BE_AWAY = {"policy": Policy(max_failed_nodes="1")}
BAD_ON_THE_LAST = {"exits_on": "web-3"}  # so that the wave before has traffic already
BAD_UNDER_TRAFFIC = {"turns_unhealthy_after_requests": 10}
OF_EACH_WAVE = ("web-1", "web-3")
SCENES = {  # what takes longest first: dealing.py keeps the order
    "converge": Scene(
        2, MAY_BE_AWAY, BLUE_GREEN_STEPS, "converge", witnesses=("web-2",), away=True
    ),
    "blue-green": Scene(2, {}, BLUE_GREEN_STEPS),
    "canary": Scene(3, CANARY, BLUE_GREEN_STEPS, witnesses=OF_EACH_WAVE),
    "rolling": Scene(3, ROLLING, IN_PLACE_STEPS | {"prepare", "drain"}, witnesses=OF_EACH_WAVE),
    "groups": Scene(4, GROUPS, BLUE_GREEN_STEPS, witnesses=("idle", "serving")),
    "blue-green, undone": Scene(
        2, {}, frozenset({"shift-back"}), "deploy undo", BAD_UNDER_TRAFFIC, soak="1s"
    ),
    "canary, undone": Scene(
        3, CANARY, frozenset({"shift-back"}), "deploy undo", BAD_ON_THE_LAST, witnesses=OF_EACH_WAVE
    ),
    "rolling, undone": Scene(
        3, ROLLING, IN_PLACE_BACK, "deploy undo", BAD_ON_THE_LAST, witnesses=OF_EACH_WAVE
    ),
    "groups, undone": Scene(
        4,
        GROUPS,
        frozenset({"shift-back"}),
        "deploy undo",
        BAD_UNDER_TRAFFIC,
        soak="1s",
        witnesses=("idle", "serving"),
    ),
}
LONGER = {  # for torture.py: in place of some of these, or beside them
    "canary": Scene(
        3, CANARY_REHEARSED, BLUE_GREEN_STEPS | {"rehearse-shift"}, witnesses=OF_EACH_WAVE
    ),
    "rolling": Scene(
        3, ROLLING_REHEARSED, IN_PLACE_STEPS | {"rehearse-drain"}, witnesses=OF_EACH_WAVE
    ),
    "converge in place": Scene(
        3, MAY_BE_AWAY | ROLLING, IN_PLACE_STEPS, "converge", witnesses=("web-3",), away=True
    ),
}


# --- Points ---------------------------------------------------------------------------------------


class Point(NamedTuple):
    """That a process of the side has come to. `name`: of its node, or of the side; `kind`: empty
    where it is of no rollout."""

    side: str
    name: str
    kind: str


def points(stage: Stage, scene: Scene) -> list[Point]:
    """In the order in which they come, from one play of the scene. In the first one more is done
    than in later ones, so it is not to be that."""
    file = points_file(stage.fleet.folder)

    def arm() -> None:
        file.write_text("")

    scene.play(stage, arm)
    assert phase(stage.fleet.folder) == scene.phase
    return [Point(*line.split("\t")) for line in file.read_text().splitlines()]


def kinds(scene: Scene, found: list[Point], whose: str) -> list[str]:
    """Of the part that matters, each once. `whose`: a side's, or a node's."""
    here = [point.kind for point in found if whose in point[:2]]
    of_the_part = [kind for kind in here if kind.startswith(f"{scene.phase}: ")]
    return [kind for kind in dict.fromkeys(of_the_part) if not kind.endswith(BY_LUCK)]


def without_waves(kinds: list[str]) -> list[str]:
    """The first of those that differ in nothing but the number of the wave."""
    return list({WAVE.sub("", kind): kind for kind in reversed(kinds)}.values())[::-1]


def step_of(kind: str) -> str:
    return WAVE.sub("", kind.rpartition(" ")[2])


# --- Some kills in each rollout -------------------------------------------------------------------


def kill_at_each(stage: Stage, scene: Scene, side: str, kinds: list[str]) -> set[str]:
    """A process of this side dies at each kind of point: some in each rollout, spread over it. All
    that became durable at these points. Fails where one of them is not come to."""
    folder = stage.fleet.folder
    killed_file(folder, side).write_text("")
    missed: list[str] = []
    for turn in range(TURNS + TRIES):
        chosen, missed = (kinds[turn::TURNS], missed) if turn < TURNS else (missed, [])
        if chosen:
            missed += _missed(stage, scene, side, chosen)
    assert not missed, f"never came to {missed}"
    killed = [line.split("\t") for line in killed_file(folder, side).read_text().splitlines()]
    assert sorted(kind for kind, _ in killed) == sorted(kinds)
    return {word for _, durable in killed for word in durable.split()}


def _missed(stage: Stage, scene: Scene, whose: str, kinds: list[str]) -> list[str]:
    """One play with a kill at each of these; the ones that were not come to."""
    files = {kind: kill_file(stage.fleet.folder, whose, kind) for kind in kinds}

    def arm() -> None:
        for file in files.values():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    scene.play(stage, arm)
    missed = [kind for kind, file in files.items() if file.exists()]
    for kind in missed:
        files[kind].unlink()
    return missed


# --- One kill in each rollout ---------------------------------------------------------------------


def kill_once_at_each(stage: Stage, scene: Scene, victim: str, told: Told) -> None:
    """At each kind of point of the part that matters, the same in two waves counted twice.
    `victim`: the controller, or one of the scene's witnesses. Fails where one is not come to."""
    name = _named(stage, victim)
    chosen = kinds(scene, points(stage, scene), name)
    assert chosen or victim != CONTROLLER  # an agent may have no part in an undo
    told(0, len(chosen))
    for number, kind in enumerate(chosen, 1):
        tries = (_missed(stage, scene, _named(stage, victim), [kind]) for _ in range(1 + TRIES))
        assert any(not missed for missed in tries), f"never came to {kind}"
        told(number, len(chosen))


def kill_controller_after_every_event(stage: Stage, scene: Scene, told: Told) -> None:
    """At each point at which the log grows."""
    count = sum(point.side == CONTROLLER for point in points(stage, scene))
    kill_at, killed_at = (stage.fleet.folder / name for name in ("kill-at", "killed-at"))
    killed, offset, start = 0, 1, 0

    def arm() -> None:
        nonlocal start
        start = stage.last_seq()
        kill_at.write_text(str(start + offset))

    while True:
        scene.play(stage, arm)
        if kill_at.exists():
            kill_at.unlink()
            return
        killed += 1
        told(killed, max(killed, count))
        offset = int(killed_at.read_text()) - start + 1


def kill_agent_after_every_entry(stage: Stage, scene: Scene, witness: str, told: Told) -> None:
    """At each entry of one agent's journal."""
    name = _named(stage, witness)
    count = sum(point.name == name for point in points(stage, scene))
    entry = 1
    kill = Path()

    def arm() -> None:
        nonlocal kill
        kill = stage.fleet.folder / f"kill-{_named(stage, witness)}"
        kill.write_text(str(entry))

    while True:
        scene.play(stage, arm)
        if kill.exists():
            kill.unlink()
            return
        told(entry, max(entry, count))
        entry += 1


def _named(stage: Stage, witness: str) -> str:
    if witness not in ("idle", "serving"):
        return witness
    serving = {node.node for node in stage.status().nodes if node.active_slot}
    return next(n for n in stage.fleet.nodes if (n in serving) is (witness == "serving"))
