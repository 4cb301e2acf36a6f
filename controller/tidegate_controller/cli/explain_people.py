"""What people have asked of a rollout, in sentences, from the event alone. Used by `explain`, which
adds to it which nodes they were asked about (`left_out`)."""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate_controller.cli.commit import short
from tidegate_controller.cli.phrases import listed
from tidegate_controller.cli.works import freeze_words

Data = Mapping[str, Any]

ANSWERS = {
    "retry": "what was in doubt is done once more",
    "continue": "what was in doubt counts as done",
    "abort": "so the step has failed",
}


def _waiting(data: Data) -> str:
    answers = ", ".join(data["answers"])
    return f"Only a person can go on from here ({answers}): {data['why']}."


def _answered(data: Data) -> str:
    comment = f" ({data['comment']})" if data.get("comment") else ""
    meaning = ANSWERS.get(data["answer"], "")
    if data["answer"] == "continue" and data["left_out"]:
        meaning = f"it goes on without {listed(data['left_out'])}"
    return f"{data['answered_by']}{comment} answered {data['answer']}: {meaning}."


def _approved(data: Data) -> str:
    what = "had it go on now" if data["answer"] == "promote" else "said yes"
    return f"{_who(data, 'comment')} {what}."


def _paused(data: Data) -> str:
    return (
        f"{_who(data)} had it stand still: what was under way could end, nothing new was begun, "
        "and no deadline ran."
    )


def _resumed(data: Data) -> str:
    return f"{_who(data)} had it go on, with as much time as was left."


def _aborted(data: Data) -> str:
    what = "it was to be undone" if data["undo"] else "all was to stay as it is"
    return f"{_who(data)} gave it up; {what}."


def _quarantined(data: Data) -> str:
    found = data["quarantine"]
    what = f"{found['version'] or found['digest']} is not brought there again"
    if data["by"]:
        return f"From now on {what}, until somebody lifts that: {found['why']}."
    return (
        f"That was the release's own fault, so {what}, with these settings, until somebody lifts "
        "that."
    )


def _lifted(data: Data) -> str:
    return f"{_who(data)} lets {data['version'] or data['digest']} be brought there again."


def _queued(data: Data) -> str:
    asked = data["deployment"]
    spec, version = asked["spec"], asked["release"]["version"]
    return (
        f"{asked['requested_by']} asked for a deploy of {spec['app']} in {spec['environment']} to "
        f"{version}{what_for(asked)}. It had to wait for its turn."
    )


def what_for(asked: Data) -> str:
    """Why a rollout was asked for, and of which commit its release is, as far as either is known;
    before the end of a sentence."""
    why = f": {asked['message']}" if asked.get("message") else ""
    return why + (f" (commit {short(asked['commit'])})" if asked.get("commit") else "")


def _who(data: Data, why: str = "reason") -> str:
    """Before what they did; the reason in brackets."""
    return str(data["by"]) + (f" ({data[why]})" if data[why] else "")


def _frozen(data: Data) -> str:
    named = freeze_words(data["window"])
    return (
        f"There was a freeze, so nothing more was started and no traffic moved: the {named}. What "
        "was under way could end, and the step's time stood still."
    )


def _thawed(data: Data) -> str:
    if data["by"]:
        return f"{_who(data)} had it go on in spite of the freeze."
    return "The freeze was over, so it went on by itself, and the step had its time anew."


def _freeze_set(data: Data) -> str:
    window = data["window"]
    reason = f" ({window['reason']})" if window["reason"] else ""
    return f"{window['by']}{reason} asked that nothing be deployed until {window['until']}."


PEOPLE: dict[str, Callable[[Data], str]] = {
    "Waiting": _waiting,
    "Answered": _answered,
    "Approved": _approved,
    "Paused": _paused,
    "Resumed": _resumed,
    "Aborted": _aborted,
    "Quarantined": _quarantined,
    "QuarantineLifted": _lifted,
    "Locked": lambda data: f"{_who(data)} locked it: nobody else was to begin another rollout.",
    "Unlocked": lambda data: f"{_who(data)} unlocked it.",
    "FreezeSet": _freeze_set,
    "FreezeLifted": lambda data: f"{_who(data)} lifted the freeze.",
    "Frozen": _frozen,
    "Thawed": _thawed,
}

# Of a deployment that has not begun, and perhaps never does.
IN_THE_QUEUE: dict[str, Callable[[Data], str]] = {
    "Queued": _queued,
    "Unqueued": lambda data: f"It was not begun: {data['reason']}.",
    "Restored": lambda _: (
        "It was not begun: a backup that was made while it waited has been restored."
    ),
}
