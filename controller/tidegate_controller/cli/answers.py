"""What a person may type where one is awaited, and what each answer means in this very question.

Used by whatever shows a rollout that waits, and by the help of the commands.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tidegate_controller.cli.phrases import listed, natural
from tidegate_controller.cli.picture import Picture

ANSWERS = {  # whatever is asked
    "continue": "Go on: it was done.",
    "retry": "Do once more what is in doubt.",
    "approve": "Say yes: it may get traffic.",
    "promote": "Go on now: end the soak, or say yes to more traffic.",
    "resume": "Go on where it was.",
    "abort": "Give up, and go back to where it was.",
}
NODES_MAX = 20  # that are named
FAILED = ("failure", "lost")  # kinds of questions: something has failed, and nothing is in doubt


class Asked(NamedTuple):
    """`kind`: of the question. `nodes`: that `continue` goes on without. `step`: its id.
    `awaits`: a person, or the end of a freeze. `question`: its number. `undoing`: an undo asks."""

    kind: str = ""
    nodes: Sequence[str] = ()
    step: str = ""
    awaits: str = ""
    question: int = 0
    undoing: bool = False

    @property
    def is_check(self) -> bool:
        return self.step == "check" or self.step.startswith("check-")

    @property
    def is_freeze(self) -> bool:
        return self.awaits == "freeze"


def asked_in(picture: Picture) -> Asked:
    step = picture.stage.id if picture.stage else ""
    return Asked(
        kind=picture.asked_kind,
        nodes=picture.asked_about,
        step=step,
        awaits=picture.wait.awaits,
        question=picture.question,
        undoing=picture.undoing,
    )


def answer_lines(rollout: str, answers: Sequence[str], asked: Asked) -> list[str]:
    """What a person may type, a line an answer, each with its meaning."""
    typed = dict.fromkeys(answers, rollout)
    if "promote" in typed and asked.is_freeze:
        typed["promote"] = f"{rollout} -m REASON"
    if "abort" in typed and asked.undoing:  # else it says only that all is to go back
        typed["abort"] = f"{rollout} --question {asked.question}"
    width = max(map(len, answers), default=0)
    longest = max(map(len, typed.values()), default=0)
    return [
        f"tidegate rollout {answer:{width}} {rest:{longest}}   {_meaning(answer, asked)}".rstrip()
        for answer, rest in typed.items()
    ]


def _meaning(answer: str, asked: Asked) -> str:
    if answer == "promote" and asked.is_freeze:
        return "Go on now, in spite of the freeze."
    if answer == "abort" and asked.undoing:
        return "Give the undo up too: all stays as it is."
    if answer == "promote" and asked.kind == "promotion":
        return "Say yes: the next wave may get traffic."
    if answer == "continue" and asked.nodes:
        names = listed(sorted(asked.nodes, key=natural), NODES_MAX)
        return f"Go on, and leave out {names}."
    if answer == "continue" and asked.is_check:
        return "Count the check as passed, and go on."
    if answer == "continue" and asked.kind in FAILED:
        return "Go on all the same: what has failed counts as done."
    if answer == "retry" and asked.is_check and not asked.nodes:
        return "Put the check once more."
    if answer == "retry" and asked.kind in FAILED:
        return "Try once more what has failed, and only that."
    return ANSWERS.get(answer, "")
