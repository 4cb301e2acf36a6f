"""What keeps nodes from paying what they owe, in words: what `core.debts.may_converge` goes by.

Called by `owes` for those who look, and by `reminders` for those who do not.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.debts import debtors
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.releases import active_release, quarantine_of
from tidegate_controller.wire import split_stream


def why_unpaid(state: t.State) -> str:
    """What somebody has to do before anything is paid here; empty where time alone will do."""
    if state.lock is not None:
        return f"not paid while {state.lock.by} holds the lock"
    if state.reconciling:
        app, environment = split_stream(state.stream)
        decide = f"tidegate controller reconcile {app} -e {environment}"
        return f"not paid until it is decided what counts after the restore: {decide}"
    if state.weights is None or t.CONTROLLER in state.debts:
        return "not paid while nobody knows where traffic goes; a deploy or rollback settles that"
    release = active_release(state)
    if release is None:
        return ""
    if release.incomplete:
        return (
            f"not paid before {release.version} is deployed from its artifact, which the log lacks"
        )
    if quarantine_of(state, release.revision, "converge") is not None:
        return f"not paid while {release.version} is quarantined"
    return ""


def unpaid(state: t.State) -> str:
    """Who owes a release and cannot pay, and what keeps them from it; empty where nothing does."""
    owing = sorted(debtors(state)) if state.rollout is None else []
    why = why_unpaid(state) if owing else ""
    if not why:
        return ""
    verb = "owes" if len(owing) == 1 else "owe"
    return f"{first_few(owing, NODES_TOLD)} {verb} a release of {state.stream}, {why}"
