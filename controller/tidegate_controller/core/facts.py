"""What the state says: questions with one answer, asked all over the core and by its views."""

from typing import Literal

from tidegate_controller.core import types as t


def split_stream(stream: str) -> tuple[str, str]:
    """App and environment of "app@environment"."""
    app, _, environment = stream.partition("@")
    return app, environment


def join_stream(app: str, environment: str) -> str:
    """The name of their stream, "app@environment"."""
    return f"{app}@{environment}"


def place_of(state: t.State, place: t.Place) -> t.Known:
    return state.places.get(place, t.Known())


def may_run(state: t.State, place: t.Place) -> bool:
    """Whether something may run there. A process that has died is started again by its agent,
    unless it was stopped by command."""
    known = place_of(state, place)
    if known.revision is None:
        return known.running is not False
    return known.running is True or place not in state.stopped


def is_known(state: t.State, node: str) -> bool:
    """Whether the stream knows anything about the node. Asked of every stream whenever an agent
    comes or goes, so nothing is collected for it."""
    names = (node, *(t.Place.of(node, slot) for slot in t.SLOTS))
    return (
        node in state.journals
        or node in state.members
        or any(
            name in known for known in (state.places, state.settled, state.debts) for name in names
        )
        or any(chore.work.at == node for chore in state.chores)
    )


def nodes_concerned(state: t.State, rollout: t.Rollout) -> set[str]:
    """Nodes that matter to the rollout: those that it is about, and those that have traffic, or had
    and may get it back."""
    serving = {place.node for place in (*state.settled, *rollout.before)}
    return serving.union(rollout.nodes)


def has_past(state: t.State) -> bool:
    """Whether anything of the app has reached its nodes, as far as the log knows: not while its
    first deployment waits for its turn. Else there is nothing to decide about after a restore."""
    return bool(state.rollout or state.committed or state.undone or state.places)


def strays(state: t.State) -> list[t.Place]:
    """Places that run without traffic, and that nothing is to stop: such as those of a node that
    was removed and came back. The next deployment retires them."""
    if state.rollout is not None:
        return []
    expected = {chore.work.place for chore in state.chores} | set(state.settled)
    return sorted(
        place
        for place, known in state.places.items()
        if known.running and place not in expected and str(place) not in state.debts
    )


def beside(state: t.State) -> list[t.Place]:
    """Places that run without traffic while a rollout is under way that is not about them: such as
    those that another had started, whose place it has taken. Its end has them stopped."""
    rollout = state.rollout
    if rollout is None:
        return []
    works = [work for step in rollout.plan for work in step.works]
    moved = {place for work in works for place in work.weights or {}}
    its_own = moved.union(rollout.begun, rollout.before, rollout.halted, rollout.passed)
    others = {chore.work.place for chore in state.chores} | {work.place for work in works}
    return sorted(
        place
        for place, known in state.places.items()
        if known.running and place not in its_own | others | set(state.settled)
    )


def astray(state: t.State) -> list[t.Place]:
    """Places that serve while `current` names the node's other slot, and nothing is to mend it:
    after a reboot the wrong one may be started. The next deployment or rollback mends it."""
    if state.rollout is not None:
        return []
    mended = {chore.work.at for chore in state.chores if chore.work.verb == "switch"}
    return sorted(
        place
        for place, share in state.settled.items()
        if share and is_misnamed(state, place) and not mended.union(state.debts) & {place.node}
    )


def is_misnamed(state: t.State, place: t.Place) -> bool:
    """Whether `current` on its node names another slot than this one, or none, as far as known."""
    return state.current.get(place.node, place.slot) != place.slot


def only_leaves(state: t.State, work: t.Work) -> bool:
    """Whether it is a move for nodes that the rollout goes on without: it changes nothing but what
    they have, and takes traffic from what leads nowhere, as where a disk is gone."""
    if state.rollout is None or work.weights is None:
        return False
    now, then = state.settled, work.weights
    changed = {place for place in (*now, *then) if now.get(place, 0) != then.get(place, 0)}
    emptied = {place for place in changed if not then.get(place) and leads_nowhere(state, place)}
    theirs = {place for place in changed if place.node in state.rollout.dropped}
    return bool(theirs) and changed <= theirs | emptied


def gaining(state: t.State, weights: t.Weights) -> list[t.Place]:
    """Places that take traffic by these weights and do not, or elsewhere, by the last ones."""
    return [
        place
        for place, share in weights.items()
        if share
        and not (
            state.settled.get(place) and state.routed.get(place) == place_of(state, place).address
        )
    ]


def misrouted(state: t.State) -> list[t.Place]:
    """Places that have traffic, but at an address that is theirs no more, as far as is known: such
    as those of a node whose own has changed. The next deployment moves it."""
    if state.rollout is not None or state.weights is None or state.reconciling:
        return []
    serving = [place for place, share in state.settled.items() if share]
    return sorted(
        place
        for place in serving
        if place_of(state, place).address not in (None, state.routed.get(place))
    )


def leads_nowhere(state: t.State, place: t.Place) -> bool:
    """Whether nobody knows where the place is: its disk was replaced, or its node removed."""
    return not place_of(state, place).address


def leads_somewhere(state: t.State, weights: t.Weights) -> bool:
    """Whether any of these has traffic and can be reached. Asked after events, of many places:
    mostly the first one says so."""
    return any(share and not leads_nowhere(state, place) for place, share in weights.items())


def reachable(state: t.State, weights: t.Weights) -> t.Weights:
    """The weights without places that lead nowhere."""
    return {place: share for place, share in weights.items() if not leads_nowhere(state, place)}


def is_gone(state: t.State, place: t.Place) -> bool:
    """Whether nothing is there, as after its disk was replaced."""
    known = place_of(state, place)
    return known.revision is None and known.running is False


def has_moved(state: t.State, rollout: t.Rollout) -> bool:
    """Whether the rollout has moved traffic, or may have. That a place has none any more which was
    gone with its disk, or whose node was removed, is no move to the release."""

    def of_others(weights: t.Weights) -> t.Weights:
        known = rollout.before.keys() - rollout.halted
        gone = {place for place in known if leads_nowhere(state, place)}
        return {p: share for p, share in weights.items() if share and p not in gone}

    return state.weights is None or of_others(state.weights) != of_others(rollout.before)


def is_paused(state: t.State) -> bool:
    """Whether an operator has the rollout stand still."""
    return state.rollout is not None and state.rollout.paused is not None


def scripts_at_work(rollout: t.Rollout) -> list[t.Action]:
    """Scripts that run, as far as is known, and that the next command to their node would end."""
    return [action for action in rollout.open.values() if action.work.verb == "task"]


def is_seen(work: t.Work) -> bool:
    """Whether it moves traffic at a balancer that says itself where it goes: then nobody else's
    word counts, since slots are stopped by it."""
    return work.verb == "route" and work.on_unknown == "observe"


def is_repeated(state: t.State, request_id: str) -> bool:
    """The client did not hear the answer and asked again."""
    return bool(request_id) and request_id in state.requests


def waiting_for(rollout: t.Rollout) -> str:
    """Whom or what it waits for, in words; "" where it does not stand still."""
    if rollout.paused is not None:
        reason = f": {rollout.paused.reason}" if rollout.paused.reason else ""
        return f"{rollout.paused.by}, who paused it{reason}"
    if rollout.waiting is not None:
        return rollout.waiting.why
    return f"the {rollout.frozen.named}" if rollout.frozen else ""


def awaits(rollout: t.Rollout) -> Literal["", "person", "freeze"]:
    """Whose word or which end it waits for; "" where it does not stand still. While a person is
    asked, the end of a freeze changes nothing."""
    if rollout.paused is not None or rollout.waiting is not None:
        return "person"
    return "freeze" if rollout.frozen else ""


def waiting_since(rollout: t.Rollout) -> float | None:
    """Engine time since when a person is awaited; None where nobody is."""
    if rollout.paused is not None:
        return rollout.paused.since
    return rollout.waiting.since if rollout.waiting else None


def seconds_left(state: t.State, action: t.Action, now: float) -> float:
    """How long the action may take still. For a paused rollout no time passes."""
    rollout = state.rollout
    if rollout is not None and rollout.paused is not None and action.id in rollout.open:
        return action.deadline - rollout.paused.counted_from
    return action.deadline - now


def find_action(state: t.State, action_id: str) -> t.Action | None:
    """The open action of this id, of the rollout or of a chore."""
    if state.rollout and action_id in state.rollout.open:
        return state.rollout.open[action_id]
    return state.chores_open.get(action_id)
