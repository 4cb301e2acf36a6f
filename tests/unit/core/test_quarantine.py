"""A release that failed by its own fault, or that somebody rolled back from, does not come back by
itself; whoever lifts that is named."""

import msgspec
import pytest
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.evolve import evolve
from tidegate_controller.core.evolve_control import QUARANTINED_KEPT
from tidegate_controller.errors import Refused


def quarantined(world: World) -> list[str]:
    return [one.version for one in world.state.quarantined]


def failed(outcome: t.Outcome = "failed", blame: t.Blame = "release") -> World:
    """Version 2 was undone, since its start ended like this where 1 served."""
    world = World().deployed("1")
    world.deploy("2")
    start, _ = world.until("start")
    world.answer(start, outcome, blame)
    assert world.finish() == "rolled_back"
    return world


def test_a_release_that_does_not_start_by_its_own_fault_is_not_deployed_again() -> None:
    world = failed()
    before = world.state
    with pytest.raises(Refused, match="version 2 is quarantined here: in rollout r2, Start failed"):
        world.deploy("2")
    assert world.state == before
    world.deploy("3")
    assert world.finish() == "succeeded"


def test_what_lifts_it_is_in_the_message() -> None:
    world = failed()
    with pytest.raises(Refused) as refused:
        world.deploy("2")
    assert refused.value.hint.endswith("tidegate release unquarantine shop 2 -e test")
    world.unquarantine("2", reason="the database was down")
    world.deploy("2")
    assert world.finish() == "succeeded"


def test_a_release_that_turns_bad_with_traffic_is_not_deployed_again() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.report("a/green", running=False, healthy=False)
    assert world.finish() == "rolled_back"
    assert quarantined(world) == ["2"]


@pytest.mark.parametrize("blame", ["environment", ""])
@pytest.mark.parametrize("outcome", ["failed", "refused", "expired", "superseded"])
def test_what_is_no_fault_of_the_release_may_be_tried_again(outcome: str, blame: str) -> None:
    world = failed(outcome, blame)
    assert quarantined(world) == []
    world.deploy("2")
    assert world.finish() == "succeeded"


def test_a_node_that_is_lost_says_nothing_against_the_release() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.leave("a")
    world.go(lambda: world.state.rollout is None)
    assert world.ending.state == "rolled_back"
    assert quarantined(world) == []


def test_nor_does_a_balancer_that_cannot_be_moved() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.finish(shift="failed")
    assert quarantined(world) == []


def test_nor_does_whoever_gives_it_up() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.abort()
    world.finish()
    assert quarantined(world) == []


def test_with_other_settings_it_may_be_tried_again() -> None:
    """What failed is the artifact with its settings, such as a health check that is wrong."""
    world = failed()
    other = msgspec.structs.replace(world.state.quarantined[0], config="others")
    world.state = msgspec.structs.replace(world.state, quarantined=(other,))
    world.deploy("2")
    assert world.finish() == "succeeded"


def test_what_serves_is_not_quarantined_for_failing_to_start_anew() -> None:
    world = World().deployed("1")
    world.deploy("1", again=True)
    start, _ = world.until("start")
    world.answer(start, "failed", "release")
    world.finish()
    assert quarantined(world) == []


def test_a_first_release_that_fails_is_quarantined_too() -> None:
    world = World()
    world.deploy("1")
    start, _ = world.until("start")
    world.answer(start, "failed", "release")
    assert world.finish() == "failed"
    with pytest.raises(Refused, match="version 1 is quarantined here"):
        world.deploy("1")


# --- Rollbacks -----------------------------------------------------------------------------------


def rolled_back() -> World:
    world = World().deployed("1", "2", "3")
    world.rollback()
    assert world.finish() == "succeeded"
    return world


def test_what_somebody_rolled_back_from_is_not_deployed_again_by_itself() -> None:
    world = rolled_back()
    assert quarantined(world) == ["3"]
    with pytest.raises(Refused, match="version 3 is quarantined here: rolled back by ada in r4"):
        world.deploy("3")
    world.deploy("4")
    assert world.finish() == "succeeded"


def test_a_person_who_rolls_back_the_rollback_has_it_again() -> None:
    world = rolled_back()
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.state.committed[-1].version == "3"
    assert quarantined(world) == ["2"], "what was rolled back from last"
    lifted = next(e for _, e in reversed(world.log) if isinstance(e, ev.QuarantineLifted))
    assert (lifted.version, lifted.by, lifted.reason) == ("3", "ada", "went back to it in r5")


def test_a_rollback_skips_what_is_quarantined_for_other_reasons() -> None:
    world = World().deployed("1", "2", "3")
    world.quarantine("2")
    with pytest.raises(Refused, match="version 2 is quarantined here: put there by ada"):
        world.rollback(to="2")
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.state.committed[-1].version == "1"


def test_what_was_left_half_done_and_rolled_back_from_is_not_deployed_again_by_itself() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.abort(undo=False)
    (started, *_) = world.rollback()
    assert started.notes == (
        "2 serves on a, b, left there by a rollout that has stopped; 1 takes its place",
    )
    assert world.finish() == "succeeded"
    assert quarantined(world) == ["2"]
    with pytest.raises(Refused, match="version 2 is quarantined here: rolled back by ada in r3"):
        world.deploy("2")


def test_a_rollback_that_is_given_up_quarantines_nothing() -> None:
    world = World().deployed("1", "2")
    world.rollback()
    world.abort()
    world.finish()
    assert quarantined(world) == []


def test_a_rollback_to_the_same_artifact_with_other_settings_quarantines_nothing() -> None:
    world = World().deployed("1")
    revision = msgspec.structs.replace(world.state.committed[0].revision, config="c0")
    former = msgspec.structs.replace(world.state.committed[0], revision=revision)
    committed, on = (former, *world.state.committed), world.state.committed_on * 2
    world.state = msgspec.structs.replace(world.state, committed=committed, committed_on=on)
    world.rollback()
    assert world.finish() == "succeeded"
    assert quarantined(world) == []


def test_what_was_rolled_back_is_deployed_once_that_is_lifted() -> None:
    world = rolled_back()
    world.unquarantine("3")
    world.deploy("3")
    assert world.finish() == "succeeded"


# --- By hand -------------------------------------------------------------------------------------


def test_a_release_is_quarantined_by_hand_whatever_its_settings() -> None:
    world = World().deployed("1", "2")
    world.quarantine("1", reason="loses orders", by="bob")
    (one,) = world.state.quarantined
    assert (one.digest, one.config) == ("sha256:1", "")
    assert one.why == "put there by bob: loses orders"
    with pytest.raises(Refused, match="all earlier releases are quarantined"):
        world.rollback()
    assert world.quarantine("1") == ()


def test_a_version_is_quarantined_with_each_artifact_that_it_ever_had() -> None:
    """The first one had failed, so that the version was free for the one that serves."""
    world = World().deployed("1")
    world.deploy("2", digest="sha256:broken")
    world.finish(start="failed")
    world.deploy("2", digest="sha256:mended")
    assert world.finish() == "succeeded"
    world.quarantine("2", reason="loses orders")
    assert {one.digest for one in world.state.quarantined} == {"sha256:broken", "sha256:mended"}
    world.deployed("3")
    with pytest.raises(Refused, match="version 2 is quarantined here: put there by ada: loses"):
        world.rollback(to="2")
    world.unquarantine("2")
    assert world.state.quarantined == ()


def test_a_digest_that_was_never_here_is_kept_away() -> None:
    world = World().deployed("1")
    world.quarantine("sha256:9")
    with pytest.raises(Refused, match="version 9 is quarantined here"):
        world.deploy("9")
    world.unquarantine("sha256:9")
    world.deploy("9")
    assert world.finish() == "succeeded"


def test_a_version_that_nobody_knows_is_refused() -> None:
    world = World().deployed("1")
    for ask in (world.quarantine, world.unquarantine):
        with pytest.raises(Refused, match="no release 9 was ever deployed here"):
            ask("9")


def test_what_fails_by_itself_pushes_out_nothing_that_a_person_has_put_there() -> None:
    world = failed()
    world.quarantine("1", reason="loses orders")
    (bad, by_hand) = world.state.quarantined
    state = world.state
    for number in range(QUARANTINED_KEPT):
        one = msgspec.structs.replace(bad, digest=f"sha256:bad-{number}")
        state = evolve(state, ev.Quarantined(quarantine=one), world.now)
    assert by_hand in state.quarantined
    assert bad not in state.quarantined
    assert len(state.quarantined) == QUARANTINED_KEPT + 1


def test_lifting_what_is_not_quarantined_changes_nothing() -> None:
    world = World().deployed("1")
    assert world.unquarantine("1") == ()


def test_what_a_rollout_brings_just_now_is_given_up_first() -> None:
    world = World().deployed("1")
    world.deploy("2")
    with pytest.raises(Refused, match="rollout r2 brings version 2 just now") as refused:
        world.quarantine("2")
    assert refused.value.hint.endswith("tidegate rollout abort r2")


def test_it_is_told_before_the_way_back_begins() -> None:
    world = failed()
    kinds = [type(event) for _, event in world.log]
    assert kinds.index(ev.Quarantined) == kinds.index(ev.Replanned) - 1


def test_what_a_person_has_quarantined_stays_so_when_it_is_rolled_back_from() -> None:
    world = World().deployed("1", "2")
    world.quarantine("2", "it loses orders")
    world.rollback()
    assert world.finish() == "succeeded"
    with pytest.raises(Refused, match="all earlier releases are quarantined"):
        world.rollback()
    (kept,) = world.state.quarantined
    assert "it loses orders" in kept.why


def test_what_was_rolled_back_from_may_be_quarantined_by_a_person_too() -> None:
    world = World().deployed("1", "2")
    world.rollback()
    world.finish()
    world.quarantine("2", "it loses orders")
    with pytest.raises(Refused, match="all earlier releases are quarantined"):
        world.rollback()
    (kept,) = world.state.quarantined
    assert "it loses orders" in kept.why


def test_what_somebody_has_put_into_quarantine_stays_there_when_one_goes_back_to_it() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.abort(undo=False)
    world.quarantine("1")
    world.rollback()
    assert world.finish() == "succeeded"
    assert "1" in [each.version for each in world.state.quarantined]
