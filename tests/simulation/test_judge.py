"""What the judge makes of moves of traffic that did not end well."""

from judge import Past

from tidegate_controller.core import types as t


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
