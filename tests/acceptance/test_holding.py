"""A rollout that is under way is held, let go and given up, as people and scripts do it."""

import json

import pytest
from desk import TIDEGATE, AppFolder, Desk, answer_of, until
from test_completion import completed


@pytest.fixture
def held(desk: Desk, request: pytest.FixtureRequest) -> AppFolder:
    """An app whose first rollout is in its step Start, and stays there until it is let go."""
    app = desk.held(request.node.name.replace("_", "-")[5:60])
    assert app.deploy("1", "--detach").code == 0
    app.wait_for_step("Start")
    return app


def newest(app: AppFolder) -> str:
    return str(app.rollouts()[0]["rollout"])


def test_one_that_is_paused_says_so_wherever_it_is_looked_at(desk: Desk, held: AppFolder) -> None:
    name = newest(held)
    answer = desk.type("rollout", "pause", name, "-m", "orders look odd")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (
        f"rollout {name} is paused at Start: what is under way ends, nothing new begins\n"
        f"  next: tidegate rollout resume {name}; tidegate rollout abort {name}\n"
    )
    shown = desk.type("rollout", "show", name).out
    assert ", who paused it: orders look odd\n" in shown.replace("\n    ", " ")
    assert f"  next: tidegate rollout resume {name}   Go on where it was.\n" in shown
    assert (
        f"  next: tidegate rollout abort  {name}   Give up, and go back to where it was." in shown
    )
    assert "who paused it: orders look odd" in desk.type("status", held.name).out
    assert completed(desk, "tidegate rollout resume ") == [name]
    assert name in completed(desk, "tidegate rollout abort ")
    assert desk.type("rollout", "pause", name).out.startswith(f"rollout {name} is paused already")
    held.let_go()
    followed = desk.type("rollout", "resume", name)
    assert followed.code == 0, followed
    assert "resumed by " in followed.out
    assert f"rollout {name} succeeded" in followed.out
    explained = " ".join(desk.type("explain", name).out.split())
    assert "(orders look odd) had it stand still: what was under way could end" in explained


def test_scripts_see_that_it_is_paused(desk: Desk, held: AppFolder) -> None:
    name = newest(held)
    paused = desk.type("rollout", "pause", name, "--json")
    assert (paused.code, paused.json["state"]) == (0, "paused")
    assert paused.json["waiting_for"].endswith(", who paused it")
    assert paused.json["answers"] == ["resume", "abort"]
    aborted = desk.type("rollout", "abort", name, "-m", "wrong version", "--json")
    assert (aborted.code, aborted.json["state"]) == (1, "failed")
    assert "wrong version" in aborted.json["reason"]


def test_whoever_follows_one_that_is_paused_is_told_and_does_not_wait(desk: Desk) -> None:
    app = desk.held("paused-while-followed")
    following = app.follow("1")
    app.wait_for_step("Start")
    name = newest(app)
    desk.type("rollout", "pause", name)
    answer = answer_of(following)
    assert answer.code == 5
    assert "what is under way ends, nothing new begins" in answer.out
    assert f"next: tidegate rollout resume {name}" in answer.out
    assert desk.type("rollout", "abort", name).code == 1


def test_one_that_starts_for_minutes_is_given_up_and_its_processes_are_gone(
    desk: Desk, held: AppFolder
) -> None:
    name = newest(held)
    assert held.processes()
    answer = desk.type("rollout", "abort", name, "-m", "wrong version")
    assert answer.code == 1
    assert "aborted by " in answer.out
    assert "wrong version" in answer.out
    until(lambda: not held.processes(), "what was started to be stopped")


def test_one_that_is_left_as_it_is_says_what_to_do_next(desk: Desk, held: AppFolder) -> None:
    name = newest(held)
    answer = desk.type("rollout", "abort", name, "--no-rollback", "--json")
    assert (answer.code, answer.json["state"]) == (1, "aborted")
    assert answer.json["reason"].endswith("; nothing was undone")
    assert held.processes()
    held.let_go()
    assert held.deploy("2").code == 0


def test_one_that_has_ended_is_refused_with_what_to_type_instead(
    desk: Desk, shop: AppFolder
) -> None:
    (rollout,) = shop.rollouts()
    name = rollout["rollout"]
    for what in ("pause", "resume", "abort"):
        answer = desk.type("rollout", what, name)
        assert (answer.code, answer.out) == (4, "")
        assert answer.err == (
            f"error: rollout {name} has ended\n"
            f"  next: how: tidegate rollout show {name}; to go back to the release before: "
            "tidegate rollback shop -e test\n"
        )


def test_a_second_deployment_is_told_that_the_first_is_paused(desk: Desk, held: AppFolder) -> None:
    name = newest(held)
    desk.type("rollout", "pause", name)
    answer = held.deploy("2")
    assert answer.code == 4
    assert f"go on with it: tidegate rollout resume {name}" in answer.err
    desk.type("rollout", "abort", name)


def test_answers_may_come_from_any_terminal_at_the_same_time(desk: Desk, held: AppFolder) -> None:
    name = newest(held)
    asked = [desk.start(TIDEGATE, "rollout", "abort", name, "--json") for _ in range(2)]
    answers = [answer_of(each) for each in asked]
    assert {answer.code for answer in answers} <= {0, 1, 4}
    ended = [json.loads(answer.out) for answer in answers if answer.code == 1]
    assert ended[0]["state"] == "failed"
