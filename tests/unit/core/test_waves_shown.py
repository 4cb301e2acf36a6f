"""How waves look to people: in the tree, in lines, in sentences and in plans."""

from core_values import SETTINGS
from driver import World
from event_views import views
from test_tree import seen, tree

from tidegate_controller.cli.explain import sentences_of
from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.picture import Picture
from tidegate_controller.core import events as ev
from tidegate_controller.core.deploying import deploy_goal
from tidegate_controller.core.spec import Waves
from tidegate_controller.plan_view import plan_view

NODES = tuple("abcdef")
WAVES = Waves(sizes=("1", "2", "50%", "100%"), max_parallel="2")


def in_second_wave(strategy: str, step: str = "soak-2") -> tuple[World, int]:
    world = World(NODES, strategy=strategy, waves=WAVES, settings=SETTINGS).deployed("1")
    start = len(world.log)
    world.deploy("2")
    world.until(step)
    return world, start


def test_waves_that_are_over_or_to_come_are_drawn_as_one_line() -> None:
    world, start = in_second_wave("canary")
    assert tree(world, start)[2:] == [
        "  ✓ Preflight           0.0 s",
        "  ✓ Wave 1             10.0 s",
        "  ✓ Prepare, wave 2     0.0 s",
        "  ✓ Start, wave 2       0.0 s",
        "  ✓ Shift, wave 2       0.0 s",
        "  ✓ Switch, wave 2      0.0 s",
        "  ● Soak, wave 2          0 s  all stay healthy for 10 s more",
        "  ○ Verify, wave 2",
        "  ○ Waves 3 to 4",
    ]


def test_the_waves_of_an_undo_are_drawn_below_those_that_it_undoes() -> None:
    world, start = in_second_wave("rolling")
    world.report("a/green", healthy=False)
    world.until("stop-back-2")
    drawn = tree(world, start)
    undoing = next(n for n, line in enumerate(drawn) if "undoing" in line)
    assert drawn[undoing - 1].split() == ["○", "Wave", "3", "not", "reached"]
    below = [line.split("  ")[1].strip() for line in drawn[undoing:] if line.startswith("  ")]
    assert below[:4] == ["✓ Shift back", "✓ Wave 1", "✓ Drain back, wave 2", "● Stop back, wave 2"]


def test_lines_and_sentences_name_the_wave() -> None:
    world, start = in_second_wave("rolling")
    world.report("a/green", healthy=False)
    world.finish()
    picture, told = Picture(), []
    narrator = Narrator(picture)
    for view in views(world, start):
        picture.take(view)
        told += narrator.lines(view)
    assert "Drain, wave 1 done in 0.0 s" in told
    assert (
        "undoing: moving traffic back to where it was, and starting the old release on 4 nodes"
        in told
    )
    said = [sentence.text for sentence in sentences_of(views(world, start))]
    assert (
        "The strategy rolling made this plan of it: Preflight, then in 3 waves: Prepare, Migrate, "
        "Drain, Stop, Start, Admit, Switch, Soak, Verify."
    ) in said
    assert any(text.startswith("Drain, wave 1 (its nodes get no new requests") for text in said)
    undo = next(text for text in said if text.startswith("So it is undone"))
    assert "The old release was stopped in a/blue, b/blue, c/blue, d/blue" in undo


def test_a_plan_says_wave_by_wave_what_is_done() -> None:
    world = World(NODES, strategy="rolling", waves=WAVES).deployed("1")
    state = world.state
    started = next(e for e in world.deploy("2") if isinstance(e, ev.Started))
    assert seen(world).begun
    goal = deploy_goal(state, world.last_deploy, world.now)
    plan = plan_view("shop@test", state, goal, started.plan, "id", state.spec)
    steps = {step.title: step.does for step in plan.steps}
    assert steps["Drain, wave 1"] == ["all traffic to c/blue, d/blue, e/blue, f/blue"]
    assert steps["Stop, wave 1"] == ["a/blue: stop what runs there", "b/blue: stop what runs there"]
    assert steps["Start, wave 1"] == ["a/green: start 2", "b/green: start 2"]
    assert {step.wave for step in plan.steps} == {0, 1, 2, 3}
