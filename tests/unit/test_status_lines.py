"""`tidegate status` in words."""

from tidegate_controller.cli.status import status_lines
from tidegate_controller.documents import AppStatus, RolloutRef, Status

WAITS = "web-1 did not say whether migrate.sh was done; look at its database, then answer"


def waiting() -> Status:
    rollout = RolloutRef(id="r20", state="paused", version="7", waiting_for=WAITS)
    app = AppStatus(
        app="kv",
        environment="test",
        version="6",
        digest=None,
        rollout=rollout,
        nodes=[],
        unfinished=0,
        notes=["a note that is so long that it does not fit into so narrow a terminal"],
    )
    return Status(apps=[app])


def test_what_a_person_is_to_do_is_wrapped_and_not_cut() -> None:
    lines = status_lines(waiting(), 40)
    assert lines[1:8] == [
        "rollout r20 to 7 waits for a person:",
        "    web-1 did not say whether migrate.sh",
        "    was done; look at its database, then",
        "    answer",
        "  next: tidegate rollout show r20",
        "a note that is so long that it does not",
        "    fit into so narrow a terminal",
    ]


def test_without_a_width_a_sentence_is_one_line() -> None:
    assert status_lines(waiting())[1] == f"rollout r20 to 7 waits for a person: {WAITS}"
