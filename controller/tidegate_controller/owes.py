"""What each node owes, in words, as `tidegate status` has it under OWES. Called by `views`."""

from collections import defaultdict
from collections.abc import Mapping

from tidegate_controller.core import types as t
from tidegate_controller.core.chores import chore_opens_at
from tidegate_controller.core.debts import debtors, wrong_after_reboot
from tidegate_controller.core.facts import astray, beside, place_of, strays
from tidegate_controller.core.freezing import freeze_at
from tidegate_controller.core.releases import active_release
from tidegate_controller.core.unpaid import why_unpaid
from tidegate_controller.engine import Engine

# Chores of a slot, where its agent is away: what is to be done first when it is back.
OVERDUE: dict[t.Verb, str] = {
    "stop": "{} is to be stopped, once the agent is back",
    "switch": "`current` is to name {}, once the agent is back",
}


def owed_by_node(engine: Engine, state: t.State) -> Mapping[str, list[str]]:
    """By node, of all at once: the stream is looked through as often for one as for thousands.
    After a restore nobody knows what serves, so nothing is said of slots that do not."""
    owed: defaultdict[str, list[str]] = defaultdict(list)
    owing, active = debtors(state), active_release(state)
    for place in strays(state) if not state.reconciling else ():
        if place.node not in owing:
            text = "runs without traffic; the next deployment stops it"
            owed[place.node].append(f"{place.slot} {text}")
        elif active is None or place_of(state, place).revision != active.revision:
            text = "runs without traffic; it is stopped once the node has what it owes"
            owed[place.node].append(f"{place.slot} {text}")
    for place in beside(state):
        assert state.rollout is not None
        text = f"runs without traffic; it is stopped some time after rollout {state.rollout.id}"
        owed[place.node].append(f"{place.slot} {text}")
    for chore in state.chores:
        work = chore.work
        if work.place is None or work.at in engine.fleet.sessions:
            continue
        if chore_opens_at(state, chore) <= engine.now():
            owed[work.at].append(OVERDUE[work.verb].format(work.place.slot))
    for place in astray(state) if not state.reconciling else ():
        if wrong_after_reboot(place) in state.debts.get(str(place), ""):
            continue  # which is said below
        owed[place.node].append(
            f"`current` does not name {place.slot}, which serves; the next deployment mends that"
        )
    kept = why_unpaid(state)
    for key, debt in sorted(state.debts.items()):
        when = ""
        if key in owing and state.rollout is None:
            when = f"; {kept or _when_paid(engine, state, key, owing[key])}"
        owed[t.Place(key).node].append(debt + when)
    return owed


def _when_paid(engine: Engine, state: t.State, node: str, owed: t.Owed) -> str:
    """What has to happen first, where nothing keeps nodes from paying."""
    if node not in engine.fleet.sessions:
        return "paid by itself once its agent is back"
    if owed.needs_return:
        return "paid once its agent was started anew, or by the next deployment"
    if freeze_at(state, engine.now()):
        return "paid by itself once the freeze is over"
    return "paid by itself" + (", after a pause" if owed.not_before > engine.now() else "")
