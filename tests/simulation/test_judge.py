"""What the judge makes of moves of traffic that did not end well."""

from collections.abc import Callable
from types import SimpleNamespace

import invariants
import pytest
from judge import Past
from world import Violated

from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Waves


def action_to(*places: str) -> t.Action:
    weights = {t.Place(place): 100 for place in places}
    work = t.Work(verb="route", at=t.CONTROLLER, weights=weights)
    return t.Action(id="1-1", fence=(1, 1), step="verify", index=0, work=work, deadline=1.0)


def test_a_move_away_from_a_node_that_was_dropped_may_be_tried_once_more() -> None:
    served = {t.Place("a/blue"): 100, t.Place("b/blue"): 100}
    past = Past(dropped={"b"}, told=served, moved=served)
    away = action_to("a/blue")
    assert past.only_leaves(away)
    past.told = away.work.weights or {}
    assert past.only_leaves(away), "the first has failed"
    past.moved = past.told
    assert not past.only_leaves(away), "it has been done"
    assert not past.only_leaves(action_to("a/green"))


def test_a_node_that_was_dropped_may_get_back_what_it_had_before_and_no_more() -> None:
    served = {t.Place("a/blue"): 100, t.Place("b/blue"): 100}
    green = {t.Place("a/green"): 100, t.Place("b/blue"): 100}
    past = Past(dropped={"a"}, served=served, told=green, moved=green)
    assert past.only_leaves(action_to("a/blue", "b/blue"))
    assert not past.only_leaves(action_to("a/blue", "b/green"))
    past.served = green
    assert not past.only_leaves(action_to("a/blue", "b/blue"))


def test_a_move_to_where_traffic_is_already_changes_nothing_that_a_freeze_holds_up() -> None:
    served = {t.Place("a/blue"): 100, t.Place("b/blue"): 100}
    past = Past(served=served, told=served, moved=served)
    assert past.stays(action_to("a/blue", "b/blue"))
    assert not past.stays(action_to("a/blue"))
    assert not past.stays(action_to("a/green", "b/blue"))


def test_a_node_whose_traffic_was_not_taken_with_certainty_may_keep_it_in_a_freeze() -> None:
    served = {t.Place("a/blue"): 100, t.Place("b/blue"): 100}
    past = Past(dropped={"b"}, served=served, moved=served)
    past.told = {t.Place("a/blue"): 100}  # that has failed
    assert past.stays(action_to("a/blue", "b/blue")), "it is back, and well"
    past.told = {t.Place("a/green"): 100}
    assert not past.stays(action_to("a/blue", "b/blue")), "it may have been made, with the release"


def judge_of(past: Past) -> SimpleNamespace:
    """Of a world in which a/green serves, as is known, and a rollout in place goes on."""
    place, known = t.Place("a/green"), t.Known(running=True, healthy=True, address="a:2")
    spec = SimpleNamespace(strategy="rolling", waves=Waves())
    past.started, past.served = SimpleNamespace(zones={"a": ""}, spec=spec), {place: 100}
    running = SimpleNamespace(alive=True, own_fault=False)
    machine = SimpleNamespace(service_at=lambda _: running, problem_of=lambda _: None)

    def fail(invariant: Callable[..., None], detail: str) -> None:
        raise Violated(invariant.__name__, detail, 0.0)

    world = SimpleNamespace(
        machines={"a": machine},
        state=lambda _: t.State(places={place: known}),
        address=lambda *_: "a:2",
        fail=fail,
    )
    return SimpleNamespace(world=world, past=lambda _: past)


def test_a_slow_move_may_take_what_was_down_when_it_was_logged_and_has_come_up_since() -> None:
    """Nothing calls the move back; had the app been well by then, it would not have been made."""
    moved = ("shop@test", {"a:2": 100}, {})
    judge = judge_of(Past(unwell={t.Place("a/green")}))
    invariants.enough_nodes_stay_in_service(judge, *moved)
    with pytest.raises(Violated, match="at least 1"):
        invariants.enough_nodes_stay_in_service(judge_of(Past()), *moved)
