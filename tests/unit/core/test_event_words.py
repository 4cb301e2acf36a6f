"""`tidegate log` at a terminal: each event in a line that a person can read."""

from driver import World
from event_views import views

from tidegate_controller.cli.event_words import event_line


def told(world: World) -> list[str]:
    """Without number, time and stream."""
    return [" ".join(event_line(view).split()[4:]) for view in views(world)]


def test_a_rollout_is_read_from_its_start_to_its_end() -> None:
    world = World(nodes=["a"])
    world.deploy("1", message="orders were lost")
    world.finish(start="failed")
    lines = told(world)
    assert any(
        line.startswith("Started r1: deploy, nothing -> 1, blue-green on 1 node, by ada: orders")
        for line in lines
    )
    assert any(line.endswith(": start a/blue") for line in lines)
    assert "StepEntered rollout r1, step start" in lines
    assert "StepEnded r1: start failed: a/blue: start did not work" in lines
    assert any(line.endswith(": failed: start did not work") for line in lines)
    assert "Ended r1: failed: Start failed: a/blue: start did not work" in lines


def test_no_line_holds_a_document_or_control_over_the_line() -> None:
    world = World().deployed("1", "2")
    world.lock(reason="a\nb")
    world.rollback()
    world.finish()
    world.rest()
    for view in views(world):
        line = event_line(view)
        assert "{" not in line
        assert "\n" not in line
        assert len(line) < 400
