"""A rollout as it stands, put together from its events and its news as they come.

The narrator and the tree both look at it. It decides nothing and knows no clock: times are seconds
since 1970 by the controller's clock, and "now" is an argument.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tidegate_controller.cli.moves import Moves, gets_traffic
from tidegate_controller.cli.phrases import natural, seconds_of
from tidegate_controller.cli.works import Doing, Stage, Wait, called, ending_words, freeze_words
from tidegate_controller.documents import EventView, ProgressView


class Picture:
    """One rollout. `take` its events in order, `hear` news of its open commands."""

    def __init__(self) -> None:
        self.rollout = ""
        self.state = "running"
        self.reason = ""
        self.undoing = False  # now, or it was in the end
        self.stages: list[Stage] = []
        self.nodes: list[str] = []
        self.absent: dict[str, str] = {}
        self.away: dict[str, float] = {}  # node -> since when
        self.unwell: dict[str, str] = {}  # place -> what is wrong there
        self._pause: Wait | None = None
        self._question: Wait | None = None
        self._freeze: Wait | None = None
        self._stood_since = 0.0  # while it is paused: until then its deadlines have run
        self.asked_about: list[str] = []  # nodes that `continue` would go on without
        self.asked_kind = ""  # of question; "lost": since these are gone, until they are back
        self.question = 0  # the number of the last one
        self.given_up: set[str] = set()  # of these, those that a person goes on without
        self.dropped: dict[str, str] = {}  # node that it goes on without -> why
        self.debts: dict[str, str] = {}
        self.moves = Moves()
        self.head: dict[str, Any] = {}  # the Started
        self.app, self.environment = "", ""
        self.started = 0.0
        self.ended: float | None = None
        self._by_id: dict[str, Stage] = {}
        self._doings: dict[str, Doing] = {}  # by action
        self._places: dict[str, str] = {}  # action of a start -> its place
        self._brought: set[str] = set()  # places that this rollout starts, or finds running
        self._health: dict[str, bool | None] = {}  # of places that passed, and must stay so
        self._healthy_since: float | None = None
        self._takers: dict[str, Callable[[dict[str, Any], float], None]] = {
            "StepEntered": self._step_entered,
            "ActionIssued": self._issued,
            "ActionEnded": self._action_ended,
            "StepEnded": self._step_ended,
            "NodeDropped": self._dropped,
            "Replanned": self._replanned,
            "Waiting": self._waits,
            "Answered": self._answered,
            "Approved": self._approved,
            "Paused": self._paused,
            "Resumed": self._resumed,
            "Frozen": self._frozen,
            "Thawed": self._thawed,
            "Observed": self._observed,
            "NodeLeft": self._node_left,
            "NodeReturned": self._node_returned,
            "ControllerStarted": self._controller_started,
            "Ended": self._ended,
        }

    # --- What can be asked --------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        return bool(self.head)

    @property
    def stage(self) -> Stage | None:
        """The step that it is at."""
        return next((stage for stage in self.stages if stage.state == "running"), None)

    @property
    def wait(self) -> Wait:
        """A pause counts first; the end of a freeze changes nothing while a person is asked."""
        return self._pause or self._question or self._freeze or Wait()

    @property
    def title(self) -> str:
        head = self.head
        previous = head["previous"]["version"] if head["previous"] else "nothing"
        return (
            f"{head['kind']} {self.app} in {self.environment}, "
            f"{previous} -> {head['release']['version']}"
        )

    @property
    def away_seconds(self) -> float:
        """How long a node that has gone is waited for."""
        return float(self.head["spec"].get("pace", {}).get("away_seconds", 60.0))

    @property
    def ending(self) -> str:
        """How it has ended, and why."""
        return f"rollout {self.rollout} {ending_words(self.state.replace('_', ' '), self.reason)}"

    def doing(self, action: str) -> Doing | None:
        return self._doings.get(action)

    def named(self, step: str) -> Stage:
        return self._by_id[step]

    def failures(self) -> Iterator[Doing]:
        """Every work whose last try has failed, in the order of the steps."""
        for stage in self.stages:
            for doing in stage.sorted():
                if doing.failed or (doing.in_doubt and stage.state == "failed"):
                    yield doing

    def held_until(self, stage: Stage) -> float | None:
        """When the hold of the step is over if all stay healthy; None while one of them is not."""
        if self._healthy_since is None:
            return None
        return max(self._healthy_since, stage.counted_from) + stage.hold_seconds

    def concerns(self, place: str, revision: object) -> bool:
        """Whether the rollout is about the place. An old slot may fail as it likes."""
        if place in self._brought:
            return True
        if self.moves.serving is not None:
            return place in self.moves.serving
        previous = self.head["previous"]
        return previous is not None and revision == previous["revision"]

    # --- What comes ---------------------------------------------------------------------------

    def hear(self, news: ProgressView) -> Doing | None:
        """The work that the news are of, if it is open."""
        doing = self._doings.get(news.action)
        if doing is not None and not doing.outcome:
            doing.hear(news)
            return doing
        return None

    def take(self, event: EventView) -> None:
        """What the event means; of what came before the Started nothing is known."""
        at = seconds_of(event.at)
        if event.kind == "Started":
            self._started(event, at)
        elif self.begun and (take := self._takers.get(event.kind)):
            take(event.data, at)
        if event.kind == "Waiting":
            self.question = event.version
        self._watch_health(at)

    def _step_entered(self, data: dict[str, Any], at: float) -> None:
        stage = self._by_id[data["step"]]
        stage.state, stage.since, stage.counted_from = "running", at, at

    def _step_ended(self, data: dict[str, Any], at: float) -> None:
        stage = self._by_id[data["step"]]
        stage.state, stage.until, stage.reason = data["outcome"], at, data["reason"]
        self._question = self._freeze = None  # a node may come back before a person answers

    def _replanned(self, data: dict[str, Any], at: float) -> None:
        self.state, self.reason, self.undoing = "rolling_back", data["reason"], True
        self._pause = self._question = self._freeze = None
        self._health = {}
        self._plan(data["plan"], undoing=True)

    def _waits(self, data: dict[str, Any], at: float) -> None:
        self._question = Wait("person", data["why"], data["answers"])
        self.asked_about = list(data.get("nodes", ()))
        self.asked_kind = data.get("kind", "")

    def _dropped(self, data: dict[str, Any], at: float) -> None:
        node = data["node"]
        self.dropped[node] = data["why"]
        for places in (self._health, self.unwell):
            for place in [place for place in places if place.partition("/")[0] == node]:
                del places[place]
        if (stage := self.stage) and data.get("reroute") is not None:
            stage.places.append(None)
        self._count_anew(at)

    def _answered(self, data: dict[str, Any], at: float) -> None:
        self._question = None
        self._count_anew(at)
        if data["answer"] == "continue":
            self.given_up.update(self.asked_about)
        if data["answer"] == "continue" and (stage := self.stage):
            for doing in stage.doings.values():  # what was in doubt counts as done
                asked = doing.node in self.asked_about
                if doing.outcome not in ("", "ok") and not asked:
                    doing.outcome, doing.error = "ok", ""

    def _approved(self, data: dict[str, Any], at: float) -> None:
        self._question = None
        self._count_anew(at)
        self._by_id[data["step"]].hold_seconds = 0.0  # of a soak that is cut short

    def _paused(self, data: dict[str, Any], at: float) -> None:
        """Whatever else a person was asked is asked again once it goes on."""
        self._stood_since = at
        reason = f": {data['reason']}" if data["reason"] else ""
        self._pause = Wait("person", f"{data['by']}, who paused it{reason}", ("resume", "abort"))

    def _resumed(self, data: dict[str, Any], at: float) -> None:
        self._pause = None
        if stage := self.stage:
            stage.counted_from += at - self._stood_since
            stage.stood += at - self._stood_since

    def _frozen(self, data: dict[str, Any], at: float) -> None:
        self._freeze = Wait("freeze", f"the {freeze_words(data['window'])}", ("promote", "abort"))

    def _thawed(self, data: dict[str, Any], at: float) -> None:
        self._freeze = None
        self._count_anew(at)

    def _node_left(self, data: dict[str, Any], at: float) -> None:
        self.away[data["node"]] = at
        self._lose_sight([data["node"]])

    def _node_returned(self, data: dict[str, Any], at: float) -> None:
        self.away.pop(data["node"], None)
        if data["node"] in self.asked_about:
            self._need_no_answer(at)

    def _need_no_answer(self, at: float) -> None:
        """What a person was asked since nodes were lost: these say it themselves now."""
        if self.asked_kind != "lost":
            return
        self.asked_kind, self._question = "", None
        if self._pause is None:
            self._count_anew(at)

    def _controller_started(self, data: dict[str, Any], at: float) -> None:
        gone = sorted(set(self.nodes).difference(data["connected"]), key=natural)
        self.away = dict.fromkeys(gone, at)
        self._lose_sight(gone)
        self.moves.controller_started()
        self._healthy_since = None
        self._stood_since = at
        self._need_no_answer(at)  # where they are still gone, it is asked anew
        self._count_anew(at)

    def _ended(self, data: dict[str, Any], at: float) -> None:
        self.ended, self.state, self.reason = at, data["state"], data["reason"]
        self.debts, self.away = data["debts"], {}
        self._pause = self._question = self._freeze = None

    def _started(self, event: EventView, at: float) -> None:
        data = event.data
        self.head, self.started, self.rollout = data, at, data["rollout"]
        self.app, _, self.environment = event.stream.partition("@")
        self.nodes, self.absent = data["nodes"], data["absent"]
        self._plan(data["plan"], undoing=False)
        works = [work for step in data["plan"] for work in step["works"]]
        to_start = {work["place"] for work in works if work["verb"] == "start"}
        moves = [gets_traffic(work) for work in works if work["verb"] == "route"]
        self._brought = set(moves[-1] - to_start) if moves else set()
        if data["previous"] and data["previous"]["revision"] == data["release"]["revision"]:
            return  # what is not started serves already, and need not pass
        self._health = dict.fromkeys(self._brought, True)

    def _plan(self, plan: list[dict[str, Any]], *, undoing: bool) -> None:
        for step in plan:
            stage = Stage(
                id=step["id"],
                name=step["name"],
                wave=step.get("wave", 0),
                places=[work["place"] for work in step["works"]],
                hold_seconds=step["hold_seconds"],
                deadline_seconds=step["deadline_seconds"]
                * max(1, -(-len(step["works"]) // step["parallel"])),
                undoing=undoing,
            )
            self._by_id[stage.id] = stage
            self.stages.append(stage)

    def _issued(self, data: dict[str, Any], at: float) -> None:
        action = data["action"]
        work, stage = action["work"], self._by_id.get(action["step"])
        self.moves.issued(action)
        if work["verb"] == "stop":
            self._health.pop(work["place"], None)  # it may be unwell now
        if work["verb"] == "start":
            self._brought.add(work["place"])
            self._places[action["id"]] = work["place"]
        doing = Doing(
            verb=work["verb"],
            task=work.get("task", ""),
            check=work.get("check", ""),
            where=work["place"] or called(work["at"], work.get("check", "")),
            node=work["at"],
            step=stage.title if stage else "",
            attempt=action["attempt"],
            asks=work.get("on_unknown") == "ask",
            since=at,
        )
        self._doings[action["id"]] = doing
        if stage is not None and stage.state == "running":  # else it is a chore
            stage.doings[action["index"]] = doing

    def _action_ended(self, data: dict[str, Any], at: float) -> None:
        doing = self._doings.get(data["action"])
        if doing is None:
            return
        doing.outcome, doing.until = data["outcome"], at
        doing.error, doing.output_tail = data["error"], data["output_tail"]
        self.moves.ended(data["action"], data["outcome"], at)
        if data["outcome"] == "ok" and (place := self._places.get(data["action"])):
            self._health[place] = True
            self.unwell.pop(place, None)

    def _observed(self, data: dict[str, Any], at: float) -> None:
        known, place = data["known"], data["place"]
        bad = known["healthy"] is False or known["running"] is False
        if place in self._health:
            self._health[place] = False if bad else known["healthy"]
        if not bad:
            self.unwell.pop(place, None)
        elif self.concerns(place, known["revision"]):
            self.unwell[place] = data["detail"] or "not healthy"

    def _lose_sight(self, nodes: Iterable[str]) -> None:
        """Nobody can say how these are now."""
        gone = set(nodes)
        for place in self._health:
            if place.partition("/")[0] in gone:
                self._health[place] = None

    def _watch_health(self, at: float) -> None:
        if any(healthy is not True for healthy in self._health.values()):
            self._healthy_since = None
        elif self._healthy_since is None:
            self._healthy_since = at

    def _count_anew(self, at: float) -> None:
        if stage := self.stage:
            stage.counted_from = at
