"""What operators ask for: wrong requests are refused and change nothing."""

import pytest
from core_values import release
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.errors import Refused


@pytest.mark.parametrize("step", ["preflight", "prepare", "start", "shift", "switch", "soak"])
def test_one_rollout_at_a_time(step: str) -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until(step)
    state = world.state
    with pytest.raises(Refused, match=r"r2 to version 2 is running"):
        world.deploy("3")
    with pytest.raises(Refused, match=r"r2 to version 2 is running"):
        world.rollback()
    assert world.state == state


def test_a_rollout_that_is_being_undone_is_still_in_the_way() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("shift")
    world.fates = {"shift": "failed"}
    world.until("shift-back")
    with pytest.raises(Refused, match="being undone"):
        world.deploy("3")


def test_chores_are_in_nobodys_way() -> None:
    world = World().deployed("1", "2")
    assert world.state.chores
    world.deploy("3")
    assert world.finish() == "succeeded"


def test_a_version_never_changes_its_artifact() -> None:
    world = World().deployed("1")
    with pytest.raises(Refused, match="version 1 was deployed before with another artifact"):
        world.deploy("1", digest="sha256:other")


def test_a_version_that_never_succeeded_may_come_again_with_another_artifact() -> None:
    world = World().deployed("1")
    world.deploy("2", digest="sha256:broken")
    world.finish(start="failed")
    world.deploy("2", digest="sha256:mended")
    assert world.finish() == "succeeded"


def test_an_earlier_version_may_be_deployed_again() -> None:
    world = World().deployed("1", "2", "1")
    assert [known.version for known in world.state.committed] == ["2", "1"]


def test_a_deploy_needs_all_its_nodes() -> None:
    world = World()
    world.gone = {"b"}
    with pytest.raises(Refused, match="b is not connected"):
        world.deploy("1")
    world.gone = {"a", "b"}
    with pytest.raises(Refused, match="a, b are not connected"):
        world.deploy("1")


def test_a_deploy_to_no_node_at_all_is_refused() -> None:
    world = World().deployed("1")
    with pytest.raises(Refused):
        world.deploy("2", nodes=[])


def test_a_request_that_is_repeated_starts_no_second_rollout() -> None:
    world = World()
    world.deploy("1", request_id="q1")
    world.until("prepare")
    assert world.deploy("1", request_id="q1") == ()
    world.finish()
    assert world.deploy("1", request_id="q1") == ()


def test_a_repeated_request_starts_nothing_even_when_its_rollout_has_failed() -> None:
    world = World()
    world.deploy("1", request_id="q1")
    world.finish(start="failed")
    assert world.deploy("1", request_id="q1") == ()


def test_the_state_names_the_rollout_of_the_last_request() -> None:
    world = World()
    world.deploy("1", request_id="q1")
    assert world.state.requests["q1"] == "r1"


def test_a_request_is_recognised_also_if_others_came_since() -> None:
    world = World().deployed("1")
    world.deploy("2", request_id="q2")
    world.finish()
    world.rollback()
    world.finish()
    assert world.deploy("2", request_id="q2") == ()


def test_a_request_without_an_id_is_no_repetition() -> None:
    world = World()
    assert world.deploy("1", request_id="") != ()


def test_a_rollback_needs_two_releases() -> None:
    world = World()
    with pytest.raises(Refused, match="no earlier release"):
        world.rollback()
    world.deployed("1")
    with pytest.raises(Refused, match="no earlier release"):
        world.rollback()


def test_a_failed_release_is_none_to_go_back_to() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.finish(switch="failed")
    with pytest.raises(Refused, match="no earlier release"):
        world.rollback()


def test_a_rollback_needs_one_node_at_least() -> None:
    world = World().deployed("1", "2")
    world.gone = {"a", "b"}
    with pytest.raises(Refused, match="none of the environment's nodes is connected"):
        world.rollback()


def test_a_refusal_leaves_the_state_as_it_was() -> None:
    world = World().deployed("1", "2")
    world.gone = {"a", "b"}
    state = world.state
    for request in (
        world.rollback,
        lambda: world.deploy("3"),
        lambda: world.deploy("1", digest="x"),
    ):
        with pytest.raises(Refused):
            request()
    assert world.state == state


def test_each_refusal_says_what_to_do_next() -> None:
    world = World().deployed("1")
    world.deploy("2")
    with pytest.raises(Refused) as refusal:
        world.deploy("3")
    assert "tidegate rollout show r2" in refusal.value.hint


def test_who_asked_is_on_record() -> None:
    world = World()
    (started, *_) = world.deploy("1")
    assert isinstance(started, ev.Started)
    assert (started.requested_by, started.release) == ("ada", release("1"))
