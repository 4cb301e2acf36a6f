"""`rehearse = true`: the way back is tried on one node before the second wave."""

import pytest
from driver import World
from test_rolling import on, serving

from tidegate_controller.core.spec import Policy, Waves

NODES = tuple("abcdef")
WAVES = Waves(sizes=("2", "100%"), max_parallel="2", rehearse=True)
REHEARSED = ["rehearse-drain-1", "rehearse-stop-1", "rehearse-start-1", "rehearse-admit-1"]
RETURNED = ["return-drain-1", "return-stop-1", "return-start-1", "return-admit-1"]


def world(strategy: str, most: str = "0") -> World:
    """`most`: so many nodes may fail."""
    policy = Policy(max_failed_nodes=most)
    return World(NODES, strategy=strategy, waves=WAVES, policy=policy).deployed("1")


def test_in_place_one_node_goes_back_and_forth_before_the_second_wave() -> None:
    rolling = world("rolling")
    seen = len(rolling.log)
    rolling.deploy("2")
    assert rolling.finish() == "succeeded"
    steps = rolling.steps(seen)
    begin = steps.index("verify-1") + 1
    assert steps[begin : begin + 9] == [*REHEARSED, *RETURNED, "prepare-2"]
    assert serving(rolling, seen)[2:6] == ["Bcdef", "aBcdef", "Bcdef", "ABcdef"]
    assert rolling.running() == {f"{node}/green": "2" for node in NODES}


def test_a_canary_moves_the_traffic_of_one_node_back_and_forth() -> None:
    canary = world("canary")
    seen = len(canary.log)
    canary.deploy("2")
    assert canary.finish() == "succeeded"
    assert serving(canary, seen) == ["ABcdef", "aBcdef", "ABcdef", "ABCDEF"]


@pytest.mark.parametrize("step", [*REHEARSED, *RETURNED])
@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_a_rehearsal_that_fails_undoes_the_rollout(step: str, outcome: str) -> None:
    rolling = world("rolling")
    rolling.deploy("2")
    assert rolling.finish(**{step: outcome}) == "rolled_back"
    assert on(rolling, "blue") == "abcdef"
    rolling.rest()
    assert rolling.running() == {f"{node}/blue": "1" for node in NODES}
    assert rolling.currents == dict.fromkeys(NODES, "blue")


@pytest.mark.parametrize("step", [*REHEARSED, *RETURNED])
def test_it_does_so_as_well_where_a_node_may_fail(step: str) -> None:
    """What the rehearsal shows of one node may be so on all."""
    rolling = world("rolling", most="1")
    rolling.deploy("2")
    assert rolling.finish(**{step: "failed"}) == "rolled_back"


def test_a_node_that_is_lost_in_a_rehearsal_shows_nothing() -> None:
    rolling = world("rolling", most="1")
    rolling.deploy("2")
    assert rolling.finish(**{"rehearse-start-1": "unknown"}) == "succeeded"


def test_where_the_release_before_does_not_start_the_new_one_is_not_quarantined() -> None:
    rolling = world("rolling")
    rolling.deploy("2")
    (start,) = rolling.until("rehearse-start-1")
    rolling.answer(start, "failed", "release")
    assert rolling.finish() == "rolled_back"
    assert rolling.state.quarantined == ()


@pytest.mark.parametrize("step", ["rehearse-admit-1", "return-drain-1"])
@pytest.mark.parametrize("most", ["0", "1"])
def test_a_release_before_that_turns_bad_in_it_undoes_the_rollout(step: str, most: str) -> None:
    rolling = world("rolling", most)
    rolling.deploy("2")
    rolling.until(step)
    rolling.report("a/blue", healthy=False)
    assert rolling.finish() == "rolled_back"
    assert rolling.state.quarantined == ()


def test_a_new_release_that_does_not_start_again_is() -> None:
    rolling = world("rolling")
    rolling.deploy("2")
    (start,) = rolling.until("return-start-1")
    rolling.answer(start, "failed", "release")
    assert rolling.finish() == "rolled_back"
    assert [one.version for one in rolling.state.quarantined] == ["2"]


@pytest.mark.parametrize("after", range(70, 150, 5))
def test_a_controller_that_starts_anew_in_a_rehearsal_goes_on(after: int) -> None:
    rolling = World(NODES, strategy="rolling", waves=WAVES, restart_after=after)
    rolling.deployed("1").deploy("2")
    assert rolling.finish() == "succeeded"


@pytest.mark.parametrize("strategy", ["rolling", "canary"])
def test_to_go_back_rehearses_nothing(strategy: str) -> None:
    done = world(strategy).deployed("2")
    seen = len(done.log)
    done.rollback()
    assert done.finish() == "succeeded"
    assert [step for step in done.steps(seen) if step.startswith("rehearse")] == []


def test_an_undo_in_place_begins_with_one_node() -> None:
    rolling = world("rolling")
    rolling.deploy("2")
    rolling.until("start-2")
    seen = len(rolling.log)
    rolling.finish(**{"start-2": "failed"})
    assert serving(rolling, seen)[:3] == ["ABcef", "ABcdef", "cdef"]


def test_where_nothing_is_rehearsed_although_it_was_asked_for_that_is_said() -> None:
    rolling = World(NODES, strategy="rolling", waves=WAVES)
    first = rolling.deploy("1")[0]
    assert first.notes == (
        "nothing is rehearsed: nothing serves yet, so there is nothing to go back to",
    )
    assert rolling.finish() == "succeeded"
    assert rolling.deploy("2")[0].notes == ()
    rolling.finish()

    idle = World(NODES, strategy="rolling", waves=WAVES)
    idle.nodes = list("cdef")
    idle.deployed("1")
    idle.nodes = list(NODES)
    assert idle.deploy("2")[0].notes == (
        "nothing is rehearsed: no node of the first wave serves with the release before",
    )


def test_what_a_rehearsal_has_started_again_is_told_by_its_own_name() -> None:
    waves = Waves(max_parallel="1", rehearse=True)
    world = World("abc", strategy="rolling", waves=waves).deployed("1")
    world.rest()
    world.deploy("2")
    world.go(lambda: (world.step or "").startswith("return-"))
    world.abort(undo=False)
    assert not any(
        "2 serves there" in debt or "2 was left" in debt for debt in world.state.debts.values()
    )
