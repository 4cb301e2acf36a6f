"""While somebody holds the lock of an app in an environment, nobody else begins a rollout there."""

import pytest
from driver import World

from tidegate_controller.errors import Refused


def test_nobody_else_deploys_or_rolls_back_while_it_is_locked() -> None:
    world = World().deployed("1", "2")
    world.lock(by="bob", reason="we look for the lost orders")
    before = world.state
    for ask in (lambda: world.deploy("3"), world.rollback):
        with pytest.raises(Refused) as refused:
            ask()
        assert refused.value.message == "shop in test is locked by bob: we look for the lost orders"
        assert refused.value.hint == (
            "ask bob; or take the lock away: tidegate unlock shop -e test --force"
        )
    assert world.state == before
    world.unlock(by="bob")
    world.deploy("3")
    assert world.finish() == "succeeded"


def test_who_holds_it_may_deploy() -> None:
    world = World().deployed("1")
    world.lock(by="ada")
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.state.lock.by == "ada"


def test_what_is_under_way_goes_on() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.lock(by="bob")
    assert world.finish() == "succeeded"


def test_of_two_who_lock_at_once_the_first_holds_it() -> None:
    world = World().deployed("1")
    world.lock(by="ada", reason="a test")
    with pytest.raises(Refused, match="is locked already, by ada: a test"):
        world.lock(by="bob")
    assert world.lock(by="ada", reason="a test") == ()
    assert world.state.lock.by == "ada"


def test_it_is_taken_away_from_somebody_else_by_force_alone() -> None:
    world = World().deployed("1")
    world.lock(by="bob")
    with pytest.raises(Refused, match="is locked by bob, and you are ada"):
        world.unlock(by="ada")
    world.unlock(by="ada", force=True)
    assert world.state.lock is None
    assert world.unlock(by="ada") == ()


def test_it_stays_locked_after_a_new_start_of_the_controller() -> None:
    world = World().deployed("1")
    world.lock(by="bob")
    world.restart()
    with pytest.raises(Refused, match="is locked by bob"):
        world.deploy("2")
