"""What a person's decision after a restore makes of the state, whatever the fleet runs by then."""

import pytest
from core_values import SETTINGS, place, release, sharing
from driver import World

from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.debts import converge_at
from tidegate_controller.core.freezes import Window
from tidegate_controller.core.reconciling import Difference, differences, members_concerned, taking
from tidegate_controller.core.releases import previous_release
from tidegate_controller.core.spec import Service, Waves
from tidegate_controller.core.unpaid import why_unpaid
from tidegate_controller.errors import Refused


def restored(world: World, *later: str) -> World:
    """The log of Monday, and machines that went on to these versions without it."""
    state = world.state
    world.deployed(*later)
    world.state = state
    world.feed(i.Restore(log_id="new", former="log"))
    for node in world.nodes:
        world.hello(node)
    return world


def in_a_canary(*before: str, of: int = 4) -> World:
    """The log of Monday; on Tuesday half of the nodes got 9, and their traffic is with it."""
    nodes = [f"n{number}" for number in range(of)]
    world = World(nodes, strategy="canary", waves=Waves(sizes=("50%", "100%"))).deployed(*before)
    state = world.state
    world.deploy("9")
    world.until("soak-1")
    world.state = state
    world.feed(i.Restore(log_id="new", former="log"))
    for node in world.nodes:
        world.hello(node)
    return world


def decide(world: World, **more: object) -> t.State:
    known = {f"sha256:{version}": version for version in "1239"}
    fields = {
        "request_id": "decision",
        "members": world.members(),
        "requested_by": "ada",
        "balancer": serving(world),
        "versions": known,
        "sizes": dict.fromkeys(known, 7),
    }
    world.feed(i.Reconcile(**(fields | more)))  # type: ignore[arg-type]
    return world.state


def serving(world: World, lanes: int = 4) -> dict[str, int]:
    """As a balancer says it that sends requests to each current slot."""
    places = [t.Place.of(node, slot) for node, slot in world.currents.items()]
    return {str(world.machines[place].address): lanes for place in places}


def test_a_restored_stream_has_nothing_open_and_begins_nothing() -> None:
    world = World("ab").deployed("1")
    world.deploy("2")
    world.until("start")
    world.feed(i.Restore(log_id="new", former="log"))
    assert world.ending.state == "interrupted"
    assert (world.state.rollout, world.state.chores, world.open()) == (None, (), [])
    before = len(world.log)
    for ask in (lambda: world.deploy("3"), world.rollback):
        with pytest.raises(Refused, match="restored from a backup"):
            ask()
    world.wait(100_000.0)
    world.restart()
    assert world.issued("start", before) == world.issued("stop", before) == []


def test_there_is_nothing_to_decide_where_the_first_deployment_only_waited_for_its_turn() -> None:
    world = World("a")
    always = Window(begins=0.0, ends=9e9, until="then", reason="no more", by="")
    world.windows = (always,)
    world.deploy("1", queue=True)
    world.feed(i.Restore(log_id="new", former="log"))
    assert (world.state.queue, world.state.reconciling) == ((), False)
    world.windows = ()
    world.deployed("1")


def test_a_first_deployment_that_was_under_way_can_be_adopted() -> None:
    """Nothing had succeeded by then; what its spec says is all that is known."""
    world = World("a")
    world.deploy("1")
    world.until("start")
    state = world.state
    assert world.finish() == "succeeded"
    world.state = state
    world.feed(i.Restore(log_id="new", former="log"))
    world.hello("a")
    after = decide(world)
    assert [known.version for known in after.committed] == ["1"]
    assert after.spec is not None
    world.deployed("2")


def test_what_runs_is_adopted_with_its_settings_where_these_are_known() -> None:
    world = restored(World("ab").deployed("1"), "2")
    after = decide(world)
    adopted = after.committed[-1]
    assert (adopted.version, adopted.size_bytes, adopted.incomplete) == ("2", 7, False)
    assert adopted.settings == SETTINGS
    assert sharing(after.weights) == {"a/green": 100, "b/green": 100}
    assert (after.reconciling, after.members, dict(after.debts)) == (False, ("a", "b"), {})
    since = dict.fromkeys((place("a/blue"), place("b/blue")), world.now)
    assert after.idle_since == since, "they drain from now on, as nobody knows since when"
    world.deployed("3").rest()
    assert set(world.running().values()) == {"3"}


def test_settings_that_nobody_knows_make_it_incomplete() -> None:
    world = World("a").deployed("1")
    restored(world)
    other = t.Revision(digest="sha256:2", config="another")
    here = place("a/blue")
    world.machines[here] = replace(world.machines[here], revision=other)
    adopted = decide(world).committed[-1]
    assert (adopted.version, adopted.incomplete) == ("2", True)
    assert adopted.settings.service == Service(command=("serve",))


def test_a_version_that_no_agent_names_is_called_by_its_digest() -> None:
    world = restored(World("a").deployed("1"), "2")
    assert decide(world, versions={}).committed[-1].version == "sha256:2"[-12:]


@pytest.mark.parametrize(
    ("says", "weights"),
    [
        ({"a": 2, "b": 1}, {"a/green": 100, "b/green": 100}),
        ({"a": 100, "b": 100}, {"a/green": 100, "b/green": 100}),
        ({"a": 95, "b": 5}, {"a/green": 100, "b/green": 5}),
        ({"a": 4}, {"a/green": 100}),
        ({}, {}),
    ],
)
def test_shares_are_those_of_the_balancer_but_for_its_rounding(
    says: dict[str, int], weights: dict[str, int]
) -> None:
    world = restored(World("ab").deployed("1"), "2")
    balancer = {f"{node}:8002": share for node, share in says.items()}
    assert sharing(decide(world, balancer=balancer).weights) == weights


def test_where_no_balancer_can_be_asked_current_slots_count() -> None:
    world = restored(World("ab").deployed("1"), "2")
    assert sharing(decide(world, balancer=None).weights) == {"a/green": 100, "b/green": 100}


def test_of_two_releases_that_as_many_run_the_one_that_is_new_is_adopted() -> None:
    world = restored(World("ab").deployed("1"), "2")
    world.currents["b"] = "blue"
    after = decide(world)
    assert after.committed[-1].version == "2"
    why = "runs another release than 2, which most do; the next deploy or rollback mends that"
    assert after.debts == {"b/blue": why}


def test_a_node_that_serves_nobody_owes_that_and_one_that_holds_nothing_gets_it_by_itself() -> None:
    world = restored(World("abc").deployed("1"), "2")
    world.lose_disks("c")
    balancer = {"a:8002": 100}
    after = decide(world, balancer=balancer)
    assert after.debts == {
        "b/blue": "takes no traffic; the next deploy or rollback mends that",
        "c": "holds nothing; takes no traffic until it has 2",
    }
    assert converge_at(after, "c", returned=False) is not None, "it is here already"
    world.converge("c")
    assert world.finish() == "succeeded"
    assert set(world.traffic) == {"a/green", "c/blue"}
    world.deployed("3")
    assert world.owing() == set()


def test_traffic_that_nobody_accounts_for_is_settled_first() -> None:
    world = restored(World("ab").deployed("1"), "2")
    after = decide(world, balancer={**serving(world), "c:80": 4}, without_absent=True)
    assert after.weights is None
    before = len(world.log)
    world.deployed("3")
    assert world.steps(before)[1] == "settle"


def test_converging_goes_back_from_what_runs_and_undoes_itself_when_it_fails() -> None:
    world = restored(World("ab").deployed("1"), "2", "3")
    decide(world, converge="r9")
    assert world.state.rollout is not None
    assert (world.state.rollout.id, world.state.rollout.release.version) == ("r9", "1")
    assert world.finish(start="failed") == "rolled_back"
    assert sharing(world.state.weights) == {"a/blue": 100, "b/blue": 100}
    assert world.running()["a/blue"] == world.running()["b/blue"] == "3"


def test_what_was_converged_from_is_none_to_go_back_to() -> None:
    world = in_a_canary("1", "2")
    decide(world, converge="r9")
    assert world.finish() == "succeeded"
    assert [known.version for known in world.state.committed] == ["1", "9", "2"]
    assert [(one.version, one.origin) for one in world.state.quarantined] == [("9", "rollback")]
    with pytest.raises(Refused, match="no release 9 has succeeded here.* after a restore") as told:
        world.rollback(to="9")
    assert told.value.hint == "what has, newest first: 2, 1"
    world.rollback()
    assert world.state.rollout is not None
    assert world.state.rollout.release.version == "1"


def test_not_even_where_there_is_no_other() -> None:
    world = in_a_canary("1")
    decide(world, converge="r9")
    assert world.finish() == "succeeded"
    with pytest.raises(Refused, match="there is no earlier release to go back to"):
        world.rollback()


def test_nor_is_it_where_converging_has_failed() -> None:
    """The fleet is as mixed as before: a plain rollback tries once more what the log has."""
    world = in_a_canary("1", "2")
    decide(world, converge="r9")
    assert world.finish(shift="failed") == "rolled_back"
    world.rollback()
    assert world.state.rollout is not None
    assert world.state.rollout.release.version == "2"
    assert world.finish() == "succeeded"
    found = previous_release(world.state)
    assert found is not None
    assert found.version == "1"


def test_what_some_nodes_run_is_active_once_adopted_and_none_to_go_back_to() -> None:
    world = in_a_canary("1", "2")
    assert decide(world).committed[-1].version == "9"
    world.deployed("3")
    world.rollback()
    assert world.state.rollout is not None
    assert world.state.rollout.release.version == "2"


def test_back_from_it_is_the_last_that_has_succeeded() -> None:
    world = in_a_canary("1", "2")
    decide(world)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.state.committed[-1].version == "2"


def test_back_from_what_stopped_half_way_is_not_to_what_some_nodes_ran() -> None:
    world = in_a_canary("1", "2")
    decide(world)
    world.deploy("3")
    world.until("soak-1")
    world.abort(undo=False)
    world.rollback()
    assert world.state.rollout is not None
    assert world.state.rollout.release.version == "2"


def test_it_counts_once_it_was_deployed_to_all() -> None:
    world = in_a_canary("1", "2")
    decide(world)
    world.deployed("9", "3")
    found = previous_release(world.state)
    assert found is not None
    assert found.version == "9"


def test_where_it_serves_everywhere_by_then_a_deployment_of_it_has_still_to_pass() -> None:
    world = restored(World("ab").deployed("1"), "2")
    decide(world, converge="r9")
    assert world.finish(preflight="failed") == "rolled_back"
    assert world.state.committed[-1].never_succeeded
    world.deploy("2")
    assert "soak" in [step.id for step in world.state.rollout.plan]
    assert world.finish() == "succeeded"
    assert not world.state.committed[-1].never_succeeded


def test_what_all_traffic_goes_to_counts_once_adopted() -> None:
    world = restored(World("ab").deployed("1"), "2")
    decide(world)
    world.deployed("3")
    world.rollback()
    assert world.state.rollout is not None
    assert world.state.rollout.release.version == "2"


def test_one_that_had_succeeded_before_the_backup_still_has() -> None:
    world = restored(World("ab").deployed("1", "2"))
    world.currents = {"a": "blue", "b": "green"}
    decide(world, converge="r9", balancer={**serving(world)})
    assert not any(known.never_succeeded for known in world.state.committed)


def test_what_only_some_nodes_run_is_not_brought_to_others_unasked() -> None:
    world = in_a_canary("1")
    others = {address: share for address, share in serving(world).items() if "n3" not in address}
    world.leave("n3")
    decide(world, without_absent=True, balancer=others)
    assert "n3" in world.state.debts
    world.come_back("n3")
    assert world.converge() == ()
    assert "adopted as some nodes ran it" in why_unpaid(world.state)


def test_a_log_that_has_nothing_that_succeeded_brings_nothing_back() -> None:
    world = in_a_canary("1")
    decide(world)
    world.feed(i.Restore(log_id="newer", former="new"))
    with pytest.raises(Refused, match="the log has only 9, which never succeeded,"):
        decide(world, request_id="once more", converge="r9")


def test_an_adopted_one_that_fails_on_the_other_nodes_by_its_own_fault_is_quarantined() -> None:
    world = in_a_canary("1")
    decide(world)
    world.deploy("9")
    world.until("start-1")
    world.go(lambda: bool(world.open()))
    world.answer(world.open()[0], "failed", "release")
    world.finish()
    assert [one.version for one in world.state.quarantined] == ["9"]


def test_converging_where_all_is_as_the_log_has_it_begins_nothing() -> None:
    world = restored(World("ab").deployed("1"))
    assert decide(world, converge="r9").rollout is None
    assert [known.version for known in world.state.committed] == ["1"]


def test_converging_keeps_the_settings_that_the_log_has_last() -> None:
    """The version was deployed with others before, and a rollback to it would go to these."""
    world = World("ab").deployed("1")
    world.settings = replace(SETTINGS, service=Service(command=("serve", "--faster")))
    restored(world.deployed("1"))
    after = decide(world, converge="r9")
    assert after.rollout is None
    assert [known.settings for known in after.committed] == [SETTINGS, world.settings]


def without_c(*later: str) -> World:
    """Nodes a, b and c, of which the last was taken out of the environment before the backup, and
    holds what it had."""
    world = World("abc").deployed("1")
    world.nodes = ["a", "b"]
    world.deployed("2").rest()
    restored(world, *later)
    world.nodes = ["a", "b", "c"]
    world.hello("c")
    return world


def test_a_node_that_came_after_the_backup_owes_what_it_loses_with_its_disk_later() -> None:
    world = World("ab").deployed("1")
    monday = world.state
    world.add("c")
    world.deployed("2")
    world.state = monday
    world.feed(i.Restore(log_id="new", former="log"))
    assert decide(world).members == ("a", "b", "c")
    world.lose_disks("c")
    assert world.state.debts == {"c": "c/blue is gone with the node's disk"}
    world.converge("c")
    assert world.finish() == "succeeded"
    assert set(world.traffic) == {"a/green", "b/green", "c/green"}


def start_again(world: World, where: str) -> None:
    """By hand, or by a reboot."""
    here = place(where)
    world.machines[here] = t.Known(
        revision=world.machines[here].revision,
        running=True,
        healthy=True,
        address=f"{here.node}:{8001 + t.SLOTS.index(here.slot)}",
    )
    world.hello(here.node)


@pytest.mark.parametrize("balancer", [None, {"a:8001": 4, "b:8001": 4}])
def test_a_node_that_was_taken_out_before_the_backup_stays_out(
    balancer: dict[str, int] | None,
) -> None:
    world = without_c("3")
    assert [each.node for each in differences_shown(world, balancer)] == ["a", "b"]
    after = decide(world, converge="r9", balancer=balancer)
    assert (after.members, dict(after.debts)) == (("a", "b"), {})
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "b/green": 100}
    world.rollback(nodes=after.members)
    assert world.finish() == "succeeded"
    assert world.issued("start").count("c/blue") == 1
    assert "c/green" not in world.issued("start")


def test_a_node_that_the_log_does_not_have_is_a_member_if_it_serves() -> None:
    world = without_c()
    start_again(world, "c/blue")
    takes = {"a:8002": 4, "b:8002": 4, "c:8001": 4}
    assert [each.node for each in differences_shown(world, takes)] == ["c"]
    assert decide(world, balancer=takes).members == ("a", "b", "c")


def test_it_is_none_if_it_runs_what_no_traffic_goes_to() -> None:
    world = without_c()
    start_again(world, "c/blue")
    takes = {"a:8002": 4, "b:8002": 4}
    assert differences_shown(world, takes) == []
    assert decide(world, balancer=takes).members == ("a", "b")


def differences_shown(world: World, balancer: dict[str, int] | None) -> list[Difference]:
    members = members_concerned(world.state, world.members(), taking(balancer))
    return differences(world.state, members, {})


def test_a_decision_that_is_not_asked_for_is_refused() -> None:
    world = World("a").deployed("1")
    with pytest.raises(Refused, match="nothing to decide"):
        decide(world)


def test_what_differs_is_told_node_by_node() -> None:
    world = restored(World("abcd").deployed("1"), "2")
    world.currents["b"] = "blue"  # as the log has it, but it does not run any more
    world.machines[place("b/blue")] = t.Known(
        revision=release("1").revision, running=False, healthy=False
    )
    world.machines.pop(place("c/blue"))
    world.machines.pop(place("c/green"))
    world.currents.pop("c")
    world.gone.add("d")
    found = differences(world.state, world.members(), {"sha256:2": "2"})
    assert [(each.node, each.log, each.now) for each in found] == [
        ("a", "1 in blue", "2 in green"),
        ("b", "1 in blue", "1 in blue, not running"),
        ("c", "1 in blue", "nothing"),
        ("d", "1 in blue", "not connected: nobody knows"),
    ]
    nameless = differences(world.state, world.members(), {})[0].now
    assert nameless == "a release with the digest sha256:2… in green"


def test_where_nothing_differs_nothing_is_told() -> None:
    world = restored(World("ab").deployed("1"))
    assert differences(world.state, world.members(), {}) == []


def test_the_log_has_a_release_where_it_ran_also_while_traffic_had_moved_to_the_next_one() -> None:
    """The backup was made in the middle of a rollout, and it went on."""
    world = World("a").deployed("1")
    world.deploy("2")
    world.until("soak")
    world.feed(i.Restore(log_id="new", former="log"))
    slots = {"blue": world.slots_of("a")["blue"], "green": world.slots_of("a")["green"]}
    member = i.Member(node="a", connected=True, journal_id="journal-a", slots=slots)
    (difference,) = differences(world.state, (member,), {})
    assert (difference.log, difference.now) == ("1 in blue", "2 in green")
