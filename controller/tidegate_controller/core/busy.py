"""Why nothing can be begun in a stream at the moment. Called by `deploying`, and by
`control_requests` for a deployment that is made once more; `controlling` has what may be typed."""

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import split_stream
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.errors import Refused

BESIDE = (
    "; or deploy after it: --queue; or, if it has moved no traffic yet, in its place: --supersede"
)


def typed_answers(rollout: t.Rollout) -> list[str]:
    """What may be typed where a person is asked. An undo is given up as well only by whoever has
    seen what it asks."""
    if rollout.waiting is None:
        return []
    typed = {
        answer: f"tidegate rollout {answer} {rollout.id}" for answer in rollout.waiting.answers
    }
    if rollout.undoing and "abort" in typed:
        typed["abort"] += f" --question {rollout.waiting.id}"
    return list(typed.values())


def refuse_if_busy(state: t.State, *, deploys: bool) -> None:
    """Raises `Refused`, with what may be done about it. `deploys`: by `tidegate deploy`, which
    alone can wait for its turn, or take another's place."""
    if state.reconciling:
        app, environment = split_stream(state.stream)
        raise Refused(
            f"the log was restored from a backup, and nobody has decided yet what counts for {app} "
            f"in {environment}: what it says, or what runs",
            f"see what differs: tidegate controller reconcile; then say it: tidegate controller "
            f"reconcile {app} -e {environment} --adopt, or --converge",
        )
    rollout = state.rollout
    if rollout is None:
        return
    watch = f"tidegate rollout show {rollout.id} --watch"
    beside = BESIDE if deploys else f"; or wait for its end: {watch}"
    if pause := rollout.paused:
        reason = f": {pause.reason}" if pause.reason else ""
        raise Refused(
            f"rollout {rollout.id} to version {rollout.release.version} is paused by {pause.by}"
            f"{reason}; one at a time for an app and environment",
            f"go on with it: tidegate rollout resume {rollout.id}; or give it up: tidegate "
            f"rollout abort {rollout.id}{beside}",
        )
    if wait := rollout.waiting:
        raise Refused(
            f"rollout {rollout.id} to version {rollout.release.version} waits for a person: "
            f"{wait.why}; one at a time for an app and environment",
            f"look at it: tidegate rollout show {rollout.id}; then answer it, with one of: "
            f"{', '.join(typed_answers(rollout))}{beside}",
        )
    if window := rollout.frozen:
        raise Refused(
            f"rollout {rollout.id} to version {rollout.release.version} waits for the end of the "
            f"{window.named}; one at a time for an app and environment",
            f"give it up: tidegate rollout abort {rollout.id}; or have it go on in spite of that: "
            f"tidegate rollout promote {rollout.id} -m REASON{beside}",
        )
    doing = "being undone" if rollout.undoing else "running"
    what = f"rollout {rollout.id} to version {rollout.release.version}"
    if rollout.kind == "converge":
        nodes = first_few(rollout.nodes, NODES_TOLD)
        what = f"rollout {rollout.id}, which brings {nodes} what was owed,"
    raise Refused(
        f"{what} is {doing}; one at a time for an app and environment",
        f"follow it: {watch}; or deploy after it: --queue"
        if deploys
        else f"wait for its end: {watch}",
    )
