"""A world around the core: nodes and a balancer that answer, a clock that moves when told to.

Every input goes through `World.feed`, which also checks what must hold whatever happens: the
events alone lead to the draft's state, they survive JSON, and `core_rules` is not broken. Tests say
what happens; `World` does the rest.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from core_rules import Rules, check_rest
from core_values import (
    DOWN,
    GRACE_SECONDS,
    PACE,
    POLICY,
    SETTINGS,
    TRAFFIC,
    WAVES,
    describe,
    place,
    release,
    reread,
    sharing,
)

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.decide import _advance, _take, decide
from tidegate_controller.core.draft import Draft, pending
from tidegate_controller.core.evolve import evolve
from tidegate_controller.core.freezes import Calendar, Window
from tidegate_controller.core.spec import Check, Pace, Policy, Settings, Spec, Traffic, Waves
from tidegate_controller.core.works import work_now

NO_CHECKS: Mapping[str, Check] = {}
MOVES_MAX = 2000
SILENCE = "silence"  # a fate: no answer at all

Fates = dict[str, t.Outcome | str]


class World:
    """One stream, its nodes and its balancer. `restart_after` is the input after which the
    controller starts anew once, with its agents connected (`reconnect`) or coming back after."""

    def __init__(
        self,
        nodes: Iterable[str] = ("a", "b"),
        pace: Pace = PACE,
        restart_after: int | None = None,
        reconnect: bool = True,
        settings: Settings = SETTINGS,
        strategy: str = "blue-green",
        waves: Waves = WAVES,
        labels: Mapping[str, Mapping[str, str]] | None = None,
        slots: Mapping[str, Mapping[str, str]] | None = None,
        approval: bool = False,
        policy: Policy = POLICY,
        checks: Mapping[str, Check] = NO_CHECKS,
    ) -> None:
        self.slots = slots
        self.windows: tuple[Window, ...] = ()
        self.nodes = list(nodes)
        self.strategy, self.waves, self.labels = strategy, waves, labels or {}
        self.policy, self.checks = policy, checks
        self.settings = settings
        self.approval = approval
        self.pace = pace
        self.state = t.State()
        self.now = 1000.0
        self.log: list[tuple[float, ev.Event]] = []
        self.causes: dict[int, str] = {}  # position of a decision's first event -> its input
        self.fates: Fates = {}
        self.gone: set[str] = set()
        self.machines: dict[t.Place, t.Known] = {}  # what really runs
        self.currents: dict[str, str] = {}
        self.journals = {node: f"journal-{node}" for node in self.nodes}
        self._rules = Rules(self._is_well, self._is_up)
        self.numbers = {"rollout": 0, "epoch": 0, "feed": 0}
        self.restart_after, self.reconnect = restart_after, reconnect
        self.restart()

    # --- One input ----------------------------------------------------------------------------

    def feed(self, input_: i.Input) -> tuple[ev.Event, ...]:
        """Decide and evolve; the events. Checks everything that must hold whatever the input."""
        events = decide(self.state, input_, self.now)
        draft = Draft(self.state, self.now)
        _take(draft, input_)
        _advance(draft)
        if events:
            self.causes[len(self.log)] = type(input_).__name__
        for event in events:
            assert reread(event) == event
            self._rules.see(self.state, event, self.now)
            self.state = evolve(self.state, reread(event), self.now)
            self.log.append((self.now, event))
        assert self.state == draft.state
        assert reread(self.state) == self.state
        check_rest(self.state, input_, self.now)
        self.numbers["feed"] += 1
        if self.numbers["feed"] == self.restart_after:
            self.restart(connected=None if self.reconnect else ())
        return events

    def _is_well(self, here: t.Place) -> bool:
        """What the slot's agent would say, if it can."""
        return here.node in self.gone or self.machines.get(here, DOWN).healthy is True

    def _is_up(self, here: t.Place) -> bool:
        return here in self.machines and self.machines[here].running is True

    # --- What operators and controllers do ----------------------------------------------------

    def members(self, nodes: Iterable[str] | None = None) -> tuple[i.Member, ...]:
        return tuple(
            i.Member(
                node=node,
                connected=node not in self.gone,
                journal_id=self.journals[node],
                slots=self.slots_of(node),
                labels=self.labels.get(node, {}),
            )
            for node in (self.nodes if nodes is None else nodes)
        )

    def deploy(
        self,
        version: str,
        nodes: Iterable[str] | None = None,
        digest: str | None = None,
        request_id: str | None = None,
        traffic: Traffic = TRAFFIC,
        again: bool = False,
        balancer: dict[str, int] | None = None,
        message: str = "",
        supersede: bool = False,
        queue: bool = False,
        override_freeze: bool = False,
    ) -> tuple[ev.Event, ...]:
        chosen = tuple(self.nodes if nodes is None else nodes)
        rollout = self._next_rollout()
        spec = Spec(
            app="shop",
            environment="test",
            strategy=self.strategy,
            waves=self.waves,
            slots=self.slots,
            nodes=chosen,
            settings=self.settings,
            traffic=traffic,
            pace=self.pace,
            approval=self.approval,
            policy=self.policy,
            checks=self.checks,
        )
        self.last_deploy = i.Deploy(
            request_id=rollout if request_id is None else request_id,
            rollout=rollout,
            release=release(version, digest, self.settings),
            spec=spec,
            members=self.members(chosen),
            requested_by="ada",
            again=again,
            supersede=supersede,
            balancer=balancer,
            message=message,
            calendar=Calendar(windows=self.windows),
            queue=queue,
            override_freeze=override_freeze,
        )
        return self.feed(self.last_deploy)

    def rollback(
        self,
        *,
        without_absent: bool = False,
        to: str = "",
        nodes: Iterable[str] | None = None,
    ) -> tuple[ev.Event, ...]:
        rollout = self._next_rollout()
        return self.feed(
            i.Rollback(
                request_id=rollout,
                rollout=rollout,
                members=self.members(nodes),
                requested_by="ada",
                to=to,
                without_absent=without_absent,
            )
        )

    def converge(self, *nodes: str) -> tuple[ev.Event, ...]:
        """The shell says that these nodes, or all that are here, may pay what they owe."""
        return self.feed(
            i.Converge(
                rollout=self._next_rollout(),
                nodes=nodes or tuple(self.nodes),
                members=self.members(),
            )
        )

    def give_up(self) -> str:
        """Go on until the undo has to ask a person, who gives up; how the rollout ended."""
        self.go(lambda: self.state.rollout is None or self.state.rollout.waiting is not None)
        self.reply("abort")
        self.fates = {}
        return self.ending.state

    def reply(
        self,
        answer: t.Answer,
        by: str = "ada",
        question: int = 0,
        step: str = "",
        comment: str = "",
        **more: str,
    ) -> tuple[ev.Event, ...]:
        """An operator answers the rollout that waits. `step`: that it is meant for."""
        assert self.state.rollout is not None
        more = {"request_id": f"answer-{self.numbers.get('request', 0) + 1}", **more}
        meant = {"question": question, "step": step, "comment": comment}
        for work in self._in_doubt() if answer == "continue" else ():
            self._rules.see_done_by_hand(self.state, work, self.now)
        return self.feed(i.Answer(answer=answer, answered_by=by, **meant, **self._asking(more)))

    def _in_doubt(self) -> list[t.Work]:
        """What counts as done if a person says so: not what never was issued."""
        rollout = self.state.rollout
        assert rollout is not None
        step, wait = rollout.plan[rollout.cursor], rollout.waiting
        if wait is not None and wait.nodes:
            return []  # the answer is about these nodes
        doubted = {index for index, done in rollout.done.items() if done.outcome != "ok"}
        if wait is not None and wait.kind == "question":
            doubted |= {action.index for action in rollout.open.values()}
        works = [work_now(self.state, step, index) for index in sorted(doubted)]
        return [work for work in works if work is not None]

    def pause(self, by: str = "ada", reason: str = "", **more: str) -> tuple[ev.Event, ...]:
        return self.feed(i.Pause(requested_by=by, reason=reason, **self._asking(more)))

    def resume(self, by: str = "ada", reason: str = "", **more: str) -> tuple[ev.Event, ...]:
        return self.feed(i.Resume(requested_by=by, reason=reason, **self._asking(more)))

    def abort(
        self,
        by: str = "ada",
        reason: str = "",
        undo: bool = True,
        question: int = 0,
        **more: str,
    ) -> tuple[ev.Event, ...]:
        meant = {"undo": undo, "question": question}
        return self.feed(i.Abort(requested_by=by, reason=reason, **meant, **self._asking(more)))

    def quarantine(self, named: str, reason: str = "", by: str = "ada") -> tuple[ev.Event, ...]:
        request_id = self._asking({})["request_id"]
        return self.feed(
            i.Quarantine(request_id=request_id, release=named, requested_by=by, reason=reason)
        )

    def unquarantine(self, named: str, reason: str = "", by: str = "ada") -> tuple[ev.Event, ...]:
        request_id = self._asking({})["request_id"]
        return self.feed(
            i.Unquarantine(request_id=request_id, release=named, requested_by=by, reason=reason)
        )

    def lock(self, by: str = "ada", reason: str = "") -> tuple[ev.Event, ...]:
        request_id = self._asking({})["request_id"]
        return self.feed(i.Lock(request_id=request_id, requested_by=by, reason=reason))

    def unlock(self, by: str = "ada", force: bool = False) -> tuple[ev.Event, ...]:
        request_id = self._asking({})["request_id"]
        return self.feed(i.Unlock(request_id=request_id, requested_by=by, force=force))

    def freeze(self, seconds: float, by: str = "ada", reason: str = "") -> tuple[ev.Event, ...]:
        window = Window(
            begins=self.now, ends=self.now + seconds, until="then", by=by, reason=reason
        )
        return self.feed(i.Freeze(request_id=self._asking({})["request_id"], window=window))

    def meet_freeze(self, seconds: float = 5000.0) -> None:
        """Go on until the rollout waits for the end of one that begins now."""
        self.freeze(seconds)
        self.go(lambda: self.state.rollout.frozen is not None)

    def lift_freeze(self, by: str = "ada") -> tuple[ev.Event, ...]:
        request_id = self._asking({})["request_id"]
        return self.feed(i.LiftFreeze(request_id=request_id, requested_by=by))

    def read_calendar(self, *windows: Window) -> tuple[ev.Event, ...]:
        """The shell says when the freezes of the configuration are."""
        self.windows = windows
        return self.feed(i.ReadCalendar(calendar=Calendar(windows=windows)))

    def begin_queued(self, refused: str = "") -> tuple[ev.Event, ...]:
        """The shell says that it may be the turn of the first that waits."""
        if not self.state.queue:
            return ()
        return self.feed(
            i.BeginQueued(
                rollout=self.state.queue[0].rollout,
                members=self.members(),
                calendar=Calendar(windows=self.windows),
                refused=refused,
            )
        )

    def _asking(self, given: dict[str, str]) -> dict[str, str]:
        """Id and rollout of a request about the present one, unless they are given."""
        self.numbers["request"] = self.numbers.get("request", 0) + 1
        rollout = self.state.rollout.id if self.state.rollout else "r0"
        return {"request_id": f"request-{self.numbers['request']}", "rollout": rollout, **given}

    def _next_rollout(self) -> str:
        self.numbers["rollout"] += 1
        return f"r{self.numbers['rollout']}"

    def restart(self, connected: Iterable[str] | None = None) -> None:
        """The controller starts anew. Nodes that are not `connected` at once say Hello after."""
        self.numbers["epoch"] += 1
        here = [node for node in self.nodes if node not in self.gone]
        at_once = here if connected is None else [node for node in here if node in connected]
        self.feed(
            i.ControllerStart(
                stream="shop@test",
                epoch=self.numbers["epoch"],
                log_id="log",
                connected=tuple(at_once),
                grace_seconds=GRACE_SECONDS,
            )
        )
        for node in here:
            if node not in at_once:
                self.hello(node)

    # --- What nodes do ------------------------------------------------------------------------

    def add(self, *nodes: str) -> None:
        """They are members of the next deployment."""
        self.nodes += nodes
        self.journals |= {node: f"journal-{node}" for node in nodes}

    def leave(self, node: str) -> tuple[ev.Event, ...]:
        self.gone.add(node)
        return self.feed(i.Observation(node=node, connected=False))

    def come_back(self, node: str, *, disk_replaced: bool = False) -> tuple[ev.Event, ...]:
        self.gone.discard(node)
        if disk_replaced:
            self.journals[node] += "-new"
            for slot in t.SLOTS:
                self.machines.pop(t.Place.of(node, slot), None)
            self.currents.pop(node, None)
        return self.hello(node)

    def lose_disks(self, *nodes: str) -> tuple[ev.Event, ...]:
        """These are away for a moment, and come back with nothing on them. Events of the last."""
        events: tuple[ev.Event, ...] = ()
        for node in nodes:
            self.leave(node)
            events = self.come_back(node, disk_replaced=True)
        return events

    def slots_of(self, node: str) -> dict[str, i.SlotReport]:
        return {
            p.slot: i.SlotReport(known=known, current=self.currents.get(node) == p.slot)
            for p, known in self.machines.items()
            if p.node == node
        }

    def hello(self, node: str) -> tuple[ev.Event, ...]:
        return self.feed(
            i.Observation(
                node=node,
                connected=True,
                journal_id=self.journals[node],
                slots=self.slots_of(node),
                complete=True,
            )
        )

    def report(self, where: str, **changes: bool | None) -> tuple[ev.Event, ...]:
        """A slot changes by itself, and its agent says so."""
        here = place(where)
        known = msgspec.structs.replace(self.machines.get(here, DOWN), **changes)
        self.machines[here] = known
        slot = i.SlotReport(known=known, current=self.currents.get(here.node) == here.slot)
        return self.feed(
            i.Observation(
                node=here.node,
                connected=True,
                journal_id=self.journals[here.node],
                slots={here.slot: slot},
            )
        )

    def answer(
        self, action: t.Action, outcome: t.Outcome = "ok", blame: t.Blame = ""
    ) -> tuple[ev.Event, ...]:
        """The agent or the effect says how the action ended; the machine is as it says."""
        known = self._perform(action.work) if outcome == "ok" else None
        error = "" if outcome == "ok" else f"{action.work.verb} did not work"
        return self.feed(
            i.Result(action=action.id, outcome=outcome, error=error, blame=blame, known=known)
        )

    @staticmethod
    def result(
        action: t.Action, outcome: t.Outcome = "ok", known: t.Known | None = None
    ) -> i.Result:
        return i.Result(action=action.id, outcome=outcome, known=known)

    def _perform(self, work: t.Work) -> t.Known | None:
        here = work.place
        if work.verb == "switch":
            self.currents[here.node] = here.slot
        if work.verb == "start":
            address = f"{here.node}:{8001 + t.SLOTS.index(here.slot)}"
            self.machines[here] = t.Known(
                revision=work.revision, running=True, healthy=True, address=address
            )
        if work.verb == "query":
            return self.machines.get(here)
        if work.verb == "stop":
            known = self.machines.get(here, t.Known())
            self.machines[here] = t.Known(revision=known.revision, running=False, healthy=False)
        return self.machines[here] if work.verb in ("start", "stop") else None

    # --- Going on -----------------------------------------------------------------------------

    def fate(self, action: t.Action) -> str:
        """The fate of "step@node", else of "step", else ok. A chore's step is its id."""
        by_node = self.fates.get(f"{action.step}@{action.work.at}")
        return by_node or self.fates.get(action.step) or "ok"

    def open(self) -> list[t.Action]:
        """Actions that will be answered."""
        return [
            action
            for action in pending(self.state)
            if action.work.at not in self.gone and self.fate(action) != SILENCE
        ]

    def answer_all(self) -> None:
        """Answer what is open now, but not what follows from the answers."""
        for action in self.open():
            self.answer(action, self.fate(action))

    def tick(self, seconds: float = 0.0) -> tuple[ev.Event, ...]:
        self.now += seconds
        return self.feed(i.Tick())

    def wait(self, seconds: float) -> None:
        """Let time pass, with a Tick at each deadline on the way, as the timer gives it."""
        end = self.now + seconds
        for _ in range(MOVES_MAX):
            due = next_deadline(self.state)
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.tick()
        self.now = end
        self.tick()

    def move(self) -> bool:
        """One answer, or time passes to the next deadline. False when nothing will happen."""
        if actions := self.open():
            self.answer(actions[0], self.fate(actions[0]))
            return True
        due = next_deadline(self.state)
        if due is None:
            return False
        self.now = max(self.now, due)
        self.tick()
        return True

    def go(self, done: Callable[[], bool]) -> None:
        for _ in range(MOVES_MAX):
            if done():
                return
            assert self.move(), "nothing is awaited and it is not done"
        raise AssertionError("it never ends")

    def until(self, step: str) -> list[t.Action]:
        """Go on until the step is entered; its actions that are open."""
        self.go(lambda: self.step == step)
        return list(self.state.rollout.open.values())

    def finish_start(self) -> None:
        """Go on until every idle slot has passed."""
        self.go(lambda: (self.step or "").startswith("shift"))

    def finish(self, **fates: str) -> str:
        """Go on until the rollout has ended; how it did. `fates`: step -> outcome or SILENCE."""
        self.fates = dict(fates)
        self.go(lambda: self.state.rollout is None)
        self.fates = {}
        self.tidy()
        return self.ending.state

    def tidy(self) -> None:
        """Answer what nodes are asked to remove: it concerns nothing that runs."""
        for action in self.open():
            if action.work.verb == "cleanup":
                self.answer(action)

    def rest(self) -> None:
        """Go on until the rollout and all chores are done."""
        self.go(self._is_at_rest)

    def _is_at_rest(self) -> bool:
        return not (self.state.rollout or self.state.chores or self.state.rewrite)

    def deployed(self, *versions: str) -> "World":
        """With these versions deployed one after the other, chores not yet done."""
        for version in versions:
            self.deploy(version)
            assert self.finish() == "succeeded"
        return self

    # --- What can be seen ---------------------------------------------------------------------

    @property
    def step(self) -> str | None:
        rollout = self.state.rollout
        if rollout is None or rollout.cursor == len(rollout.plan):
            return None
        return rollout.plan[rollout.cursor].id

    @property
    def ending(self) -> ev.Ended:
        return [event for _, event in self.log if isinstance(event, ev.Ended)][-1]

    @property
    def traffic(self) -> dict[str, int] | None:
        return sharing(self.state.weights)

    def running(self) -> dict[str, str]:
        """Place -> digest of what really runs there."""
        return {
            str(p): known.revision.digest.removeprefix("sha256:")
            for p, known in sorted(self.machines.items())
            if known.running
        }

    def story(self, since: int = 0) -> list[str]:
        return [describe(event) for _, event in self.log[since:]]

    def issued(self, verb: str, since: int = 0) -> list[str]:
        """Where actions of this verb were issued, in order."""
        prefix = f"issue {verb} "
        return [line.removeprefix(prefix) for line in self.story(since) if line.startswith(prefix)]

    def steps(self, since: int = 0) -> list[str]:
        return [e.step for _, e in self.log[since:] if isinstance(e, ev.StepEntered)]

    def chores(self) -> list[tuple[str, str, float]]:
        """(verb, place, seconds until it may be issued) of each chore."""
        return [
            (chore.work.verb, str(chore.work.place), chore.not_before - self.now)
            for chore in self.state.chores
        ]

    def owing(self) -> set[str]:
        """Nodes that owe something."""
        return {key.partition("/")[0] for key in self.state.debts}

    def replayed(self) -> t.State:
        """The state that the log alone adds up to."""
        state = t.State()
        for clock, event in self.log:
            state = evolve(state, event, clock)
        return state
