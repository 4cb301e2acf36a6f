"""In a freeze nothing begins, and a rollout waits before it starts anything or moves traffic."""

import pytest
from core_values import PACE
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.freezes import Calendar, Window
from tidegate_controller.core.spec import Policy, Waves
from tidegate_controller.errors import Refused


def window(world: World, begins: float, ends: float) -> Window:
    """Seconds from now on."""
    return Window(
        begins=world.now + begins, ends=world.now + ends, until="Monday", reason="weekend"
    )


def test_a_deployment_in_a_freeze_is_refused_with_its_end_and_what_overrides_it() -> None:
    world = World().deployed("1")
    world.read_calendar(window(world, -10.0, 100.0))
    before = world.state
    with pytest.raises(Refused) as refused:
        world.deploy("2")
    assert refused.value.message == (
        "shop in test is not deployed now: freeze until Monday: weekend"
    )
    assert "--override-freeze -m REASON" in refused.value.hint
    assert world.state == before
    world.wait(100.0)
    world.deploy("2")
    assert world.finish() == "succeeded"


def test_whoever_says_why_deploys_in_spite_of_it_and_that_is_told() -> None:
    world = World().deployed("1")
    world.read_calendar(window(world, -10.0, 9000.0))
    started = world.deploy("2", override_freeze=True, message="orders are lost")[0]
    assert started.notes == ("in spite of the freeze until Monday: weekend",)
    assert world.finish() == "succeeded"
    assert not any(isinstance(event, ev.Frozen) for _, event in world.log)


def test_a_rollout_that_reaches_a_freeze_waits_before_traffic_moves_and_goes_on_by_itself() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("start")
    end = world.now + 5000.0
    world.read_calendar(Window(begins=world.now, ends=end, until="Monday"))
    world.go(lambda: world.step == "shift")
    rollout = world.state.rollout
    assert rollout.frozen.until == "Monday"
    assert rollout.open == {}
    assert next_deadline(world.state) == end, "no deadline of its own runs"
    world.wait(4999.0)
    assert world.state.rollout.frozen is not None
    assert world.finish() == "succeeded"


def test_what_is_under_way_when_it_begins_goes_on_to_its_end() -> None:
    world = World().deployed("1")
    world.deploy("2")
    opened = world.until("start")
    world.freeze(5000.0)
    assert world.state.rollout.frozen is None
    for action in opened:
        world.answer(action)
    assert world.step == "shift"


def test_one_that_waits_in_a_freeze_is_not_resumed_since_nobody_has_paused_it() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("prepare")
    world.meet_freeze()
    before = world.state
    with pytest.raises(Refused, match="was not paused by anybody: it waits for the end") as refused:
        world.resume()
    assert refused.value.hint.endswith("tidegate rollout promote r2 -m REASON")
    assert world.state == before


def test_a_person_has_it_go_on_with_a_reason_and_no_freeze_stops_it_again() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("prepare")
    world.meet_freeze()
    with pytest.raises(Refused, match="waits for the end of the freeze until then, by ada"):
        world.reply("promote")
    world.reply("promote", comment="it is urgent", request_id="yes")
    assert world.state.rollout.unfrozen_by == "ada"
    assert world.finish() == "succeeded"


def test_a_release_that_turns_bad_meanwhile_is_undone() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.finish_start()
    world.freeze(5000.0)
    assert world.state.rollout.frozen is None, "the move was issued before"
    for action in world.open():
        world.answer(action)
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"


def test_the_way_back_and_a_rollback_are_never_frozen() -> None:
    world = World().deployed("1", "2")
    world.freeze(5000.0)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.now < world.state.freeze.ends


def test_it_can_be_given_up_while_it_waits() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("prepare")
    world.meet_freeze()
    world.abort()
    assert world.finish() in ("rolled_back", "failed")


def test_nodes_that_are_out_of_service_are_brought_back_before_it_waits() -> None:
    world = World(strategy="rolling", waves=Waves(max_parallel="1")).deployed("1")
    world.deploy("2")
    world.until("drain-1")
    world.meet_freeze()
    assert world.step == "drain-2"
    assert len(world.traffic) == 2


@pytest.mark.parametrize(
    ("drain", "waits"), [("rehearse-drain-1", "return-drain-1"), ("return-drain-1", "drain-2")]
)
def test_a_node_on_which_the_way_back_is_rehearsed_serves_before_it_waits(
    drain: str, waits: str
) -> None:
    waves = Waves(max_parallel="1", rehearse=True)
    world = World("abc", strategy="rolling", waves=waves).deployed("1")
    world.deploy("2")
    world.until(drain)
    world.meet_freeze()
    assert {p.node for p in world.state.settled} == set("abc")
    assert world.step == waits
    world.lift_freeze()
    assert world.finish() == "succeeded"


def test_while_a_person_is_asked_of_a_failure_the_end_of_the_freeze_is_not_waited_for() -> None:
    """Nothing would follow from it: the clock would be looked at for ever."""
    one_by_one, ask = Waves(max_parallel="1"), Policy(on_failure="pause")
    world = World(strategy="rolling", waves=one_by_one, policy=ask).deployed("1")
    world.deploy("2")
    world.until("drain-1")
    world.meet_freeze()
    ends = world.state.rollout.frozen.ends
    world.report("a/green", healthy=False)
    assert world.state.rollout.waiting.kind == "failure"
    world.wait(5001.0)
    assert world.feed(i.Tick()) == ()
    assert next_deadline(world.state) is None or next_deadline(world.state) > ends
    world.report("a/green", healthy=True)
    world.reply("retry")
    assert world.finish() == "succeeded"


@pytest.mark.parametrize("step", ["start-2", "switch-1"])
def test_a_node_that_fails_meanwhile_loses_the_traffic_of_the_new_release_at_once(
    step: str,
) -> None:
    """What is to be started then waits on; so does all traffic that would move forward."""
    waves, some = Waves(sizes=("2", "100%")), Policy(max_failed_nodes="1")
    world = World("abcd", strategy="canary", waves=waves, policy=some).deployed("1")
    world.deploy("2")
    world.until("prepare-2" if step == "start-2" else step)
    world.freeze(9000.0)
    world.go(lambda: world.step == step)
    world.report("a/green", healthy=False)
    world.answer_all()
    assert world.traffic == {"a/blue": 100, "b/green": 100, "c/blue": 100, "d/blue": 100}
    world.lift_freeze()
    assert world.finish() == "succeeded"
    assert world.owing() == {"a"}


@pytest.mark.parametrize("begun", [False, True])
def test_a_node_that_fails_loses_its_traffic_though_the_next_move_waits(begun: bool) -> None:
    """And that move is made without it when the freeze is over, once the other has ended."""
    waves, some = Waves(sizes=("2", "100%")), Policy(max_failed_nodes="1")
    world = World("abcd", strategy="canary", waves=waves, policy=some).deployed("1")
    world.deploy("2")
    world.until("shift-2" if begun else "start-2")
    world.freeze(9000.0)
    world.go(lambda: world.step == "shift-2")
    world.report("a/green", healthy=False)
    (away,) = world.open()
    world.lift_freeze()
    assert world.open() == [away], "one move at a time"
    world.freeze(9000.0)
    world.answer_all()
    assert world.traffic == {"a/blue": 100, "b/green": 100, "c/blue": 100, "d/blue": 100}
    world.wait(60.0)
    assert "shift-2" not in {action.step for action in world.open()}, "the other waits"
    world.lift_freeze()
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100, "b/green": 100, "c/green": 100, "d/green": 100}
    assert world.owing() == {"a"}


def test_lifted_by_hand_it_is_over_at_once_and_one_of_the_configuration_stays() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("prepare")
    world.meet_freeze()
    world.lift_freeze(by="bob")
    assert world.state.rollout.frozen is None
    world.finish()
    world.read_calendar(window(world, -1.0, 100.0))
    with pytest.raises(Refused, match="stands in tidegate.toml"):
        world.lift_freeze()


def test_nobody_ends_the_freeze_of_another_by_asking_for_a_shorter_one() -> None:
    world = World().deployed("1")
    world.freeze(3600.0, by="ada", reason="sale")
    with pytest.raises(Refused, match="there is a longer freeze until then, by ada: sale") as told:
        world.freeze(60.0, by="bob")
    assert told.value.hint.endswith("tidegate freeze shop -e test --lift")
    world.freeze(3599.999, by="cy")  # the same moment, by clocks that were read twice
    assert world.state.freeze.by == "cy"
    world.freeze(7200.0, by="bob")
    assert world.state.freeze.by == "bob"
    world.freeze(60.0, by="bob")
    assert world.state.freeze.ends == world.now + 60.0


def test_one_that_was_lifted_when_it_was_over_does_not_come_back_with_the_clock() -> None:
    world = World().deployed("1")
    world.freeze(10.0)
    world.wait(11.0)
    hand = world.state.freeze
    assert hand is not None, "nobody has looked at the clock since"
    world.lift_freeze()
    set_back = Calendar(hand_until=hand.unix_until, hand_ends=world.now + 90.0)
    world.feed(i.ReadCalendar(calendar=set_back))
    world.deploy("2")
    assert world.finish() == "succeeded"


def test_nodes_converge_when_the_freeze_is_over() -> None:
    world = World(nodes=("a", "b", "c")).deployed("1")
    world.freeze(5000.0)
    goal = i.Converge(rollout="r9", nodes=("a",), members=world.members())
    assert world.feed(goal) == ()


def test_a_calendar_that_says_nothing_new_changes_nothing() -> None:
    world = World().deployed("1")
    one = window(world, 50.0, 100.0)
    assert len(world.read_calendar(one)) == 1
    drifted = Window(begins=one.begins + 0.5, ends=one.ends + 0.5, until="Monday", reason="weekend")
    assert world.read_calendar(drifted) == ()


def test_a_node_that_goes_while_it_waits_is_waited_for_from_its_end_on() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("prepare")
    world.meet_freeze()
    world.leave("a")
    world.lift_freeze()
    assert world.state.away["a"].until == world.now + PACE.away_seconds
