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
            f"error: rollout {name} has ended\n  next: how: tidegate rollout show {name}\n"
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


# --- Approval ------------------------------------------------------------------------------------


def awaiting(desk: Desk, name: str) -> tuple[AppFolder, str]:
    """Version 2 runs beside 1, and waits for somebody to say yes; its rollout."""
    app = desk.app(name, environment={"approval": True})
    assert app.deploy("1", "--detach").code == 0
    until(lambda: app.newest()["state"] == "awaiting_approval", "the first to ask")
    assert desk.type("rollout", "approve", newest(app)).code == 0
    assert app.deploy("2").code == 5
    return app, newest(app)


def test_a_deployment_waits_for_approval_and_goes_on_with_it(desk: Desk) -> None:
    app, name = awaiting(desk, "approved")
    shown = desk.type("rollout", "show", name)
    assert "  waits for a person: approval, before version 2 gets any traffic\n" in shown.out
    assert f"  next: tidegate rollout approve {name}   Say yes: it may get traffic.\n" in shown.out
    assert "version 1 " in desk.type("status", app.name).out
    app.assert_serving("1")
    answer = desk.type("rollout", "approve", name, "-m", "looked at it")
    assert answer.code == 0
    assert ": looked at it" in answer.out
    app.assert_serving("2")
    shown = desk.type("rollout", "show", name).out
    assert "  Approve: " in shown
    assert " said yes, " in shown
    assert "(looked at it) said yes." in " ".join(desk.type("explain", name).out.split())


def test_scripts_see_what_is_asked_and_answer_that(desk: Desk) -> None:
    app, name = awaiting(desk, "approved-by-a-script")
    view = desk.type("rollout", "show", name, "--json").json
    assert (view["state"], view["answers"]) == ("awaiting_approval", ["approve", "abort"])
    (ref,) = desk.type("status", app.name, "--json").json["apps"]
    assert ref["rollout"]["state"] == "awaiting_approval"
    wrong = str(view["question"] + 1)
    refused = desk.type("rollout", "approve", name, "--question", wrong)
    assert (refused.code, refused.out) == (4, "")
    assert f"look at it again: tidegate rollout show {name}" in refused.err
    said = desk.type("rollout", "approve", name, "--question", str(view["question"]), "--json")
    assert (said.code, said.json["state"]) == (0, "succeeded")
    assert [each["step"] for each in said.json["approvals"]] == ["Approve"]
    late = desk.type("rollout", "approve", name)
    assert late.code == 4


def test_what_is_not_approved_is_given_up(desk: Desk) -> None:
    app, name = awaiting(desk, "not-approved")
    answer = desk.type("rollout", "abort", name, "--json")
    assert (answer.code, answer.json["state"]) == (1, "rolled_back")
    app.assert_serving("1")


def test_a_soak_is_cut_short_by_who_has_seen_enough(desk: Desk) -> None:
    app = desk.app("promoted", rollout={"soak": "1h"})
    following = app.follow("1")
    app.wait_for_step("Soak")
    answer = desk.type("rollout", "promote", newest(app), "-m", "seen enough")
    assert answer.code == 0
    assert "promoted by " in answer.out
    assert answer_of(following).code == 0


def test_a_deployment_that_was_given_up_is_made_once_more(desk: Desk, held: AppFolder) -> None:
    name = newest(held)
    assert desk.type("rollout", "abort", name).code == 1
    assert name in completed(desk, "tidegate rollout retry ")
    held.let_go()
    again = desk.type("rollout", "retry", name, "-m", "now it may", "--json")
    assert (again.code, again.json["state"]) == (0, "succeeded")
    assert again.json["message"] == f"retry of {name}: now it may"
    assert again.json["rollout"] != name
    refused = desk.type("rollout", "retry", again.json["rollout"])
    assert refused.code == 4
    assert "has succeeded: there is nothing to retry" in refused.err


def test_what_nobody_has_approved_makes_room_for_the_next(desk: Desk) -> None:
    app, name = awaiting(desk, "superseded")
    refused = app.deploy("3")
    assert refused.code == 4
    assert f"rollout {name} to version 2 waits for a person" in refused.err
    answer = app.deploy("3", "--supersede", "--json")
    assert (answer.code, answer.json["state"]) == (5, "awaiting_approval")
    former = desk.type("rollout", "show", name, "--json").json
    assert former["state"] == "rolled_back"
    assert former["reason"].endswith(": superseded by version 3")
    assert desk.type("rollout", "approve", newest(app)).code == 0
    app.assert_serving("3")
