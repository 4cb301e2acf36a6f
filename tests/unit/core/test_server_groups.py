"""Blue-green between two groups of servers: all traffic goes to one group, at once."""

import pytest
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core.spec import Policy
from tidegate_controller.errors import Refused

SLOTS = {"blue": {"group": "blue"}, "green": {"group": "green"}}
GROUPS = {"a": "blue", "b": "blue", "c": "green", "d": "green"}
BLUE = {"a/blue": 100, "b/blue": 100}
GREEN = {"c/green": 100, "d/green": 100}


def grouped(*versions: str, groups: dict[str, str] = GROUPS) -> World:
    labels = {node: {"group": group} for node, group in groups.items()}
    return World(groups, labels=labels, slots=SLOTS).deployed(*versions)


def test_a_first_deployment_goes_to_blue_and_touches_no_other() -> None:
    world = grouped("1")
    assert world.traffic == BLUE
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


def test_each_deployment_goes_to_the_group_that_is_idle() -> None:
    world = grouped("1")
    for version, expected in (("2", GREEN), ("3", BLUE), ("4", GREEN)):
        seen = len(world.log)
        world.deploy(version)
        assert world.finish() == "succeeded"
        assert world.traffic == expected
        assert sorted(world.issued("start", seen)) == sorted(expected)
        assert len(world.issued("route", seen)) == 1


def test_the_former_group_runs_on_and_is_stopped_later() -> None:
    world = grouped("1", "2")
    assert world.running() == {"a/blue": "1", "b/blue": "1", "c/green": "2", "d/green": "2"}
    world.rest()
    assert world.running() == {"c/green": "2", "d/green": "2"}


def test_to_go_back_is_one_move_while_the_former_group_runs() -> None:
    world = grouped("1", "2")
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.traffic == BLUE
    assert world.issued("start", seen) == []


def test_to_go_back_later_starts_the_former_group_first() -> None:
    world = grouped("1", "2")
    world.rest()
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.traffic == BLUE
    assert world.issued("start", seen) == ["a/blue", "b/blue"]


def test_one_that_fails_leaves_traffic_where_it_was() -> None:
    world = grouped("1")
    world.deploy("2")
    assert world.finish(**{"start@d": "failed"}) == "rolled_back"
    assert world.traffic == BLUE
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


def test_one_that_fails_with_traffic_moves_it_back() -> None:
    world = grouped("1")
    world.deploy("2")
    world.until("soak")
    world.report("c/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == BLUE


def test_a_node_that_is_added_to_the_active_group_gets_the_release_there() -> None:
    world = grouped("1")
    world.add("e")
    world.labels = {**world.labels, "e": {"group": "blue"}}
    seen = len(world.log)
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert world.traffic == {**BLUE, "e/blue": 100}
    assert world.issued("start", seen) == ["e/blue"]


def test_what_the_active_group_serves_already_makes_no_event() -> None:
    assert grouped("1").deploy("1") == ()


def test_a_node_of_the_idle_group_that_is_taken_out_is_not_treated_by_a_rollback() -> None:
    """Nothing runs there that would have to be moved, so nothing but the configuration changes."""
    world = grouped("1", "2", "3")
    (event,) = world.deploy("3", nodes="abc")
    assert isinstance(event, ev.Configured)
    assert world.state.members == ("a", "b", "c")
    seen = len(world.log)
    world.rollback(nodes=world.state.members)
    assert world.finish() == "succeeded"
    assert world.traffic == {"c/green": 100}
    assert not {place for place in world.issued("start", seen) if place.startswith("d")}


def test_a_release_that_is_down_in_the_active_group_comes_up_in_the_other() -> None:
    world = grouped("1")
    world.report("a/blue", running=False, healthy=False)
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert world.traffic == GREEN


def test_traffic_that_goes_to_fewer_nodes_is_said_at_the_head() -> None:
    world = grouped("1", groups={**GROUPS, "e": "blue"})
    (started, *_) = world.deploy("2")
    assert started.notes == ("traffic goes to 2 nodes (green), and has 3 now",)


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        ({"a": "blue", "b": "blue"}, r"no node of test is of green \(group=green\)"),
        ({"a": "blue", "b": "red", "c": "green"}, "b is of neither group by its labels"),
    ],
)
def test_groups_that_are_empty_or_leave_a_node_out_are_refused(
    groups: dict[str, str], why: str
) -> None:
    with pytest.raises(Refused, match=why):
        grouped("1", groups=groups)


def test_a_node_of_both_groups_is_refused() -> None:
    labels = {"a": {"x": "1", "y": "1"}, "b": {"y": "1"}}
    world = World("ab", labels=labels, slots={"blue": {"x": "1"}, "green": {"y": "1"}})
    with pytest.raises(Refused, match="a is of both groups by its labels, and must be of one"):
        world.deploy("1")


def test_where_both_groups_take_traffic_it_says_how_to_make_one_idle() -> None:
    world = grouped(groups=GROUPS)
    world.slots = None
    world.deployed("1")
    world.slots = SLOTS
    with pytest.raises(Refused, match="nodes of both groups take traffic") as refused:
        world.deploy("2")
    assert "deploy once without `slots`" in refused.value.hint
    world.slots = None
    world.deploy("2", nodes=["a", "b"])
    assert world.finish() == "succeeded"
    world.slots = SLOTS
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.traffic == GREEN


def test_a_group_of_which_no_node_is_there_cannot_be_gone_back_to() -> None:
    world = grouped("1", "2")
    world.leave("a")
    world.leave("b")
    with pytest.raises(Refused, match="none of the nodes of blue"):
        world.rollback(without_absent=True)


# --- The first move from two slots a node to two groups of nodes ----------------------------------


def regrouped(*versions: str) -> World:
    """A fleet with two slots on each node, of which `a` and `b` have the last version and traffic;
    from now on slots are groups."""
    world = grouped()
    world.slots = None
    *earlier, last = versions
    world.deployed(*earlier)
    world.deploy(last, nodes=["a", "b"])
    assert world.finish() == "succeeded"
    world.slots = SLOTS
    return world


@pytest.mark.parametrize("versions", [("1", "2"), ("1", "2", "3")], ids=["green", "blue"])
@pytest.mark.parametrize("rested", [False, True])
def test_after_the_first_move_to_groups_only_the_group_that_serves_runs(
    versions: tuple[str, ...], rested: bool
) -> None:
    """Whichever slot the idle group served from, and whatever its other slots ran by then."""
    world = regrouped(*versions)
    if rested:
        world.rest()
    world.deployed("9")
    assert world.traffic == GREEN
    world.rest()
    assert world.running() == {"c/green": "9", "d/green": "9"}
    assert world.currents.items() >= {"c": "green", "d": "green"}.items()


def test_to_go_back_starts_the_release_in_the_slot_of_its_group_and_stops_it_in_the_other() -> None:
    """It ran in `green` on nodes of the group `blue`, which is nobody's slot any more: for as long
    as old slots are kept it runs there as well, without traffic."""
    world = regrouped("1", "2")
    assert world.traffic == {"a/green": 100, "b/green": 100}
    world.deployed("9")
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.issued("start", seen) == ["a/blue", "b/blue"]
    assert world.traffic == BLUE
    world.rest()
    assert world.running() == {"a/blue": "2", "b/blue": "2"}
    assert world.currents.items() >= {"a": "blue", "b": "blue"}.items()


def test_a_first_move_to_groups_that_fails_goes_back_to_the_slots_that_served() -> None:
    world = regrouped("1", "2")
    world.deploy("9")
    world.until("soak")
    world.report("c/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/green": 100, "b/green": 100}
    world.rest()
    assert world.running() == {"a/green": "2", "b/green": "2"}
    assert world.currents.items() >= {"a": "green", "b": "green"}.items()


def test_a_node_that_was_away_on_the_first_move_stops_both_its_old_slots_once_it_is_back() -> None:
    world = regrouped("1", "2")
    world.leave("a")
    world.policy = Policy(max_failed_nodes="1")
    world.deployed("9")
    world.wait(world.pace.keep_old_seconds)
    world.come_back("a")
    world.rest()
    assert world.running() == {"c/green": "9", "d/green": "9"}


def test_a_node_of_the_group_that_serves_gets_back_what_was_lost_with_its_disk() -> None:
    """It loses the traffic that leads nowhere first: nothing is started where requests go."""
    world = grouped("1")
    world.rest()
    seen = len(world.log)
    world.lose_disks("a")
    world.converge()
    assert world.finish() == "succeeded"
    assert world.steps(seen)[:4] == ["preflight", "settle", "prepare", "start"]
    assert world.traffic == BLUE
    assert world.issued("start", seen) == ["a/blue"]
    assert world.state.debts == {}


@pytest.mark.parametrize("step", ["prepare", "start"])
def test_where_the_whole_idle_group_fails_all_is_undone_whatever_may_fail(step: str) -> None:
    """The nodes that serve are not those that the release may pass on."""
    world = grouped("1")
    world.policy = Policy(max_failed_nodes="50%")
    world.deploy("2")
    assert world.finish(**{step: "failed"}) == "rolled_back"
    assert world.traffic == BLUE


def test_where_the_idle_group_fails_one_after_the_other_traffic_stays() -> None:
    world = grouped("1")
    world.policy = Policy(max_failed_nodes="50%")
    world.deploy("2")
    world.until("start")
    assert world.finish(**{"prepare@c": "failed", "start@c": "failed", "start@d": "failed"})
    assert world.ending.state == "rolled_back"
    assert world.traffic == BLUE


def in_doubt_between_groups(*versions: str, groups: dict[str, str] = GROUPS) -> World:
    """The last of these has moved from blue to green, or green to blue, or has not."""
    world = grouped(*versions[:-1], groups=groups)
    world.rest()
    world.policy = Policy(on_failure="stop")
    world.deploy(versions[-1])
    assert world.finish(shift="failed") == "failed"
    world.policy = Policy()
    return world


def test_traffic_does_not_go_back_to_what_was_lost_and_has_the_failed_release_now() -> None:
    """It was settled with the group that may have had it; the other one was started meanwhile."""
    world = in_doubt_between_groups("1", "2")
    world.rest()
    world.lose_disks("a", "b")
    world.deploy("3")
    world.until("start")
    assert world.traffic == GREEN
    for node in "cd":
        world.report(f"{node}/green", healthy=False)
    assert world.finish(start="failed") == "rolled_back"
    assert world.traffic == GREEN


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_rollback_knows_that_a_failed_release_serves_since_all_others_were_lost(
    when: str,
) -> None:
    world = in_doubt_between_groups("0", "1", "2")
    world.rest()
    if when == "before":
        world.lose_disks("c", "d")
    world.deploy("3")
    if when == "meanwhile":
        world.pause()
        world.lose_disks("c", "d")
        world.resume()
    assert world.finish(start="failed") == "rolled_back"
    assert world.traffic == BLUE
    for node in "ab":
        assert world.state.debts[node] == "serves with 2 in blue, not with 1"
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.traffic == GREEN
    assert world.state.committed[-1].version == "1"


def test_what_is_lost_after_the_plan_was_made_gets_no_traffic_to_settle_it() -> None:
    """Nor is a person asked, since it is known what may serve."""
    world = in_doubt_between_groups("1", "2")
    world.rest()
    world.deploy("3")
    world.pause()
    world.lose_disks("a", "b")
    world.resume()
    assert world.finish(start="failed") == "rolled_back"
    assert world.traffic == GREEN


def test_a_group_whose_disks_are_all_lost_is_brought_back() -> None:
    world = grouped("1")
    world.rest()
    world.lose_disks("a", "b")
    world.rest()
    assert world.traffic == {}
    world.converge()
    assert world.finish() == "succeeded"
    assert world.traffic == BLUE
    assert world.state.debts == {}


def test_what_a_converge_has_brought_back_serves_on_where_that_is_undone() -> None:
    world = grouped("1", groups={"a": "blue", "c": "green"})
    world.rest()
    world.lose_disks("a")
    world.converge()
    world.until("switch")
    assert world.traffic == {"a/blue": 100}
    world.finish(switch="failed")
    world.rest()
    assert world.traffic == {"a/blue": 100}
    assert world.running() == {"a/blue": "1"}


def test_a_node_that_is_lost_while_the_other_is_brought_back_is_settled_with_nobody() -> None:
    world = grouped("1")
    world.rest()
    world.leave("a")
    world.leave("b")
    world.come_back("a", disk_replaced=True)
    world.converge("a")
    world.come_back("b", disk_replaced=True)
    (move,) = world.until("settle")
    assert move.work.weights == {}
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100}


def test_where_all_is_lost_after_a_move_a_person_is_asked_whether_the_release_keeps_it() -> None:
    """That it may have moved to the release makes that no place to go back to."""
    world = grouped("1")
    world.rest()
    world.policy = Policy(on_failure="pause")
    world.deploy("2")
    world.fates = {"shift": "failed"}
    world.go(lambda: world.state.rollout.waiting is not None)
    world.lose_disks("a", "b")
    world.abort()
    world.fates = {}
    world.go(lambda: world.state.rollout is None or world.state.rollout.waiting is not None)
    assert "nothing is left that traffic could go back to" in world.state.rollout.waiting.why


def test_it_is_told_of_the_group_that_may_have_the_traffic_that_more_nodes_get_it() -> None:
    world = in_doubt_between_groups("1", "2", groups={"a": "blue", "b": "blue", "c": "green"})
    world.lose_disks("a", "b")
    (started, *_) = world.deploy("3")
    assert not [note for note in started.notes if note.startswith("traffic goes to")]


def test_what_was_away_when_all_else_was_lost_is_settled_with_once_it_is_back() -> None:
    world = in_doubt_between_groups("1", "2")
    world.rest()
    world.deploy("3")
    world.pause()
    for node in "cd":
        world.leave(node)
    world.lose_disks("a", "b")
    for node in "cd":
        world.come_back(node)
    world.leave("c")  # its agent alone may have gone
    assert world.state.rollout.before == GREEN
    world.come_back("c")
    world.resume()
    (move,) = world.until("settle")
    assert move.work.weights == GREEN


def test_a_release_that_was_taken_back_does_not_have_the_traffic_where_that_is_known() -> None:
    """A late move may bring it some still. The group that served is brought back."""
    world = grouped("1")
    world.rest()
    world.deploy("2")
    assert world.finish(shift="expired") == "rolled_back"
    assert world.state.unsettled
    world.lose_disks("a", "b")
    world.converge()
    assert world.finish() == "succeeded"
    assert world.traffic == BLUE


@pytest.mark.parametrize("away", ["cd", "d"])
def test_of_lost_groups_the_one_is_brought_back_that_most_nodes_owe_it_of(away: str) -> None:
    """a owes the release too, as it was away when that came to the other group."""
    world = grouped("1")
    world.rest()
    world.policy = Policy(max_failed_nodes="1")
    world.leave("a")
    world.deployed("2")
    world.lose_disks("c", "d")
    world.go(lambda: world.traffic == {})
    world.come_back("a")
    world.rest()
    for node in away:
        world.leave(node)
    world.converge(*(node for node in "acd" if node not in away))
    if world.state.rollout is not None:
        world.finish()
    for node in away:
        world.come_back(node)
    world.converge()
    world.finish()
    assert world.traffic == GREEN
    assert world.state.debts == {}
