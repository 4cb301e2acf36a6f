"""A rollout as `rollout show` and `rollout list` put it for people; `--json` stays as it was."""

from typing import Any

import pytest

from tidegate_controller.cli.rollouts import rollout_lines
from tidegate_controller.cli.works import state_words
from tidegate_controller.documents import ReleaseView, RolloutView, StepView

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


def test_of_one_that_has_never_begun_nobody_says_what_was_there_before() -> None:
    head = rollout_lines(rollout(previous=None, steps=[], state="succeeded"))[0]
    assert head == "rollout r7: deploy shop in prod, to 7, canary"
    assert rollout_lines(rollout(previous=None))[0].endswith("nothing -> 7, canary")
    assert rollout_lines(rollout())[0].endswith("6 -> 7, canary")
