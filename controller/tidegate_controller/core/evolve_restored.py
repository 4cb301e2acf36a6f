"""What a restored log means for a stream, until a person has decided and from then on.

Called by `evolve` alone; the decisions are in `reconciling`.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import remembered, replace
from tidegate_controller.core.commitment import listed
from tidegate_controller.core.facts import has_past


def restored(state: t.State, event: ev.Restored, clock: float) -> t.State:
    """What was under way when the backup was made is not, whatever has become of it."""
    spec = state.spec or (state.rollout.spec if state.rollout else None)
    return replace(
        state,
        log_id=event.log_id,
        spec=spec,
        chores=(),
        chores_open={},
        queue=(),
        reconciling=has_past(state),
    )


def adopted(state: t.State, event: ev.Adopted, clock: float) -> t.State:
    """From here on the stream is like any other."""
    committed, on = state.committed, state.committed_on
    if event.release is not None and event.release not in committed[-1:]:
        committed, on = listed(state, event.release, event.nodes)
    idle = {place for place in (*state.settled, *state.places) if not event.weights.get(place)}
    return replace(
        state,
        reconciling=False,
        unsettled=frozenset(),  # nor what was written last: a person has looked
        may_empty=False,
        rewrite=None,
        left=frozenset(),
        idle_since=dict.fromkeys(sorted(idle), clock),  # nobody knows since when: by now they are
        committed=committed,
        committed_on=on,
        members=event.nodes,
        journals={**state.journals, **event.journals},
        weights=event.weights if event.is_all else None,  # then the next rollout settles it first
        settled=event.weights,
        routed=event.routed,
        debts=event.debts,
        owed=event.owed,
        requests=remembered(state, event.request_id, ""),
    )
