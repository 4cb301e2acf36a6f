"""What each node owes, in words, as `tidegate status` has it under OWES. Called by `views`."""

from collections import defaultdict
from collections.abc import Mapping

from tidegate_controller.core import types as t
from tidegate_controller.core.chores import chore_opens_at
from tidegate_controller.core.debts import debtors
from tidegate_controller.core.facts import astray, strays
from tidegate_controller.core.unpaid import why_unpaid
from tidegate_controller.engine import Engine

# Chores of a slot, where its agent is away: what is to be done first when it is back.
OVERDUE: dict[t.Verb, str] = {
    "stop": "{} is to be stopped, once the agent is back",
    "switch": "`current` is to name {}, once the agent is back",
}


def owed_by_node(engine: Engine, state: t.State) -> Mapping[str, list[str]]:
    """By node, of all at once: the stream is looked through as often for one as for thousands."""
    owed: defaultdict[str, list[str]] = defaultdict(list)
    for place in strays(state):
        owed[place.node].append(f"{place.slot} runs without traffic; the next deployment stops it")
    for chore in state.chores:
        work = chore.work
        if work.place is None or work.at in engine.fleet.sessions:
            continue
        if chore_opens_at(state, chore) <= engine.now():
            owed[work.at].append(OVERDUE[work.verb].format(work.place.slot))
    for place in astray(state):
        owed[place.node].append(
            f"`current` does not name {place.slot}, which serves; the next deployment mends that"
        )
    owing, kept = debtors(state), why_unpaid(state) if state.rollout is None else ""
    for key, debt in sorted(state.debts.items()):
        why = f"; {kept}" if kept and key in owing else ""
        owed[t.Place(key).node].append(debt + why)
    return owed
