"""`tidegate status` in words."""

import pytest

from tidegate_controller.cli.status import status_lines
from tidegate_controller.documents import (
    AppStatus,
    NodeStatus,
    RolloutRef,
    SlotView,
    Status,
    TrafficTrouble,
)

WAITS = "web-1 did not say whether migrate.sh was done; look at its database, then answer"


def waiting() -> Status:
    rollout = RolloutRef(id="r20", state="paused", version="7", waiting_for=WAITS, awaits="person")
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


@pytest.mark.parametrize(
    ("tries", "error", "words"),
    [
        (0, "", ""),
        (1, "it refused", ", which has failed once and is tried again: it refused"),
        (4, "", ", which has failed 4 times and is tried again"),
    ],
)
def test_a_step_that_is_tried_again_and_again_says_so(tries: int, error: str, words: str) -> None:
    view = waiting()
    view.apps[0].rollout = RolloutRef(
        id="r20",
        state="rolling_back",
        version="7",
        step="Shift back",
        tries_failed=tries,
        last_error=error,
    )
    line = f"rollout r20 to 7 is rolling back, at Shift back{words}"
    assert line in status_lines(view)


def test_the_end_of_a_freeze_is_not_awaited_from_a_person() -> None:
    view = waiting()
    rollout = view.apps[0].rollout
    assert rollout is not None
    rollout.waiting_for, rollout.awaits = "the freeze until Monday", "freeze"
    assert status_lines(view)[1] == "rollout r20 to 7 waits for the freeze until Monday"


@pytest.mark.parametrize(
    ("seconds", "when"), [(7.2, ", in 7 s"), (0.4, ", now"), (None, "")], ids=str
)
def test_why_a_slot_that_serves_nobody_runs_on_for_a_while_is_told(
    seconds: float | None, when: str
) -> None:
    view = waiting()
    app = view.apps[0]
    app.unsettled, app.settles_in_seconds, app.notes = ["web-1/blue"], seconds, []
    assert status_lines(view)[-2] == (
        "a move of traffic to web-1/blue may still be done late: nothing is stopped or started "
        f"there before the balancer was written once more{when}"
    )


def test_traffic_that_goes_elsewhere_is_told_with_what_to_type_in_full() -> None:
    view = waiting()
    app = view.apps[0]
    app.digest, app.rollout = "sha256:a", None
    app.traffic_trouble = TrafficTrouble(what="a/blue has moved", mend="so", redeploy=True)
    command = "tidegate deploy -e test --artifact sha256:a --version 6"
    assert status_lines(view)[-2:] == [
        "a/blue has moved",
        f"  next: so: {command}",
    ]
    assert " ".join(" ".join(status_lines(view, 40)[-3:]).split()).endswith(command)


def test_disks_that_are_about_to_be_full_are_told_before_they_are() -> None:
    def node(name: str, free: int | None) -> NodeStatus:
        return NodeStatus(
            node=name,
            connected=True,
            active_slot=None,
            slots={},
            debt=None,
            disk_free_bytes=free,
        )

    view = waiting()
    view.apps[0].nodes = [node("web-1", 300_000_000), node("web-2", 1 << 40), node("web-3", None)]
    assert status_lines(view)[-2:] == [
        "little room for releases: web-1 (300 MB free)",
        "  next: tidegate cleanup kv, or a smaller `releases` under [retention]",
    ]


def test_what_is_owed_is_told_in_full_below_the_table_where_it_has_no_room_in_it() -> None:
    def node(name: str, debt: str | None) -> NodeStatus:
        return NodeStatus(node=name, connected=True, active_slot=None, slots={}, debt=debt)

    view = waiting()
    debt = "7 serves there since r19, which stopped; deploy it again, or go back"
    view.apps[0].nodes = [node("web-1", debt), node("web-2", debt), node("web-3", None)]
    lines = status_lines(view, 60)
    assert [line.split()[-2:] for line in lines if line.startswith("web-")][:3] == [
        ["see", "below"],
        ["see", "below"],
        ["empty", "empty"],
    ]
    assert lines[-2:] == [
        "web-1, web-2 owe: 7 serves there since r19, which stopped;",
        "    deploy it again, or go back",
    ]
    assert status_lines(view)[-3].endswith(debt), "nobody looks, so nothing has to fit"


def test_after_a_restore_nothing_that_may_not_be_so_is_said_of_traffic() -> None:
    slots = {"blue": SlotView(version="6", digest="d", running=False, healthy=False, address=None)}
    node = NodeStatus(node="web-1", connected=True, active_slot="blue", slots=slots, debt=None)
    view = waiting()
    view.apps[0].rollout, view.apps[0].nodes = None, [node]
    assert "with traffic and not well" in status_lines(view)[-2]
    view.apps[0].undecided = True
    assert "with traffic" not in "".join(status_lines(view))


def test_without_a_width_a_sentence_is_one_line() -> None:
    assert status_lines(waiting())[1] == f"rollout r20 to 7 waits for a person: {WAITS}"
