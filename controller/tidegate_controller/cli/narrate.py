"""The story of a rollout, told from its events, a line at a time."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tidegate_controller.documents import EventView

VERBS = {
    "query": "check",
    "prepare": "prepare",
    "task": "run the script",
    "start": "start",
    "route": "move traffic",
    "switch": "switch",
    "stop": "stop",
    "cleanup": "clean up",
}


class Narrator:
    """Remembers what the next line needs: names of steps, the work behind an action, and which
    places the rollout is about. Of others nothing is told: an old slot may fail as it likes."""

    def __init__(self) -> None:
        self._begun = False
        self._steps: dict[str, str] = {}
        self._entered: dict[str, str] = {}
        self._works: dict[str, str] = {}
        self._moves: dict[str, set[str]] = {}  # action -> places that are to have traffic
        self._brought: set[str] = set()  # places that this rollout starts, or finds running
        self._previous: object = None  # revision of the release before
        self._serving: set[str] | None = None  # None: whatever runs the release before
        self._tellers: dict[str, Callable[[EventView], list[str]]] = {
            "StepEntered": self._step_entered,
            "ActionIssued": self._action_issued,
            "ActionEnded": self._action_ended,
            "StepEnded": self._step_ended,
            "Replanned": self._replanned,
            "Waiting": self._waiting,
            "Answered": lambda e: [f"{e.data['answered_by']} says: {e.data['answer']}"],
            "NodeLeft": lambda e: [f"  {e.data['node']} is away; waiting for its agent"],
            "NodeReturned": lambda e: [f"  {e.data['node']} is back"],
            "JournalReplaced": lambda e: [f"  {e.data['node']} came back with an empty journal"],
            "Observed": self._observed,
            "ControllerStarted": lambda _: ["the controller has started again and goes on"],
            "Ended": self._ended,
        }

    def lines(self, event: EventView) -> list[str]:
        """What to say about the event; often nothing."""
        if event.kind == "Started":
            self._begun = True
            return self._started(event)
        tell = self._tellers.get(event.kind)
        return tell(event) if tell and self._begun else []

    def _started(self, event: EventView) -> list[str]:
        data = event.data
        self._note_plan(data["plan"])
        self._note_places(data)
        app, _, environment = event.stream.partition("@")
        previous = data["previous"]["version"] if data["previous"] else "nothing"
        nodes = len(data["nodes"])
        lines = [
            f"rollout {data['rollout']}: {data['kind']} {app} in {environment}, "
            f"{previous} -> {data['release']['version']}, "
            f"{data['strategy']} on {nodes} node{'s' if nodes != 1 else ''}"
        ]
        return lines + [f"  {node}: {debt}" for node, debt in data["absent"].items()]

    def _note_plan(self, plan: list[dict[str, str]]) -> None:
        self._steps = {step["id"]: step["name"] for step in plan}

    def _note_places(self, started: dict[str, Any]) -> None:
        works = [work for step in started["plan"] for work in step["works"]]
        to_start = {work["place"] for work in works if work["verb"] == "start"}
        self._brought = set().union(*map(_gets_traffic, works)) - to_start
        self._previous = started["previous"] and started["previous"]["revision"]

    def _step_entered(self, event: EventView) -> list[str]:
        step = event.data["step"]
        self._entered[step] = event.at
        return [f"{self._steps[step]} ..."]

    def _action_issued(self, event: EventView) -> list[str]:
        action = event.data["action"]
        work = action["work"]
        where = work["place"] or work["at"]
        if work["verb"] == "start":
            self._brought.add(work["place"])
        elif work["verb"] == "route":
            self._moves[action["id"]] = _gets_traffic(work)
        self._works[action["id"]] = f"{where}: {VERBS[work['verb']]}"
        again = f", try {action['attempt']}" if action["attempt"] > 1 else ""
        return [f"  {self._works[action['id']]}{again}"] if again else []

    def _action_ended(self, event: EventView) -> list[str]:
        data = event.data
        if data["outcome"] == "ok":
            self._serving = self._moves.get(data["action"], self._serving)
        if data["outcome"] in ("ok", "cancelled", "superseded"):
            return []
        what = self._works.get(data["action"], data["action"])
        lines = [f"  {what} {data['outcome']}: {data['error']}"]
        if data["output_tail"]:
            lines.append("  its last output:")
            lines += [f"    | {line}" for line in data["output_tail"].splitlines()]
        return lines

    def _step_ended(self, event: EventView) -> list[str]:
        step, name = event.data["step"], self._steps[event.data["step"]]
        if event.data["outcome"] != "ok":
            return [f"{name} failed: {event.data['reason']}"]
        return [f"{name} done in {seconds_between(self._entered[step], event.at):.1f} s"]

    def _replanned(self, event: EventView) -> list[str]:
        self._note_plan(event.data["plan"])
        if not event.data["plan"]:
            return ["undoing: no traffic was moved, so there is none to move back"]
        return ["undoing: moving traffic back to where it was"]

    def _waiting(self, event: EventView) -> list[str]:
        rollout, answers = event.data["rollout"], event.data["answers"]
        return [
            f"waiting for a person: {event.data['why']}",
            *(f"  next: tidegate rollout {answer} {rollout}" for answer in answers),
        ]

    def _observed(self, event: EventView) -> list[str]:
        known, place = event.data["known"], event.data["place"]
        if place not in self._brought and not self._serves(place, known["revision"]):
            return []
        if known["healthy"] is False or known["running"] is False:
            return [f"  {place}: {event.data['detail'] or 'not healthy'}"]
        return []

    def _serves(self, place: str, revision: object) -> bool:
        if self._serving is not None:
            return place in self._serving
        return self._previous is not None and revision == self._previous

    def _ended(self, event: EventView) -> list[str]:
        state = event.data["state"].replace("_", " ")
        reason = f": {event.data['reason']}" if event.data["reason"] else ""
        return [f"rollout {event.data['rollout']} {state}{reason}"]


def _gets_traffic(work: dict[str, Any]) -> set[str]:
    return {place for place, share in (work["weights"] or {}).items() if share}


def seconds_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
