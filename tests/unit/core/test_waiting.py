"""Where nobody can know whether a script ran or traffic moved, a person is asked, and nobody else
decides: the rollout waits without a deadline and goes on from the answer."""

import msgspec
import pytest
from core_values import ON_EVERY_NODE, TRAFFIC
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.errors import Refused

BY_HAND = msgspec.structs.replace(TRAFFIC, adapter="none")


def in_doubt(outcome: str = "unknown") -> World:
    """Version 2 is being deployed, and its migration has ended nobody knows how."""
    world = World().deployed("1")
    world.deploy("2")
    (migration,) = world.until("migrate")
    world.answer(migration, outcome)
    return world


def waiting(world: World) -> t.Wait | None:
    assert world.state.rollout is not None
    return world.state.rollout.waiting


def test_a_migration_whose_end_is_unknown_waits_for_a_person() -> None:
    world = in_doubt()
    wait = waiting(world)
    assert wait is not None
    assert wait.why == "task did not work"
    assert wait.answers == ("continue", "retry", "abort")
    assert next_deadline(world.state) is None or world.state.chores != ()
    seen = len(world.log)
    world.wait(30 * 24 * 3600.0)
    assert world.step == "migrate"
    assert not [e for _, e in world.log[seen:] if isinstance(e, ev.StepEnded | ev.Ended)]


def test_a_migration_on_a_node_that_stays_away_is_in_doubt_and_not_failed() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("migrate")
    world.fates = {"migrate": SILENCE}
    world.leave("a")
    world.wait(world.pace.away_seconds)
    assert waiting(world) is not None


LOST = (
    "a went away while it ran migrate.sh, which may have run half way, and did not come back in "
    "time"
)


def lost_in_migrate() -> tuple[World, t.Action]:
    """A person is asked about a migration whose node went away."""
    world = World().deployed("1")
    world.deploy("2")
    (migration,) = world.until("migrate")
    world.fates = {"migrate": SILENCE}
    world.leave(migration.work.at)
    world.wait(world.pace.away_seconds)
    wait = waiting(world)
    assert wait is not None
    assert wait.why == LOST
    world.fates = {}
    return world, migration


def migrating_on_every_node() -> tuple[World, dict[str, t.Action]]:
    """a and b migrate at the same time, and a goes away for longer than is waited for."""
    world = World(settings=ON_EVERY_NODE).deployed("1")
    world.deploy("2")
    migrations = {action.work.at: action for action in world.until("migrate")}
    world.fates = {"migrate": SILENCE}
    world.leave("a")
    world.wait(world.pace.away_seconds + 1.0)
    assert set(world.state.rollout.open) == {action.id for action in migrations.values()}
    assert waiting(world) is None, "b is at it still"
    world.fates = {}
    return world, migrations


@pytest.mark.parametrize("outcome", ["ok", "unknown"])
def test_about_a_node_that_is_away_a_person_is_asked_once_the_others_have_ended(
    outcome: str,
) -> None:
    world, migrations = migrating_on_every_node()
    world.answer(migrations["b"], outcome)
    wait = waiting(world)
    assert wait is not None
    assert LOST in wait.why
    assert ("task did not work" in wait.why) == (outcome == "unknown")
    world.reply("continue")
    world.come_back("a")
    assert world.finish() == "succeeded"


def test_a_node_that_comes_back_while_another_is_still_at_it_is_believed() -> None:
    world, migrations = migrating_on_every_node()
    world.come_back("a")
    world.answer(migrations["a"])
    world.answer(migrations["b"])
    assert world.finish() == "succeeded"
    assert not [e for _, e in world.log if isinstance(e, ev.Waiting)]


def test_where_the_others_say_nothing_either_a_person_is_asked_about_all_at_the_deadline() -> None:
    world, migrations = migrating_on_every_node()
    world.fates = {"migrate": SILENCE}
    world.wait(migrations["b"].deadline - world.now)
    wait = waiting(world)
    assert wait is not None
    assert "no answer from b in time" in wait.why
    assert LOST in wait.why


def test_where_another_has_failed_a_person_may_only_give_it_up() -> None:
    world, migrations = migrating_on_every_node()
    world.answer(migrations["b"], "failed")
    wait = waiting(world)
    assert wait is not None
    assert wait.answers == ("abort",)
    world.reply("abort")
    assert world.ending.state == "rolled_back"


@pytest.mark.parametrize("leaves", [True, False], ids=["its node has just left", "mute"])
def test_a_migration_that_says_nothing_until_its_deadline_is_in_doubt_and_not_failed(
    leaves: bool,
) -> None:
    world = World().deployed("1")
    world.deploy("2")
    (migration,) = world.until("migrate")
    world.fates = {"migrate": SILENCE}
    world.wait(migration.deadline - world.now - 1.0)
    if leaves:
        world.leave("a")
    assert waiting(world) is None
    world.wait(1.0)
    assert waiting(world) is not None
    world.reply("abort")
    world.fates = {}
    assert world.finish() == "rolled_back"


def test_a_node_that_comes_back_before_a_person_answers_is_asked_and_believed() -> None:
    """Such as one whose release has no migration: nothing ran, so nothing is in doubt."""
    world, migration = lost_in_migrate()
    world.wait(24 * 3600.0)
    world.come_back("a")
    (again,) = world.open()
    assert (again.id, again.fence) == (migration.id, migration.fence), "the agent knows it"
    world.answer(migration, "ok")
    assert world.step == "start"
    assert waiting(world) is None
    assert world.finish() == "succeeded"
    assert world.issued("task") == ["a/blue", "a/green"]


def test_a_node_that_comes_back_and_does_not_know_either_leaves_it_to_the_person() -> None:
    world, migration = lost_in_migrate()
    before = waiting(world)
    world.wait(60.0)
    world.come_back("a")
    seen = len(world.log)
    world.answer(migration, "unknown")
    wait = waiting(world)
    assert wait is not None
    assert (wait.why, wait.since) == ("task did not work", before.since)
    world.wait(3600.0)
    assert len([e for _, e in world.log[seen:] if isinstance(e, ev.Waiting)]) == 1
    world.reply("continue")
    assert world.finish() == "succeeded"


def test_a_node_that_leaves_again_while_a_person_is_asked_changes_nothing_in_the_question() -> None:
    world, _ = lost_in_migrate()
    for _ in range(3):
        world.come_back("a")
        world.leave("a")
    world.wait(3600.0)
    assert len([e for _, e in world.log if isinstance(e, ev.Waiting)]) == 1


def test_a_node_that_comes_back_has_the_whole_time_of_the_step() -> None:
    world, migration = lost_in_migrate()
    world.wait(24 * 3600.0)
    world.come_back("a")
    assert world.state.rollout is not None
    step = world.state.rollout.plan[world.state.rollout.cursor]
    world.wait(step.deadline_seconds - 1.0)
    assert [action.id for action in world.open()] == [migration.id]
    world.wait(1.0)
    assert world.open() == []
    assert waiting(world) is not None


@pytest.mark.parametrize(
    ("answer", "end"), [("continue", "succeeded"), ("abort", "rolled_back"), ("retry", "succeeded")]
)
def test_a_person_may_answer_before_the_node_is_back(answer: str, end: str) -> None:
    world, migration = lost_in_migrate()
    world.reply(answer)
    assert migration.id not in {action.id for action in world.open()}
    world.come_back("a")
    assert world.answer(migration, "ok") == (), "what comes too late changes nothing"
    assert world.finish() == end


def test_a_migration_that_failed_is_undone_without_a_question() -> None:
    world = World().deployed("1")
    world.deploy("2")
    assert world.finish(migrate="failed") == "rolled_back"
    assert not [e for _, e in world.log if isinstance(e, ev.Waiting)]


def test_continue_counts_it_as_done() -> None:
    world = in_doubt()
    world.reply("continue")
    assert world.step == "start"
    assert world.finish() == "succeeded"
    assert world.issued("task") == ["a/blue", "a/green"]


def test_retry_runs_it_once_more() -> None:
    world = in_doubt()
    world.reply("retry")
    (again,) = world.open()
    assert (again.work.verb, again.attempt) == ("task", 2)
    assert world.finish() == "succeeded"


def test_a_retry_that_is_in_doubt_too_is_asked_about_again() -> None:
    world = in_doubt()
    world.reply("retry")
    world.answer(world.open()[0], "unknown")
    assert waiting(world) is not None
    world.reply("continue")
    assert world.finish() == "succeeded"


def test_abort_undoes_the_rollout_and_names_who_wanted_it() -> None:
    world = in_doubt()
    world.reply("abort")
    assert world.finish() == "rolled_back"
    assert "aborted by ada" in world.ending.reason


def test_an_answer_given_twice_counts_once() -> None:
    world = in_doubt()
    world.reply("continue")
    last = i.Answer(request_id="answer-1", rollout="r2", answer="abort", answered_by="bob")
    assert world.feed(last) == ()


@pytest.mark.parametrize("rollout", ["r1", "r2", "r99"])
def test_an_answer_that_nobody_waits_for_is_refused(rollout: str) -> None:
    world = World().deployed("1")
    world.deploy("2")
    answer = i.Answer(request_id="x", rollout=rollout, answer="continue", answered_by="ada")
    with pytest.raises(Refused, match="does not wait|has ended"):
        world.feed(answer)


def test_a_restart_of_the_controller_goes_on_waiting() -> None:
    world = in_doubt()
    world.restart()
    assert waiting(world) is not None
    world.reply("continue")
    assert world.finish() == "succeeded"


def test_a_slot_that_had_passed_and_fails_does_not_wait_for_anybody() -> None:
    world = World()
    world.deploy("1", traffic=BY_HAND)
    world.finish_start()
    world.answer(world.until("shift")[0], "unknown")
    assert waiting(world) is not None
    world.report("a/blue", healthy=False)
    assert world.state.rollout is None or world.state.rollout.undoing


def test_traffic_that_a_person_moves_counts_as_moved_from_the_answer_on() -> None:
    world = World()
    world.deploy("1", traffic=BY_HAND)
    world.finish_start()
    world.answer(world.until("shift")[0], "unknown")
    assert world.traffic is None
    world.reply("continue")
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    assert world.finish() == "succeeded"


def test_traffic_that_a_person_is_to_move_back_waits_as_well() -> None:
    world = World()
    world.deploy("1", traffic=BY_HAND)
    world.finish_start()
    world.answer(world.until("shift")[0], "unknown")
    world.reply("continue")
    world.finish()
    world.deploy("2", traffic=BY_HAND)
    world.finish_start()
    world.answer(world.until("shift")[0], "unknown")
    world.reply("continue")
    world.until("soak")
    world.report("a/green", healthy=False)
    (back,) = world.until("shift-back")
    world.answer(back, "unknown")
    assert waiting(world) is not None
    world.wait(3600.0)
    world.reply("continue")
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/blue": 100, "b/blue": 100}


def test_again_starts_what_is_active_once_more_beside_itself() -> None:
    world = World().deployed("1")
    assert world.deploy("1") == ()
    world.deploy("1", again=True)
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "b/green": 100}


def test_each_node_is_cleaned_up_after_a_rollout_and_on_request() -> None:
    world = World().deployed("1")
    assert world.issued("cleanup") == ["a", "b"]
    world.feed(i.CleanUp(request_id="c1", members=world.members(), requested_by="ada"))
    assert world.issued("cleanup") == ["a", "b", "a", "b"]
    world.tidy()
    assert world.feed(i.CleanUp(request_id="c1", members=(), requested_by="ada")) == ()


def test_a_node_that_is_away_owes_its_clean_up() -> None:
    world = World().deployed("1")
    world.leave("b")
    world.feed(i.CleanUp(request_id="c1", members=world.members(), requested_by="ada"))
    assert world.issued("cleanup") == ["a", "b", "a", "b"]
    assert [chore.work.at for chore in world.state.chores if chore.work.verb == "cleanup"] == [
        "a",
        "b",
    ]


def test_a_clean_up_that_fails_is_no_debt() -> None:
    world = World()
    world.deploy("1")
    world.go(lambda: world.state.rollout is None)
    for action in world.open():
        world.answer(action, "failed")
    assert world.state.debts == {}
    assert world.state.chores == ()


def test_another_request_meanwhile_is_told_what_is_waited_for_and_how_to_answer() -> None:
    world = in_doubt()
    with pytest.raises(Refused) as refused:
        world.deploy("3")
    assert refused.value.message == (
        "rollout r2 to version 2 waits for a person: task did not work; "
        "one at a time for an app and environment"
    )
    assert refused.value.hint == (
        "look at it: tidegate rollout show r2; then answer it, with one of: "
        "tidegate rollout continue r2, tidegate rollout retry r2, tidegate rollout abort r2; or "
        "deploy after it: --queue; or, if it has moved no traffic yet, in its place: --supersede"
    )


def test_who_does_not_deploy_is_offered_no_choice_that_only_a_deployment_has() -> None:
    watch = "wait for its end: tidegate rollout show r2 --watch"
    world = in_doubt()
    with pytest.raises(Refused) as refused:
        world.rollback()
    assert refused.value.hint.endswith(f"tidegate rollout abort r2; or {watch}")
    world.pause()
    with pytest.raises(Refused) as refused:
        world.rollback()
    assert refused.value.hint.endswith(f"or give it up: tidegate rollout abort r2; or {watch}")
    world = World().deployed("1")
    world.deploy("2")
    with pytest.raises(Refused) as refused:
        world.rollback()
    assert refused.value.hint == watch
