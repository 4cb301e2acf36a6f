"""Why a rollout went as it did, told from real events of the core, whatever happened."""

import msgspec
import pytest
from core_values import PACE, TRAFFIC
from driver import SILENCE, World
from event_views import views
from test_failed_nodes import NODES, ONE
from test_server_groups import grouped

from tidegate_controller.cli.explain import sentences_of
from tidegate_controller.core import inputs as i
from tidegate_controller.core.cleaned import CleanedUp, Thing

BY_HAND = msgspec.structs.replace(TRAFFIC, adapter="none", directory="")


def told(world: World, since: int = 0) -> list[str]:
    return [sentence.text for sentence in sentences_of(views(world, since))]


def second(world: World) -> int:
    """Version 2 is on its way after version 1; where its events begin."""
    world.deployed("1")
    since = len(world.log)
    world.deploy("2")
    return since


def test_a_rollout_that_succeeds_is_explained_from_the_request_to_what_is_kept() -> None:
    world = World()
    since = second(world)
    world.finish()
    assert told(world, since) == [
        "ada asked for a deploy of shop in test to 2, where 1 was active.",
        "It is about 2 nodes, those that the configuration names: a, b.",
        "2 was to be started in a/green, b/green, for no traffic leads there.",
        "The strategy blue-green made this plan of it: Preflight, Prepare, Migrate, Start, Shift, "
        "Switch, Soak, Verify.",
        "Preflight (to find what would fail anyway, before anything is changed) was done in 0.0 s "
        "on a/green, b/green, balancer.",
        "Prepare (to have the release on the nodes, beside what runs there) was done in 0.0 s on "
        "a/green, b/green.",
        "Migrate (the release's own migrate.sh, once, before anything of it is started) was done "
        "in 0.0 s on a/green.",
        "Start (to see it healthy before it gets any traffic) was done in 0.0 s on a/green, "
        "b/green.",
        "Shift (all traffic at once, each place having answered first) was done in 0.0 s: all "
        "traffic goes to a/green, b/green.",
        "Switch (so that `current` on the nodes names what serves) was done in 0.0 s on a/green, "
        "b/green.",
        "Soak (to see whether it stays healthy with traffic) was done in 10.0 s.",
        "Verify (each node has to say once more that it is well: silence is no success) was done "
        "in 0.0 s on a/green, b/green.",
        "All steps were done, so 2 is the release to come back to from now on.",
        "The rollout succeeded.",
        "a/blue, b/blue run on for 10 min: a rollback is instant then.",
    ]


def test_the_first_release_goes_where_nothing_serves() -> None:
    world = World(nodes=["a"])
    world.deploy("1", message="the beginning")
    lines = told(world)
    assert lines[0] == (
        "ada asked for a deploy of shop in test to 1, where nothing was active yet: the beginning."
    )
    assert lines[2] == "1 was to be started in a/blue, for nothing serves yet."


def why_there(world: World, since: int) -> str:
    (line,) = [each for each in told(world, since) if " was to be started in " in each]
    return line.partition(", for ")[2]


def test_a_node_that_is_new_or_gets_what_it_owes_is_not_said_to_have_traffic() -> None:
    """In neither of its slots there is any."""
    world = World(NODES, policy=ONE).deployed("1")
    world.leave("a")
    world.deploy("2")
    world.finish()
    world.come_back("a")
    since = len(world.log)
    world.converge()
    assert why_there(world, since) == "no traffic leads there."
    world = World()
    world.deploy("1", nodes=["a"])
    world.finish()
    since = len(world.log)
    world.deploy("2")
    assert why_there(world, since) == "no traffic leads there."


def test_a_group_of_servers_is_brought_the_release_since_the_other_has_the_traffic() -> None:
    world = grouped("1")
    since = len(world.log)
    world.deploy("2")
    assert why_there(world, since) == "the other group has the traffic."


# --- One that had to wait for its turn -----------------------------------------------------------


def queued(world: World) -> list[str]:
    """What is told of r3, which waits while r2 runs: as the controller gives its events."""
    sent, begun = [], False
    for event in views(world):
        about = event.data.get("rollout") == "r3"
        begun = begun or (about and event.kind == "Started")
        if about or begun or event.kind == "Restored":
            sent.append(event)
    return [sentence.text for sentence in sentences_of(sent)]


@pytest.fixture
def busy() -> World:
    """r2 runs, and r3 waits."""
    world = World(["a"]).deployed("1")
    world.deploy("2")
    world.deploy("3", queue=True, message="the sale")
    return world


ASKED = "ada asked for a deploy of shop in test to 3: the sale. It had to wait for its turn."


def test_a_deployment_that_waits_is_explained_before_it_begins(busy: World) -> None:
    assert queued(busy) == [ASKED]


def test_one_that_has_waited_and_begun_is_said_to_have_been_asked_for_once(busy: World) -> None:
    busy.finish()
    busy.begin_queued()
    assert queued(busy)[:2] == [
        ASKED,
        "It was the turn of this deploy of shop in test to 3, where 2 was active.",
    ]


def test_one_that_never_began_is_told_with_the_reason(busy: World) -> None:
    busy.abort(rollout="r3", reason="not today")
    assert queued(busy) == [
        ASKED,
        "It was not begun: given up by ada before it had begun: not today.",
    ]


def test_one_that_a_restore_has_forgotten_is_said_not_to_have_begun(busy: World) -> None:
    busy.feed(i.Restore(log_id="another", former="log"))
    assert queued(busy) == [
        ASKED,
        "It was not begun: a backup that was made while it waited has been restored.",
    ]


def test_a_release_that_does_not_start_is_undone_and_nothing_has_to_be_moved_back() -> None:
    world = World()
    since = second(world)
    world.finish(**{"start@b": "failed", "start@a": SILENCE})
    assert told(world, since)[-6:] == [
        "b/green: start failed: start did not work.",
        "Start (to see it healthy before it gets any traffic) failed after 0.0 s.",
        "One failure is enough, so it was given up on a/green.",
        "So it is undone. No traffic had been moved, so there is none to move back.",
        "The rollout rolled back: what served before serves again.",
        "What it had started is to be stopped: a/green, b/green.",
    ]


def test_what_another_rollout_came_before_is_not_said_to_be_stopped() -> None:
    world = World(approval=True)
    world.deploy("1")
    world.go(lambda: world.state.rollout.waiting is not None)
    world.deploy("2", supersede=True)
    lines = told(world)
    assert "What it had started is to be stopped: a/blue, b/blue." in lines
    assert "a/blue was stopped." not in lines
    assert lines[-1] == (
        "Rollout r2 began before a/blue, b/blue were stopped, and says what becomes of that."
    )


def test_where_nothing_had_been_started_nothing_is_said_to_be_stopped_for_it() -> None:
    """The idle slots still run the release before; why the script failed, it has said itself."""
    world = World(nodes=["a"]).deployed("1", "2")
    since = len(world.log)
    world.deploy("3")
    (action,) = world.until("prepare")
    said = "one\ntwo\nthree\ninstall.sh: line 3: cargo: command not found\n"
    error = "install.sh exited with code 127"
    world.feed(i.Result(action=action.id, outcome="failed", error=error, output_tail=said))
    world.finish()
    lines = told(world, since)
    failed = lines.index("a/blue: prepare failed: install.sh exited with code 127.")
    assert lines[failed + 1] == (
        "The last that it had said: two | three | install.sh: line 3: cargo: command not found"
    )
    assert lines[-1] == (
        "Nothing had been started in a/blue: what ran there before runs on, and is stopped later."
    )


def test_a_release_without_a_migration_is_said_to_have_none() -> None:
    world = World(nodes=["a"])
    world.deploy("1")
    (action,) = world.until("migrate")
    said = "this release has no migrate.sh"
    world.feed(i.Result(action=action.id, outcome="ok", error=said))
    world.finish()
    (line,) = [each for each in told(world) if each.startswith("Migrate ")]
    assert line.endswith(f" on a/blue; {said}.")


def test_a_place_that_fails_with_traffic_leads_to_an_undo_that_moves_traffic_back() -> None:
    world = World()
    since = second(world)
    world.until("soak")
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    lines = told(world, since)
    seen = lines.index("a/green was seen to fail: not healthy.")
    assert lines[seen + 1 : seen + 4] == [
        "Soak (to see whether it stays healthy with traffic) failed after 0.0 s, by what a node "
        "said: a/green had passed its checks and failed again.",
        "That was the release's own fault, so 2 is not brought there again, with these settings, "
        "until somebody lifts that.",
        "So it is undone: all traffic goes back to a/blue, b/blue. What had traffic before still "
        "runs there, so nothing has to be started.",
    ]


def test_a_node_that_goes_and_does_not_come_back_is_waited_for_so_long() -> None:
    world = World()
    since = second(world)
    world.until("prepare")
    world.leave("b")
    world.finish()
    lines = told(world, since)
    assert "b's agent was gone; it is waited for 1 min, no longer." in lines
    assert "b/green: nothing was heard in time, so it counts as failed." in lines
    (failed,) = [line for line in lines if line.startswith("Prepare ") and " failed " in line]
    assert " failed after 60.0 s, as its time was up: " in failed


def test_a_node_that_comes_back_in_time_is_told_too() -> None:
    world = World()
    since = second(world)
    world.until("prepare")
    world.leave("b")
    world.come_back("b")
    assert world.finish() == "succeeded"
    assert "b was back." in told(world, since)


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        ("continue", "what was in doubt counts as done"),
        ("retry", "what was in doubt is done once more"),
        ("abort", "so the step has failed"),
    ],
)
def test_what_a_person_was_asked_and_has_answered_is_told(answer: str, meaning: str) -> None:
    world = World()
    world.deploy("1", traffic=BY_HAND)
    world.fates = {"shift": "unknown"}
    world.go(lambda: world.state.rollout.waiting is not None)
    world.fates = {}
    world.reply(answer)
    lines = told(world)
    asked = lines.index(
        "Only a person can go on from here (continue, retry, abort): route did not work."
    )
    assert lines[asked - 1].startswith("balancer: nobody knows whether it was done: ")
    assert lines[asked + 1] == f"ada answered {answer}: {meaning}."


def test_a_rollback_to_what_still_runs_starts_nothing_and_says_why() -> None:
    world = World().deployed("1", "2")
    since = len(world.log)
    world.rollback()
    world.finish()
    lines = told(world, since)
    assert lines[0] == "ada asked for a rollback of shop in test to 1, where 2 was active."
    assert "those of the last deployment, and whatever takes traffic" in lines[1]
    assert "1 ran already in a/blue, b/blue, so it was not started there." in lines


def test_a_node_that_was_away_is_said_to_be_left_out_and_to_owe() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    since = len(world.log)
    world.rollback(without_absent=True)
    world.finish()
    (left_out,) = [line for line in told(world, since) if line.startswith("b was not connected")]
    assert "so it was left out: away when 1 came; takes no traffic until it has it" in left_out


def test_a_controller_that_starts_again_fails_nothing_and_says_so() -> None:
    world = World()
    since = second(world)
    world.until("prepare")
    world.restart()
    assert world.finish() == "succeeded"
    (line,) = [each for each in told(world, since) if each.startswith("The controller started")]
    assert "its own absence is nobody's failure" in line


def test_a_start_that_had_to_wait_for_the_last_requests_says_so() -> None:
    world = World(pace=msgspec.structs.replace(PACE, soak_seconds=0.0)).deployed("1", "2")
    since = len(world.log)
    world.deploy("3")
    world.finish()
    waited = [each for each in told(world, since) if " begun " in each]
    assert waited == [
        f"{place}: begun 5 s later, once the slot had no traffic and its last requests had had "
        "time to end."
        for place in ("a/blue", "b/blue")
    ]


def test_what_is_done_after_the_end_is_told_when_it_has_been_done() -> None:
    world = World(nodes=["a"])
    since = second(world)
    world.finish()
    assert "a/blue was stopped." not in told(world, since)
    world.rest()
    assert "a/blue was stopped." in told(world, since)


def test_what_a_clean_up_did_is_told_where_there_is_something_to_tell() -> None:
    world = World(nodes=["a"])
    since = second(world)
    world.go(lambda: world.state.rollout is None)
    (action,) = (action for action in world.open() if action.work.verb == "cleanup")
    cleaned = CleanedUp(
        count=2, bytes=4_000_000, made=(Thing(kind="backup", name="/b/1.tar.gz", bytes=9),)
    )
    world.feed(
        i.Result(action=action.id, outcome="ok", error="cannot remove all of /x", cleaned=cleaned)
    )
    assert told(world, since)[-3:] == [
        "What a had held before was backed up: /b/1.tar.gz.",
        "a was cleaned up: 2 things removed, 4 MB freed.",
        "a could not do all of its clean-up: cannot remove all of /x.",
    ]
