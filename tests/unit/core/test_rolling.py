"""Rolling, in place: who is out of service when, and that both releases never run on a node."""

import pytest
from core_values import PACE, place
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Waves
from tidegate_controller.errors import Refused

NODES = tuple("abcdef")
TWO = Waves(max_parallel="2")


def rolling(*versions: str, waves: Waves = TWO, nodes: tuple[str, ...] = NODES) -> World:
    return World(nodes, strategy="rolling", waves=waves).deployed(*versions)


def zoned(waves: Waves, zones: dict[str, str]) -> World:
    labels = {node: {"zone": zone} for node, zone in zones.items()}
    return World(zones, strategy="rolling", waves=waves, labels=labels)


def on(world: World, slot: str) -> str:
    return "".join(sorted(p.node for p, share in world.state.settled.items() if p.slot == slot))


def serving(world: World, since: int) -> list[str]:
    """The nodes that take traffic after each move; of the new release in capitals."""
    moves = [
        e.action.work.weights
        for _, e in world.log[since:]
        if isinstance(e, ev.ActionIssued) and e.action.work.verb == "route"
    ]
    return [
        "".join(
            sorted((p.node.upper() if p.slot == "green" else p.node for p in move), key=str.lower)
        )
        for move in moves
    ]


def test_nodes_are_drained_stopped_started_and_taken_back_wave_by_wave() -> None:
    world = rolling("1")
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert serving(world, seen) == ["cdef", "ABcdef", "ABef", "ABCDef", "ABCD", "ABCDEF"]
    assert world.steps(seen)[1:10] == [
        *("prepare-1", "migrate-1", "drain-1", "stop-1", "start-1", "admit-1", "switch-1"),
        *("soak-1", "verify-1"),
    ]


def test_the_old_release_is_stopped_before_the_new_one_is_started() -> None:
    world = rolling("1")
    world.deploy("2")
    world.until("start-1")
    assert "a/blue" not in world.running()
    assert "a/green" not in world.running()


def test_a_node_is_stopped_only_when_its_last_requests_have_had_time_to_end() -> None:
    world = rolling("1")
    world.deploy("2")
    world.go(lambda: world.step == "stop-1")
    drained_at = world.state.idle_since[place("a/blue")]
    world.go(lambda: bool(world.open()))
    assert world.now >= drained_at + PACE.drain_seconds


def test_nothing_is_left_to_be_stopped_after_it() -> None:
    world = rolling("1")
    world.deploy("2")
    world.finish()
    assert world.running() == {f"{node}/green": "2" for node in NODES}
    assert world.chores() == []


def test_a_first_deployment_comes_to_all_at_once() -> None:
    world = World(NODES, strategy="rolling", waves=TWO)
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert len(world.issued("route")) == 1


def test_nodes_without_traffic_come_first() -> None:
    world = rolling("1")
    world.add("g")
    seen = len(world.log)
    world.deploy("2")
    world.finish()
    assert serving(world, seen)[:2] == ["abcdefg".replace("g", "g"), "cdefg"]


def test_waves_go_zone_by_zone_and_never_over_two() -> None:
    world = zoned(Waves(max_parallel="50%"), {"a": "x", "b": "y", "c": "x", "d": "y", "e": "x"})
    world.deployed("1")
    seen = len(world.log)
    world.deploy("2")
    world.finish()
    started = [set(world.issued("start", seen)[n : n + 2]) for n in (0, 2, 3)]
    assert started[0] == {"a/green", "c/green"}
    assert serving(world, seen)[0] == "bde"
    assert serving(world, seen)[2] == "AbCd"


def test_the_floor_makes_waves_smaller_than_max_parallel() -> None:
    waves = Waves(max_parallel="100%", min_in_service="75%")
    world = zoned(waves, {"a": "x", "b": "x", "c": "x", "d": "x", "e": "y", "f": "y"})
    world.waves = Waves(max_parallel="100%", min_in_service="50%")
    world.deployed("1")
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert serving(world, seen)[::2] == ["cdef", "ABef", "ABCDf", "ABCDE"]


def test_one_that_takes_no_traffic_comes_before_one_that_has_crashed_and_may_come_up() -> None:
    """Of three nodes two serve, as the floor has it; b is down when its turn is planned."""
    world = rolling("1", waves=Waves(min_in_service="0"), nodes=("a", "b"))
    world.rest()
    world.add("c")
    world.waves = Waves(min_in_service="2")
    world.report("b/blue", running=False, healthy=False)
    world.deploy("2")
    world.until("prepare-1")
    world.report("b/blue", running=True, healthy=True)
    assert world.finish() == "succeeded"


def test_a_node_that_has_crashed_is_treated_first_so_that_the_floor_holds() -> None:
    world = rolling("1", waves=Waves(min_in_service="2"), nodes=("a", "b", "c"))
    world.report("b/blue", running=False, healthy=False)
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.issued("start", seen) == ["b/green", "a/green", "c/green"]


@pytest.mark.parametrize(
    ("waves", "nodes", "why"),
    [
        (Waves(), "a", "test has one node: in place nobody would serve while it is treated"),
        (Waves(min_in_service="3"), "abc", "test has 3 nodes, of which min_in_service = 3 must"),
        (Waves(min_in_service="99%"), "abc", "test has 3 nodes, of which min_in_service = 99%"),
    ],
)
def test_a_floor_that_cannot_be_kept_is_refused(waves: Waves, nodes: str, why: str) -> None:
    world = rolling("1", waves=waves, nodes=tuple(nodes))
    with pytest.raises(Refused, match=why):
        world.deploy("2")


def test_a_zone_of_which_no_node_can_be_spared_is_refused() -> None:
    world = zoned(Waves(min_in_service="50%"), {"a": "x", "b": "x", "c": "y"}).deployed("1")
    with pytest.raises(Refused, match="zone y has 1 node, of which min_in_service = 50% must"):
        world.deploy("2")


def test_one_node_may_be_treated_alone_where_that_is_meant() -> None:
    world = rolling("1", waves=Waves(min_in_service="0"), nodes=("a",))
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.running() == {"a/green": "2"}


def floored() -> World:
    """One of six nodes may be out of service; another one than that whose turn it is goes down."""
    world = rolling("1", waves=Waves(min_in_service="5"))
    world.deploy("2")
    world.until("prepare-2")
    world.report("f/blue", healthy=False)
    return world


def test_a_wave_waits_while_another_node_is_down() -> None:
    world = floored()
    assert world.until("drain-2") == []
    world.wait(10.0)
    world.report("f/blue", healthy=True)
    assert world.finish() == "succeeded"


def test_a_wave_that_has_waited_too_long_is_undone_as_far_as_the_floor_allows() -> None:
    world = floored()
    world.go(lambda: world.state.rollout.waiting is not None)
    why = "without b 4 would be in service, and 5 must be"
    assert why in world.state.rollout.reason
    assert "without a 4 would be in service" in world.state.rollout.waiting.why
    world.report("f/blue", healthy=True)
    assert world.finish() == "rolled_back"
    assert on(world, "blue") == "abcdef"


# --- Undone ---------------------------------------------------------------------------------------


def undone(step: str, event: str, outcome: str = "failed") -> tuple[World, int]:
    world = rolling("1")
    world.deploy("2")
    world.until(step)
    seen = len(world.log)
    world.finish(**{event: outcome})
    return world, seen


def test_a_wave_that_fails_is_started_again_with_the_old_release_and_then_those_before() -> None:
    world, seen = undone("start-2", "start-2@d")
    assert world.ending.state == "rolled_back"
    assert serving(world, seen) == ["ABcdef", "cdef", "abcdef"]
    assert world.running() == {f"{node}/blue": "1" for node in NODES}


def test_what_still_runs_takes_traffic_at_once() -> None:
    world = rolling("1")
    world.deploy("2")
    world.until("stop-2")
    seen = len(world.log)
    world.finish(**{"stop-2@c": "failed"})
    assert world.ending.state == "rolled_back"
    assert serving(world, seen)[-1] == "abcdef"


def test_a_failure_before_anything_was_stopped_is_one_move_back() -> None:
    world, seen = undone("drain-1", "drain-1")
    assert serving(world, seen)[-1:] == ["abcdef"]
    assert world.issued("start", seen) == []


@pytest.mark.parametrize("wave", [1, 2, 3])
@pytest.mark.parametrize("step", ["prepare", "drain", "stop", "start", "admit", "switch"])
@pytest.mark.parametrize("outcome", ["failed", "unknown", SILENCE])
def test_wherever_it_fails_all_is_as_it_was(wave: int, step: str, outcome: str) -> None:
    world = rolling("1")
    world.deploy("2")
    assert world.finish(**{f"{step}-{wave}": outcome}) == "rolled_back"
    assert world.traffic == {f"{node}/blue": 100 for node in NODES}
    world.rest()
    assert world.running() == {f"{node}/blue": "1" for node in NODES}
    assert world.currents == dict.fromkeys(NODES, "blue")
    assert world.state.debts == {}


def test_a_place_that_turns_bad_in_a_later_wave_undoes_all() -> None:
    world = rolling("1")
    world.deploy("2")
    world.until("soak-3")
    seen = len(world.log)
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert serving(world, seen)[0] == "BCDEF"
    assert serving(world, seen)[-1] == "abcdef"


def test_an_old_release_that_does_not_start_again_stops_nobody_else() -> None:
    world = rolling("1")
    world.deploy("2")
    world.until("soak-3")
    world.report("a/green", healthy=False)
    assert world.finish(**{"start-back-2@c": "failed"}) == "rolled_back"
    assert on(world, "blue") == "abdef"
    assert on(world, "green") == ""
    assert world.owing() == {"c"}


def test_a_node_that_is_lost_while_it_is_undone_stops_nobody_else() -> None:
    world = rolling("1")
    world.deploy("2")
    world.until("soak-3")
    world.report("a/green", healthy=False)
    world.leave("d")
    assert world.finish() == "rolled_back"
    assert on(world, "blue") == "abcef"
    assert world.owing() == {"d"}


def test_a_floor_that_an_undo_cannot_keep_is_a_question_for_a_person() -> None:
    world = rolling("1", waves=Waves(min_in_service="5"))
    world.deploy("2")
    world.until("soak-6")
    world.report("a/green", healthy=False)
    world.fates = {"start-back-1@a": "failed"}
    world.go(lambda: world.state.rollout.waiting is not None)
    assert "without b 4 would be in service, and 5 must be" in world.state.rollout.waiting.why
    world.fates = {}
    world.reply("continue")
    assert world.finish() == "rolled_back"
    assert on(world, "blue") == "bcdef"


def test_giving_up_an_undo_leaves_each_node_as_it_serves() -> None:
    world = rolling("1", waves=Waves(min_in_service="5"))
    world.deploy("2")
    world.until("soak-6")
    world.report("a/green", healthy=False)
    world.fates = {"start-back-1@a": "failed"}
    assert world.give_up() == "failed"
    assert on(world, "green") == "bcdef"
    assert t.CONTROLLER not in world.owing()
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.running() == {str(p): "3" for p in world.state.settled}


def test_to_go_back_goes_in_waves_too_and_soaks_nowhere() -> None:
    world = rolling("1", "2")
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert serving(world, seen) == ["CDEF", "abCDEF", "abEF", "abcdEF", "abcd", "abcdef"]
    assert not [step for step in world.steps(seen) if step.startswith(("soak", "migrate"))]


@pytest.mark.parametrize("after", range(40, 200, 9))
def test_a_controller_that_starts_anew_in_the_middle_goes_on(after: int) -> None:
    world = World(NODES, strategy="rolling", waves=TWO, restart_after=after, reconnect=False)
    world.deployed("1").deploy("2")
    assert world.finish() == "succeeded"
    assert world.running() == {f"{node}/green": "2" for node in NODES}


@pytest.mark.parametrize("after", range(90, 200, 9))
def test_a_controller_that_starts_anew_in_the_middle_of_an_undo_goes_on(after: int) -> None:
    world = World(NODES, strategy="rolling", waves=TWO, restart_after=after, reconnect=False)
    world.deployed("1").deploy("2")
    assert world.finish(**{"start-3": "failed"}) == "rolled_back"
    assert world.running() == {f"{node}/blue": "1" for node in NODES}


def test_one_release_runs_at_a_time_also_where_nobody_has_traffic() -> None:
    waves = Waves(max_parallel="100%", min_in_service="0")
    world = World(["a"], strategy="rolling", waves=waves).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("stop-1")
    world.abort(undo=False)
    assert world.traffic == {}
    assert world.running() == {"a/blue": "1"}
    since = len(world.log)
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.issued("stop", since) == ["a/blue"]
    assert world.story(since).index("issue stop a/blue") < world.story(since).index(
        "issue start a/green"
    )


def test_what_had_the_release_before_and_fails_with_it_loses_its_traffic_when_it_is_undone() -> (
    None
):
    waves = Waves(max_parallel="1", min_in_service="1")
    world = World("abc", strategy="rolling", waves=waves).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("prepare-2")
    world.abort(undo=False)
    world.deploy("2")
    world.until("soak-1")
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert set(world.traffic) == {"b/blue", "c/blue"}
    assert "a" in world.owing()
