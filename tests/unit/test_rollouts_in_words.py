"""A rollout as `rollout show` and `rollout list` put it for people; `--json` stays as it was."""

from typing import Any

import pytest

from tidegate_controller.cli.rollouts import rollout_lines
from tidegate_controller.cli.works import state_words
from tidegate_controller.documents import NodeStepView, ReleaseView, RolloutView, StepView

NEW = ReleaseView(version="7", digest="sha256:7")
OLD = ReleaseView(version="6", digest="sha256:6")


def rollout(**more: Any) -> RolloutView:
    given: dict[str, Any] = {
        "rollout": "r7",
        "app": "shop",
        "environment": "prod",
        "strategy": "canary",
        "kind": "deploy",
        "state": "running",
        "reason": "",
        "waiting_for": None,
        "release": NEW,
        "previous": OLD,
        "requested_by": "ada",
        "started_at": "2026-11-24T09:00:00Z",
        "ended_at": None,
        "steps": [StepView(name="Preflight", id="preflight")],
    }
    return RolloutView(**{**given, **more})


@pytest.mark.parametrize(
    ("answers", "words"),
    [(["approve", "abort"], "awaiting approval"), (["promote", "abort"], "awaiting promotion")],
)
def test_people_read_which_of_the_two_answers_is_awaited(answers: list[str], words: str) -> None:
    view = rollout(state="awaiting_approval", answers=answers)
    assert state_words(view) == words
    assert view.state == "awaiting_approval", "what scripts know"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["resume", "abort"], "paused"),
        (["continue", "retry", "abort"], "waiting"),
        (["promote", "abort"], "waiting"),
    ],
)
def test_only_what_somebody_has_paused_is_called_so(answers: list[str], words: str) -> None:
    assert state_words(rollout(state="paused", answers=answers)) == words


def test_of_one_that_has_never_begun_nobody_says_what_was_there_before() -> None:
    head = rollout_lines(rollout(previous=None, steps=[], state="succeeded"))[0]
    assert head == "rollout r7: deploy shop in prod, to 7, canary"
    assert rollout_lines(rollout(previous=None))[0].endswith("nothing -> 7, canary")
    assert rollout_lines(rollout())[0].endswith("6 -> 7, canary")


# --- What an answer means ------------------------------------------------------------------------


def meanings(*answers: str, at: str = "start", **more: Any) -> list[str]:
    """What `rollout show` offers, without the command."""
    step = StepView(name="Step", id=at, state="running")
    waits = {"waiting_for": "you", "awaits": "person"}
    view = rollout(steps=[step], answers=list(answers), **{**waits, **more})
    lines = [line for line in rollout_lines(view) if line.startswith("  next: ")]
    return [line.removeprefix("  next: tidegate rollout ") for line in lines]


def test_what_is_in_doubt_counts_as_done_if_somebody_says_so() -> None:
    assert meanings("continue", "retry", asks="question") == [
        "continue r7   Go on: it was done.",
        "retry    r7   Do once more what is in doubt.",
    ]


def test_to_continue_without_nodes_names_all_of_them() -> None:
    nodes = [f"web-{number}" for number in range(1, 13)]
    (said, again) = meanings("continue", "retry", asks="failure", asks_about=sorted(nodes))
    assert said == f"continue r7   Go on, and leave out {', '.join(nodes)}."
    assert again == "retry    r7   Try once more what has failed, and only that."


@pytest.mark.parametrize("kind", ["question", "failure"])
@pytest.mark.parametrize("step", ["check", "check-2"])
def test_of_a_check_it_counts_as_passed(step: str, kind: str) -> None:
    assert meanings("continue", "retry", at=step, asks=kind) == [
        "continue r7   Count the check as passed, and go on.",
        "retry    r7   Put the check once more.",
    ]


def test_in_a_freeze_the_reason_that_is_wanted_is_in_what_is_offered() -> None:
    assert meanings("promote", "abort", awaits="freeze") == [
        "promote r7 -m REASON   Go on now, in spite of the freeze.",
        "abort   r7             Give up, and go back to where it was.",
    ]
    assert meanings("promote", asks="promotion") == [
        "promote r7   Say yes: the next wave may get traffic."
    ]


def test_what_is_awaited_is_known_from_its_kind_whatever_its_words_are() -> None:
    words = "the freeze until Monday"
    frozen = rollout(waiting_for=words, awaits="freeze", answers=["promote"])
    assert rollout_lines(frozen)[1] == f"  waits for {words}"
    paused = rollout(waiting_for=words, awaits="person", answers=["promote"])
    assert rollout_lines(paused)[1] == f"  waits for a person: {words}"
    assert "-m REASON" not in rollout_lines(paused)[-1]


# --- Endings and times ---------------------------------------------------------------------------


def test_how_it_ended_is_said_once() -> None:
    given_up = rollout(state="aborted", reason="aborted by ada: stay; nothing was undone")
    assert rollout_lines(given_up)[1] == "  aborted by ada: stay; nothing was undone"
    failed = rollout(state="failed", reason="Start failed: n1/green: exited")
    assert rollout_lines(failed)[1] == "  failed: Start failed: n1/green: exited"
    assert rollout_lines(rollout(state="succeeded"))[1] == "  succeeded"


def test_a_step_that_was_paused_is_not_told_as_slow() -> None:
    soak = StepView(name="Soak", id="soak", state="ok", seconds=38.2, paused_seconds=35.0)
    assert "  Soak: ok 3.2 s, and 35 s paused" in rollout_lines(rollout(steps=[soak]))


@pytest.mark.parametrize(
    ("state", "seconds", "tries", "words"),
    [
        ("ok", 38.2, 1, "ok 38.2 s"),
        ("ok", 38.2, 5, "ok 38.2 s, after 5 tries"),
        ("running", None, 5, "running, at try 5"),
    ],
)
def test_a_step_that_was_tried_again_says_how_often(
    state: str, seconds: float | None, tries: int, words: str
) -> None:
    nodes = {"controller": NodeStepView(state=state, tries=tries)}
    back = StepView(name="Shift back", id="back", state=state, seconds=seconds, nodes=nodes)
    assert f"  Shift back: {words}" in rollout_lines(rollout(steps=[back]))
