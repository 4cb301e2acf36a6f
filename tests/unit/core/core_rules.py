"""What must hold at every event and after every decision, whatever happens.

Called by `driver.World` with each event before it is applied. What the balancer may be doing is
kept here from the events alone, so that the core's own idea of it is not taken on trust.
"""

import math
from collections.abc import Callable

from core_values import describe

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.decide import decide
from tidegate_controller.core.draft import pending
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.releases import quarantine_of
from tidegate_controller.core.settling import REWRITE, SETTLE_SECONDS


class Rules:
    """`is_well` says whether a place really works, as far as anybody can know; `runs` whether a
    process is there."""

    def __init__(self, is_well: Callable[[t.Place], bool], runs: Callable[[t.Place], bool]) -> None:
        self._is_well, self._runs = is_well, runs
        self._may_serve: set[t.Place] = set()  # places that the balancer may be sending to
        self._idle_since: dict[t.Place, float] = {}  # when one of them surely ceased to be
        self._late: set[t.Place] = set()  # a move that nobody knows the end of sends to these
        self._issued_at: dict[str, float] = {}  # of moves
        self._begun_anew: set[str] = set()  # moves that an earlier controller had begun as well
        self._written: tuple[float, t.Weights] | None = None  # since the last such move

    def see(self, state: t.State, event: ev.Event, now: float) -> None:
        """Check the event against the state before it."""
        if isinstance(event, ev.Started):
            assert state.lock is None or state.lock.by == event.requested_by, "locked"
            active = state.committed[-1].revision if state.committed else None
            assert quarantine_of(state, event.release.revision, event.kind) is None or (
                event.release.revision == active and event.kind != "converge"
            ), "what is quarantined is brought"
            assert state.rollout is None, "two rollouts at a time"
        if isinstance(event, ev.ControllerStarted):
            self._begun_anew |= {each.id for each in pending(state) if each.work.verb == "route"}
        if isinstance(event, ev.ActionIssued):
            self._see_issued(state, event.action, now)
        if isinstance(event, ev.Committed):
            unwell = [p for p in state.rollout.passed if not self._is_well(p)]
            assert unwell == [], "committed to what does not work"
            self._see_committed(state)
        if isinstance(event, ev.ActionEnded):
            action = next(a for a in pending(state) if a.id == event.action)
            if action.work.verb == "route":
                self._see_settled(action, event.outcome == "ok", now)
            if action.work.verb == "route" and event.outcome == "ok":
                self._see_routed(state, action.work, now)

    def _see_settled(self, action: t.Action, ok: bool, now: float) -> None:
        """Written again and read back, long enough after the last time: nothing comes late."""
        weights, since = dict(action.work.weights or {}), self._issued_at[action.id]
        if not ok or action.id in self._begun_anew:
            self._late |= {place for place, share in weights.items() if share}
        if not ok:
            if action.step != REWRITE:  # which would write the same once more
                self._written = None
            return
        at, before = self._written or (math.inf, {})
        certain = action.id not in self._begun_anew
        if certain and since >= at + SETTLE_SECONDS and set(weights) <= self._late | set(before):
            self._idle_since |= dict.fromkeys(self._late - set(weights), now)
            self._late = set()
        self._written = (now, weights)

    def _see_committed(self, state: t.State) -> None:
        """What serves on the nodes that it was about is the release itself, or gone with a disk."""
        rollout = state.rollout
        assert rollout is not None
        serving = [p for p, share in state.settled.items() if share and p.node in rollout.standing]
        right = (rollout.release.revision, None)
        wrong = [p for p in serving if place_of(state, p).revision not in right]
        assert wrong == [], "committed to another release"

    def _see_issued(self, state: t.State, action: t.Action, now: float) -> None:
        work, opened = action.work, pending(state)
        self._see_unfrozen(state, action, now)
        rollout = state.rollout
        assert rollout is None or rollout.paused is None, "issued while paused"
        if rollout is not None and rollout.waiting is not None and "/" not in action.step:
            assert rollout.waiting.kind == "question", "a person decides what follows"
        assert action.fence == (state.epoch, state.version + 1)
        assert action.id not in {other.id for other in opened}
        assert work.at == t.CONTROLLER or work.at not in {other.work.at for other in opened}
        assert action.deadline > now
        if work.verb in ("start", "stop"):
            self._see_disturbed(state, work, now)
        if work.verb == "start" and in_place(state):
            assert not self._runs(work.place.other), "two releases run on a node at once"
        if work.verb == "route":
            self._issued_at[action.id] = now
            others = [a for a in opened if a.work.verb == "route"]
            assert others == [], "two moves at a time: which is the last?"
            shares = {p for p, share in work.weights.items() if share}
            if work.prove:
                gaining = [p for p in shares if not state.settled.get(p)]
                assert all(place_of(state, p).healthy is True for p in gaining), "not proven"
            if in_place(state):
                self._see_floor(state, work)
            self._see_spared(state, shares)
            self._see_way_back(state, action.step, shares)
            self._may_serve |= shares

    def _see_unfrozen(self, state: t.State, action: t.Action, now: float) -> None:
        """In a freeze nothing is started, unless nodes are out of service until it is, and no
        traffic moves, but on the way back, and away from nodes that have failed."""
        rollout = state.rollout
        if rollout is None or rollout.undoing or rollout.kind == "rollback" or rollout.unfrozen_by:
            return
        step = rollout.plan[rollout.cursor] if rollout.cursor < len(rollout.plan) else None
        if step is None or step.id != action.step or action.work.verb not in ("start", "route"):
            return
        windows = [*state.calendar.windows, *([state.freeze] if state.freeze else [])]
        frozen = any(window.begins <= now < window.ends for window in windows)
        away = action.work.verb == "route" and not action.work.prove
        assert not frozen or away or in_place(state), "moved in a freeze"

    def _see_spared(self, state: t.State, shares: set[t.Place]) -> None:
        """Nodes that were dropped get nothing that they had not before, and are well there, but
        where nothing else has any; of the nodes that a converge is not about, none loses any."""
        rollout = state.rollout
        if rollout is None:
            return
        if not rollout.undoing and not {here.node for here in shares} <= rollout.dropped.keys():
            for here in shares:
                if here.node in rollout.dropped:
                    assert rollout.before.get(here), f"{here} was dropped and gets traffic"
                    kept = in_place(state) and state.settled.get(here)  # lest the floor be broken
                    well = place_of(state, here).healthy
                    assert well is True or (kept and well is None), f"{here}: is not well"
        if rollout.kind == "converge":
            others = {p for p, share in rollout.before.items() if share and _leads_there(state, p)}
            lost = {p for p in others - shares if p.node not in rollout.nodes}
            assert not lost, "a converge takes traffic from others"

    def _see_way_back(self, state: t.State, step: str, shares: set[t.Place]) -> None:
        """It takes no traffic from what is known to be well, where nothing else is. In place a node
        is drained to be treated, if the floor allows that."""
        rollout = state.rollout
        if rollout is None or not rollout.undoing or rollout.below_floor or not shares:
            return
        well = {p for p, share in state.settled.items() if share and _is_well(state, p)}
        if well and "/" not in step and not step.startswith("drain-back"):
            assert any(_is_well(state, p) for p in shares), "traffic leaves all that is well"

    def _see_disturbed(self, state: t.State, work: t.Work, now: float) -> None:
        """A place is started or stopped: it must be free of traffic, for certain."""
        assert state.weights is not None, "traffic unknown"
        assert not state.weights.get(work.place), f"{work.verb} under traffic"
        assert work.place not in self._may_serve, f"{work.verb}: may still get traffic"
        assert work.place not in self._late, f"{work.verb}: a move may come late"
        idle_since = self._idle_since.get(work.place, float("-inf"))
        paces = [state.pace, *([state.rollout.pace] if state.rollout else [])]
        drain_seconds = min(pace.drain_seconds for pace in paces)
        assert now >= idle_since + drain_seconds, "not drained"

    def _see_floor(self, state: t.State, work: t.Work) -> None:
        """A move that takes nodes out of service leaves enough of the others in it."""
        rollout = state.rollout
        serving = {p.node for p, share in state.settled.items() if share and self._is_well(p)}
        left = {p.node for p, share in work.weights.items() if share and self._is_well(p)}
        kept = {p.node for p, share in work.weights.items() if share}
        for zone in set(rollout.zones.values()):
            nodes = {node for node in rollout.zones if rollout.zones[node] == zone}
            least = least_of(rollout.spec.waves.min_in_service, len(nodes))
            if rollout.undoing:  # it may have been less at the start
                least = min(least, len({p.node for p in rollout.before} & nodes))
            if (serving - kept) & nodes and not rollout.below_floor:
                assert len(left & nodes) >= least, "too few in service"

    def see_done_by_hand(self, state: t.State, work: t.Work, now: float) -> None:
        """A person who says `continue` has moved the traffic."""
        if work.verb == "route":
            self._see_routed(state, work, now)

    def _see_routed(self, state: t.State, work: t.Work, now: float) -> None:
        rollout = state.rollout
        shares = {p for p, share in work.weights.items() if share}
        if rollout is not None and not rollout.undoing:
            had = {*rollout.before, *state.settled, *self._late}  # or may have had
            assert shares - had <= rollout.passed, "traffic went to a place that never passed"
        self._idle_since |= dict.fromkeys(self._may_serve - shares, now)
        self._may_serve = shares


def _leads_there(state: t.State, place: t.Place) -> bool:
    """Not so after a disk was replaced."""
    return place_of(state, place).address is not None


def _is_well(state: t.State, place: t.Place) -> bool:
    return place_of(state, place).healthy is True


def in_place(state: t.State) -> bool:
    rollout = state.rollout
    return rollout is not None and bool(rollout.zones) and any(rollout.before.values())


def least_of(share: str | None, nodes: int) -> int:
    """How many of the nodes of a zone must stay in service; what counts over all is not looked
    at."""
    if share is None:
        return 0
    if share.endswith("%"):
        return math.ceil(int(share[:-1]) * nodes / 100)
    return int(share)


def check_rest(state: t.State, input_: i.Input, now: float) -> None:
    """After a decision nothing is left to do at this moment, and something is awaited."""
    again = decide(state, i.Result(action="never-issued", outcome="failed"), now)
    assert again == (), f"a stale result did {[describe(event) for event in again]}"
    known = {chore.id for chore in state.chores}
    assert {action.step for action in state.chores_open.values()} <= {*known, REWRITE}
    assert len(known) == len(state.chores), "two chores of one name"
    if isinstance(input_, i.Tick):
        due = next_deadline(state)
        assert due is None or due > now, "a busy loop"
        assert decide(state, i.Tick(), now) == ()
    rollout = state.rollout
    if rollout is not None and rollout.waiting is None and rollout.paused is None:
        assert next_deadline(state) is not None, "a rollout that waits for ever"
