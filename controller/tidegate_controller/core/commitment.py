"""What a rollout leaves in the state once it has succeeded. Called by `evolve` alone."""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import RELEASES_KEPT, replace


def commit(state: t.State, rollout: t.Rollout) -> t.State:
    if rollout.kind == "converge":
        return _pay(state, rollout)
    unpaid: dict[str, str] = {}
    members = (*rollout.nodes, *rollout.absent)
    if rollout.kind == "rollback":  # it may leave out nodes; a deployment treats all there are
        others = (k for k in state.debts if t.Place(k).node not in rollout.nodes)
        unpaid, members = {k: state.debts[k] for k in others}, state.members
    committed, committed_on = listed(state, rollout.release, rollout.standing)
    return replace(
        state,
        members=members,
        committed=committed,
        committed_on=committed_on,
        left=frozenset(),
        debts={**unpaid, **rollout.absent},
        owed={node: owed for node, owed in state.owed.items() if node in unpaid},
        spec=rollout.spec,
    )


def listed(
    state: t.State, release: t.Release, nodes: tuple[str, ...]
) -> tuple[tuple[t.Release, ...], tuple[tuple[str, ...], ...]]:
    """`State.committed` and `committed_on` with this one as the last. Each is listed once: however
    often one is deployed, what to go back to stays."""
    before = zip(state.committed, state.committed_on, strict=True)
    others = [(each, on) for each, on in before if each.revision != release.revision]
    kept = [*others, (release, nodes)][-RELEASES_KEPT:]
    return tuple(each for each, _ in kept), tuple(on for _, on in kept)


def _pay(state: t.State, rollout: t.Rollout) -> t.State:
    """The release was committed before; now these nodes have it as well."""
    paid = set(rollout.standing)
    *earlier, stood_on = state.committed_on or ((),)
    return replace(
        state,
        committed_on=(*earlier, tuple(sorted(paid.union(stood_on)))),
        debts={key: debt for key, debt in state.debts.items() if t.Place(key).node not in paid},
        owed={node: owed for node, owed in state.owed.items() if node not in paid},
    )
