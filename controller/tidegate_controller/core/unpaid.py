"""What keeps nodes from paying what they owe. Called by `debts`, and for people by `owes` and
`reminders`.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import split_stream
from tidegate_controller.core.releases import active_release, quarantine_of


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
    if release.never_succeeded:
        return (
            f"not paid before {release.version}, which was adopted as some nodes ran it, is "
            "deployed or rolled back from"
        )
    if quarantine_of(state, release.revision, "converge") is not None:
        return f"not paid while {release.version} is quarantined"
    return ""
