"""What a request says otherwise than the one before: other settings, names, balancers, nodes."""

import msgspec
import pytest
from core_values import GRACE_SECONDS, SETTINGS, TRAFFIC, place
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import pending
from tidegate_controller.core.spec import Pace, Policy, Service, Settings
from tidegate_controller.errors import Refused


def test_another_pace_alone_is_taken_over_without_a_rollout() -> None:
    world = World().deployed("1")
    world.pace = Pace(soak_seconds=77.0)
    (event,) = world.deploy("1")
    assert isinstance(event, ev.Configured)
    assert world.state.pace.soak_seconds == 77.0
    assert world.deploy("1") == ()


def test_a_node_that_is_taken_out_before_it_has_the_release_is_brought_none() -> None:
    world = World("abc", policy=Policy(max_failed_nodes="1"))
    world.deploy("1")
    assert world.finish(**{"start@c": "failed"}) == "succeeded"
    assert list(world.state.debts) == ["c"]
    (event,) = world.deploy("1", nodes="ab")
    assert isinstance(event, ev.Configured)
    assert world.state.members == ("a", "b")
    assert (world.state.debts, world.state.owed) == ({}, {})
    assert world.deploy("1", nodes="ab") == ()


def test_a_new_node_that_is_away_comes_with_a_deployment_that_brings_it_the_release() -> None:
    world = World("abc", policy=Policy(max_failed_nodes="1"))
    world.deploy("1", nodes="ab")
    assert world.finish() == "succeeded"
    world.gone.add("c")
    world.deploy("1")
    assert world.state.members == ("a", "b")
    world.come_back("c")
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert world.state.members == ("a", "b", "c")


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"directory": "/elsewhere"}, 'write it in full, directory = "/run/lanes", under'),
        ({"adapter": "none"}, 'write adapter = "caddy" and directory = "/run/lanes" under'),
    ],
)
def test_traffic_that_one_balancer_holds_is_not_moved_by_another(
    change: dict[str, str], mend: str
) -> None:
    world = World().deployed("1")
    with pytest.raises(Refused, match="caddy in /run/lanes so far") as refused:
        world.deploy("2", traffic=msgspec.structs.replace(TRAFFIC, **change))
    assert refused.value.hint.startswith(mend)
    assert world.state.rollout is None


def test_more_lanes_of_the_same_balancer_are_no_other_balancer() -> None:
    world = World().deployed("1")
    world.deploy("2", traffic=msgspec.structs.replace(TRAFFIC, lanes=9))
    assert world.finish() == "succeeded"


def test_the_artifact_of_the_active_version_under_another_name_is_refused() -> None:
    world = World().deployed("1")
    with pytest.raises(Refused, match="version 2 is the artifact of version 1"):
        world.deploy("2", digest="sha256:1")
    world.deploy("2", digest="sha256:1", again=True)
    assert world.finish() == "succeeded"
    assert world.state.committed[-1].version == "2"


def ending_within(seconds: float) -> Settings:
    service = Service(command=("serve",), stop_grace_seconds=seconds)
    return msgspec.structs.replace(SETTINGS, service=service)


def test_a_start_has_time_to_end_a_release_before_that_takes_longer_to() -> None:
    world = World(settings=ending_within(120.0)).deployed("1")
    world.settings = ending_within(1.0)
    world.deployed("2").deploy("3")
    world.until("start")
    world.wait(120.0 + SETTINGS.health.deadline_seconds)
    assert world.running()["a/blue"] == "1"
    assert world.finish() == "succeeded"


def test_a_start_has_time_to_end_what_a_rollout_has_left_that_stopped() -> None:
    world = World(settings=ending_within(1.0)).deployed("1")
    world.settings = ending_within(120.0)
    world.deploy("2")
    world.finish_start()
    world.abort(undo=False)
    world.settings = ending_within(1.0)
    world.deploy("3")
    world.until("start")
    world.wait(120.0 + SETTINGS.health.deadline_seconds)
    assert world.finish() == "succeeded"


def test_a_node_whose_address_has_changed_gets_its_traffic_there() -> None:
    world = World().deployed("1")
    moved = msgspec.structs.replace(world.machines[place("a/blue")], address="elsewhere:1")
    world.machines[place("a/blue")] = moved
    world.hello("a")
    seen = len(world.log)
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert world.steps(seen) == ["preflight", "shift", "switch", "soak", "verify"]


def test_a_balancer_that_says_otherwise_is_settled_first() -> None:
    world = World().deployed("1")
    held = {known.address or "": 5 for known in world.machines.values()}
    assert world.deploy("1", balancer=held) == ()
    seen = len(world.log)
    world.deploy("1", balancer={})
    assert world.finish() == "succeeded"
    assert world.steps(seen)[:3] == ["preflight", "settle", "shift"]


# --- A log that does not know what serves already ------------------------------------------------


def test_a_new_log_leaves_alone_what_serves_already() -> None:
    old = World().deployed("1")
    new = World()
    new.machines, new.currents = dict(old.machines), dict(old.currents)
    new.deploy("2")
    assert new.finish() == "succeeded"
    assert new.issued("start") == ["a/green", "b/green"]
    assert new.running()["a/blue"] == "1"


def test_a_first_deployment_that_fails_stops_nothing_that_it_has_not_started() -> None:
    old = World().deployed("1")
    new = World()
    new.machines, new.currents = dict(old.machines), dict(old.currents)
    new.deploy("2")
    assert new.finish(start="failed") == "failed"
    new.rest()
    assert new.running() == {"a/blue": "1", "b/blue": "1"}


# --- Nodes that are gone for good ----------------------------------------------------------------


def test_a_node_that_was_removed_is_forgotten() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.nodes.remove("b")
    (event,) = world.feed(i.NodeRemoved(node="b"))
    assert isinstance(event, ev.NodeForgotten)
    assert {p.node for p in world.state.places} == {"a"}
    assert world.state.members == ("a",)
    assert {chore.work.at for chore in world.state.chores} == {"a"}
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100}


@pytest.mark.parametrize("on_failure", ["rollback", "stop"])
def test_a_node_that_was_removed_owes_nothing_when_a_deployment_fails(on_failure: str) -> None:
    world = World("abx", policy=Policy(on_failure=on_failure)).deployed("1")
    world.leave("x")
    world.nodes.remove("x")
    world.feed(i.NodeRemoved(node="x"))
    world.deploy("2")
    world.until("soak")
    world.report("a/green", healthy=False)
    world.finish()
    assert world.ending.state != "succeeded"
    assert "x" not in world.owing()


def test_a_node_that_the_stream_has_never_seen_is_no_news() -> None:
    world = World().deployed("1")
    assert world.feed(i.NodeRemoved(node="z")) == ()


# --- Names and bounds of actions -----------------------------------------------------------------


def test_actions_of_two_streams_have_different_ids() -> None:
    ids: set[str] = set()
    for stream in ("shop@test", "blog@test"):
        world = World()
        start = i.ControllerStart(
            stream=stream, epoch=2, log_id="log", connected=("a", "b"), grace_seconds=GRACE_SECONDS
        )
        world.feed(start)
        world.deploy("1")
        ids |= {action.id for action in pending(world.state)}
    assert len(ids) == 2 * len(pending(world.state))


def test_a_step_whose_works_cannot_run_all_at_once_may_take_longer() -> None:
    world = World([f"n{number}" for number in range(120)])
    world.deploy("1")
    world.until("start")
    for _ in range(3):
        world.tick(200.0)
        world.answer_all()
    assert world.finish() == "succeeded"


def test_the_end_of_a_soak_needs_a_word_from_every_node() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.fates = {"verify@b": "silence"}
    assert world.finish(**{"verify@b": "silence"}) == "rolled_back"


def test_a_slot_that_is_found_unhealthy_at_the_end_undoes_the_rollout() -> None:
    world = World().deployed("1")
    world.deploy("2")
    actions = world.until("verify")
    here = place("a/green")
    known: t.Known = msgspec.structs.replace(world.machines[here], healthy=False)
    action = next(action for action in actions if action.work.place == here)
    world.feed(world.result(action, "ok", known))
    assert world.finish() == "rolled_back"
