"""A release that was undone is still known: its slots have its name, and are stopped as it says."""

from types import SimpleNamespace

import msgspec
import pytest
from core_values import release
from driver import World

from tidegate_controller import views
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import pending
from tidegate_controller.core.evolve import RELEASES_KEPT
from tidegate_controller.core.releases import release_of
from tidegate_controller.core.spec import Service
from tidegate_controller.fleet import Fleet
from tidegate_controller.stream import Stream
from tidegate_controller.wire import to_command


def shown(world: World) -> dict[str, str | None]:
    """Place -> version, as `tidegate status` has it."""
    stream = Stream("shop@test")
    stream.state = world.state
    fleet = Fleet()
    fleet.registered["a"] = None  # type: ignore[assignment]
    engine = SimpleNamespace(streams={"shop@test": stream}, fleet=fleet, now=lambda: world.now)
    (app,) = views.status(engine, "shop").apps  # type: ignore[arg-type]
    return {
        f"{node.node}/{slot}": view.version
        for node in app.nodes
        for slot, view in node.slots.items()
    }


@pytest.mark.parametrize("step", ["start", "shift"])
def test_a_slot_of_an_undone_release_is_shown_by_version(step: str) -> None:
    world = World(nodes=["a"]).deployed("1")
    world.deploy("2")
    assert world.finish(**{step: "failed"}) == "rolled_back"
    assert shown(world) == {"a/blue": "1", "a/green": "2"}


def test_it_is_also_when_the_slot_was_stopped() -> None:
    world = World(nodes=["a"]).deployed("1")
    world.deploy("2")
    world.finish(shift="failed")
    world.rest()
    assert world.running() == {"a/blue": "1"}
    assert shown(world) == {"a/blue": "1", "a/green": "2"}


def test_so_is_that_of_a_first_release_that_failed() -> None:
    world = World(nodes=["a"])
    world.deploy("1")
    assert world.finish(start="failed") == "failed"
    assert shown(world) == {"a/blue": "1"}


def test_an_undone_release_is_stopped_with_its_own_grace() -> None:
    world = World(nodes=["a"]).deployed("1")
    world.deploy("2")
    world.until("soak")
    service = Service(command=("serve",), stop_grace_seconds=77.0)
    settings = msgspec.structs.replace(world.state.rollout.release.settings, service=service)
    patient = msgspec.structs.replace(world.state.rollout.release, settings=settings)
    rollout = msgspec.structs.replace(world.state.rollout, release=patient)
    world.state = msgspec.structs.replace(world.state, rollout=rollout)
    world.report("a/green", healthy=False)
    world.finish()
    world.go(lambda: any(action.work.verb == "stop" for action in pending(world.state)))
    (stop,) = pending(world.state)
    command = to_command("shop@test", world.state, stop, lambda digest: digest, world.now)
    assert command.stop_slot.grace_seconds == 77.0


def test_the_last_undone_releases_are_remembered_and_no_more() -> None:
    world = World(nodes=["a"]).deployed("1")
    for number in range(RELEASES_KEPT + 3):
        world.deploy(f"2.{number}")
        world.finish(start="failed")
    assert [each.version for each in world.state.undone] == [
        f"2.{number}" for number in range(3, RELEASES_KEPT + 3)
    ]
    assert [each.version for each in world.state.committed] == ["1"]


def test_one_artifact_under_two_versions_is_named_by_the_one_that_it_was_started_as() -> None:
    """With the same settings too, undone as one version and good as another."""
    world = World(nodes=["a"])
    world.deploy("1-rc", digest="sha256:same")
    world.finish(start="failed")
    world.deploy("1", digest="sha256:same")
    assert world.finish() == "succeeded"
    for version in ("1", "1-rc"):
        found = release_of(world.state, release(version, "sha256:same").revision)
        assert isinstance(found, t.Release)
        assert found.version == version
