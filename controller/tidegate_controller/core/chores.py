"""Work after a rollout: it holds no lock and waits for its node as long as it takes."""

from collections.abc import Collection, Iterable

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import Draft, pending
from tidegate_controller.core.facts import is_misnamed, may_run
from tidegate_controller.core.guards import opens_at
from tidegate_controller.core.settling import REWRITE, WRITE_SECONDS, rewrite_now

CHORE_SECONDS = 86_400.0  # a chore that was not done by then is a debt, and is asked for again


def _stop(of: str, place: t.Place, not_before: float) -> t.Chore:
    return t.Chore(
        id=f"{of}/stop/{place}",
        work=t.Work(verb="stop", at=place.node, place=place),
        not_before=not_before,
        guards=(t.Guard(kind="no_traffic"),),
    )


def cleanup_chores(
    state: t.State, reason: str, nodes: Iterable[str], now: float
) -> tuple[t.Chore, ...]:
    """Remove what need not be kept from each node, unless that is to be done anyway."""
    waiting = {chore.work.at for chore in state.chores if chore.work.verb == "cleanup"}
    return tuple(
        t.Chore(id=f"{reason}/cleanup/{node}", work=t.Work(verb="cleanup", at=node), not_before=now)
        for node in nodes
        if node not in waiting
    )


def _stopping(state: t.State) -> set[t.Place | None]:
    return {chore.work.place for chore in state.chores if chore.work.verb == "stop"}


def retiring(
    state: t.State, of: str, now: float, at_once: Collection[t.Place] = ()
) -> tuple[t.Chore, ...]:
    """Stop every slot that runs without traffic, after it was kept for a while, unless that is to
    be done anyway. `of`: the rollout or request, for the ids."""
    stopping = _stopping(state)
    return tuple(
        _stop(of, place, now if place in at_once else now + state.pace.keep_old_seconds)
        for place in sorted(state.places)
        if not state.settled.get(place) and may_run(state, place) and place not in stopping
    )


def chores_after_commit(state: t.State, now: float) -> tuple[t.Chore, ...]:
    """Retire every slot that runs without traffic, after it was kept for a while; what was begun
    on a node that was dropped is nothing to go back to, and is stopped at once."""
    rollout = state.rollout
    assert rollout is not None
    failed = {place for place in rollout.begun if place.node in rollout.dropped}
    retire = retiring(state, rollout.id, now, failed)
    serving = [p for p, share in rollout.before.items() if share and state.settled.get(p)]
    names = _name_again(state, sorted(p for p in serving if p.node in rollout.dropped), now)
    return retire + names + cleanup_chores(state, rollout.id, rollout.standing, now)


def _name_again(state: t.State, serving: list[t.Place], now: float) -> tuple[t.Chore, ...]:
    """Make `current` name these places again where it may name another."""
    rollout = state.rollout
    assert rollout is not None
    waiting = {chore.work.place for chore in state.chores if chore.work.verb == "switch"}
    return tuple(
        t.Chore(
            id=f"{rollout.id}/switch/{place}",
            work=t.Work(verb="switch", at=place.node, place=place),
            not_before=now,
        )
        for place in serving
        if is_misnamed(state, place) and place not in waiting
    )


def chores_after_undo(state: t.State, now: float) -> tuple[t.Chore, ...]:
    """Stop what the rollout started; make `current` name the slot that serves, or that did where
    none does. A slot that had traffic before is left alone, even if it was not well enough to get
    it back."""
    rollout = state.rollout
    assert rollout is not None
    served = [place for place, share in rollout.before.items() if share]
    serving = [place for place, share in state.settled.items() if share]
    named = {place.node: place for place in (*served, *serving)}
    chores = list(_name_again(state, sorted(named.values()), now))
    left_alone = _stopping(state).union(served)
    moved = bool(rollout.plan)  # traffic had to be moved back, so it has to drain
    drained = now + (rollout.pace.drain_seconds if moved else 0.0)
    ours = {release.revision for release in (*state.committed, *state.undone)}
    for place, known in sorted(state.places.items()):
        if place in left_alone or not may_run(state, place):
            continue
        if state.weights is not None and state.settled.get(place):
            continue  # it serves: the next rollout finds it so
        if place in rollout.begun:
            chores.append(_stop(rollout.id, place, drained))
        elif known.revision in ours:  # what somebody else has put there is not ours to stop
            chores.append(_stop(rollout.id, place, now + state.pace.keep_old_seconds))
    stopped_by = drained + state.pace.drain_seconds
    # What was only prepared takes room as well: releases that fail again and again would fill it.
    # A migration that may go on, as after an abort, is not to be overtaken, which ends it.
    hooks = rollout.release.settings.hooks
    every = hooks.migrate == "every-node"
    running = every or (hooks.migrate == "once" and not rollout.blame)  # nobody's fault: an abort
    if rollout.kind == "deploy" and running and not rollout.begun:
        stopped_by += hooks.migrate_seconds
    prepared = [node for node in rollout.nodes if node in rollout.prepared]
    chores += cleanup_chores(state, rollout.id, prepared, stopped_by)
    return tuple(chores)


def waiting_chores(state: t.State) -> list[t.Chore]:
    """Chores that may be issued once their time has come: none where an action is open."""
    busy = {action.work.at for action in pending(state)}
    return [chore for chore in state.chores if chore.work.at not in busy]


def chore_opens_at(state: t.State, chore: t.Chore) -> float:
    """Engine time from which the chore may be issued, if nothing else changes."""
    times = [opens_at(state, guard, chore.work) for guard in chore.guards]
    return max([chore.not_before, *times])


def issue_chores(draft: Draft) -> None:
    """Issue whatever is due, one a node at a time."""
    rewrite = rewrite_now(draft.state)
    if rewrite is not None and draft.state.rewrite_at <= draft.now:
        seconds = WRITE_SECONDS + (rewrite.traffic.work_seconds if rewrite.traffic else 0.0)
        draft.issue(REWRITE, 0, rewrite, draft.now + seconds)
    busy: set[str] = set()
    for chore in waiting_chores(draft.state):
        if chore.work.at not in busy and chore_opens_at(draft.state, chore) <= draft.now:
            busy.add(chore.work.at)
            draft.issue(chore.id, 0, chore.work, draft.now + CHORE_SECONDS)


def give_way(draft: Draft) -> None:
    """Traffic is moved elsewhere now: what was to be written once more is not, lest it comes
    after."""
    for action in list(draft.state.chores_open.values()):
        if action.step == REWRITE:
            draft.emit(ev.ActionEnded(action=action.id, outcome="cancelled", error="it moves on"))
