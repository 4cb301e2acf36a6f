"""Why a rollout went as it did, in sentences, from its events alone. Pure; see `cli.events`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from tidegate_controller.cli.explain_failures import BLAMES, left_out, overtaken, why_it_failed
from tidegate_controller.cli.explain_people import IN_THE_QUEUE, PEOPLE, what_for
from tidegate_controller.cli.explain_steps import (
    IN_WAVES,
    PURPOSE,
    WHY_WAIT,
    WRITTEN_AGAIN,
    places,
    why_places,
)
from tidegate_controller.cli.phrases import amount, listed, natural, size, span, tail
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.works import Doing, Stage, called
from tidegate_controller.documents import EventView

LAST_WORDS = 3  # lines of a failure's output
LATE_SECONDS = 0.5  # a work that is begun so long after its step had to wait for something


class Sentence(NamedTuple):
    """`at`: when, RFC 3339."""

    at: str
    text: str


class Explanation:
    """Takes a rollout's events in order, from when it waited for its turn, if it did; and after its
    end those of what it has left to be done."""

    def __init__(self) -> None:
        self.sentences: list[Sentence] = []
        self._picture = Picture()
        self._at = ""
        self._cause = ""
        self._moves: dict[str, str] = {}  # step -> where it moves traffic to
        self._started_in: set[str] = set()  # places
        self._chores: dict[str, dict[str, Any]] = {}  # action -> work, after the end
        self._to_stop: set[str] = set()  # places, at once
        self._tellers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "Started": self._started,
            "ActionIssued": self._issued,
            "ActionEnded": self._action_ended,
            "StepEnded": self._step_ended,
            "NodeDropped": self._dropped,
            "Replanned": self._replanned,
            "Observed": self._observed,
            "NodeLeft": self._left,
            "NodeReturned": lambda data: self._say(f"{data['node']} was back."),
            "JournalReplaced": self._journal_replaced,
            "ControllerStarted": self._controller_started,
            "Committed": self._committed,
            "Ended": self._ended,
        }

    def take(self, event: EventView) -> None:
        self._at, self._cause = event.at, event.cause or self._cause
        if self._picture.ended is not None:
            self._afterwards(event)
            return
        self._picture.take(event)
        people = PEOPLE if self._picture.begun else IN_THE_QUEUE
        if sentence := people.get(event.kind):
            self._say(sentence({**event.data, "left_out": self._picture.asked_about}))
        elif self._picture.begun and (tell := self._tellers.get(event.kind)):
            tell(event.data)

    def _say(self, text: str) -> None:
        self.sentences.append(Sentence(self._at, text))

    # --- What was asked for -------------------------------------------------------------------

    def _started(self, data: Mapping[str, Any]) -> None:
        picture, release = self._picture, data["release"]["version"]
        previous = data["previous"]["version"] if data["previous"] else None
        asked = f"{data['requested_by']} asked for a {data['kind']} of {picture.app}"
        if data["kind"] == "converge":
            asked = f"Nobody had to ask for this converge of {picture.app}"
        there = f" in {picture.environment} to {release}"
        now = f", where {previous} was active" if previous else ", where nothing was active yet"
        why = what_for(data)
        if self.sentences:  # that it has waited, with who asked and why
            asked, why = f"It was the turn of this {data['kind']} of {picture.app}", ""
        self._say(f"{asked}{there}{now}{why}.")
        self._say(_why_nodes(picture, data))
        for node, debt in picture.absent.items():
            self._say(f"{node} was not connected, so it was left out: {debt}.")
        for note in data.get("notes", ()):
            self._say(f"{note}.")
        for text in why_places(data):
            self._say(text)
        self._say(f"The strategy {data['strategy']} made this plan of it: {_plan(picture)}.")

    # --- What happened ------------------------------------------------------------------------

    def _issued(self, data: Mapping[str, Any]) -> None:
        action = data["action"]
        doing, stage = self._picture.doing(action["id"]), self._picture.stage
        if doing is None or stage is None or stage.id != action["step"]:
            return
        if action["work"]["verb"] == "route":
            shares = action["work"]["weights"] or {}
            taking = [place for place, share in shares.items() if share]
            self._moves[stage.id] = places(taking) or "nobody"
        if action["work"]["verb"] == "start":
            self._started_in.add(doing.where)
        if doing.attempt > 1:
            self._say(f"{doing.where}: tried again (try {doing.attempt}).")
        elif doing.since - stage.since > LATE_SECONDS and (why := WHY_WAIT.get(stage.kind)):
            moves = self._picture.moves
            if doing.where in moves.settled and moves.settled_at > stage.since:
                why = WRITTEN_AGAIN
            self._say(f"{doing.where}: begun {span(doing.since - stage.since)} later, {why}.")

    def _action_ended(self, data: Mapping[str, Any]) -> None:
        doing = self._picture.doing(data["action"])
        if doing is None or not (doing.failed or doing.in_doubt):
            return
        blame = BLAMES.get(data.get("blame", ""), "")
        if data["outcome"] == "expired":
            self._say(f"{doing.where}: nothing was heard in time, so it counts as failed.")
        elif data["outcome"] == "unknown":
            self._say(f"{doing.where}: nobody knows whether it was done: {data['error']}.")
        else:
            self._say(f"{doing.where}: {doing.fate}: {data['error']}{blame}.")
        last, _ = tail(doing.output_tail.rstrip(), LAST_WORDS)
        if last:
            self._say(f"The last that it had said: {' | '.join(last)}")

    def _step_ended(self, data: Mapping[str, Any]) -> None:
        stage = self._picture.named(data["step"])
        why = (IN_WAVES if stage.wave else {}).get(stage.kind) or PURPOSE.get(stage.kind)
        purpose = f" ({why})" if why else ""
        took = f"{stage.seconds(stage.since):.1f} s"
        if stage.state == "ok":
            move = self._moves.get(stage.id)
            how = f": all traffic goes to {move}" if move else _by(stage)
            how += f"; {stage.remarks}" if stage.remarks else ""
            self._say(f"{stage.title}{purpose} was done in {took}{how}.")
            return
        why = "" if stage.is_explained else f": {stage.reason}"
        self._say(f"{stage.title}{purpose} failed after {took}{self._because()}{why}.")
        given_up = [d.where for d in stage.sorted() if d.outcome == "cancelled"]
        if given_up:
            self._say(f"One failure is enough, so it was given up on {places(given_up)}.")

    def _because(self) -> str:
        return {
            "Tick": ", as its time was up",
            "Observation": ", by what a node said",
            "Answer": ", as a person wanted",
            "Abort": ", as a person wanted",
        }.get(self._cause, "")

    def _dropped(self, data: Mapping[str, Any]) -> None:
        for text in left_out(data, self._picture):
            self._say(text)

    def _replanned(self, data: Mapping[str, Any]) -> None:
        moves = [work["weights"] for step in data["plan"] for work in step["works"]]
        back = [place for weights in moves for place, share in (weights or {}).items() if share]
        if not moves:
            self._say("So it is undone. No traffic had been moved, so there is none to move back.")
        elif back:
            where = places(set(back))
            self._say(f"So it is undone: all traffic goes back to {where}. {_meanwhile(data)}")
        else:
            self._say("So it is undone: nothing had traffic before, so nothing gets any.")

    def _observed(self, data: Mapping[str, Any]) -> None:
        if wrong := self._picture.unwell.get(data["place"]):
            self._say(f"{data['place']} was seen to fail: {wrong}.")

    def _left(self, data: Mapping[str, Any]) -> None:
        waited = span(self._picture.away_seconds)
        self._say(f"{data['node']}'s agent was gone; it is waited for {waited}, no longer.")

    def _journal_replaced(self, data: Mapping[str, Any]) -> None:
        self._say(
            f"{data['node']} came back with an empty journal: its disk was replaced. What was "
            "under way there is in doubt, and its slots count as empty."
        )
        if data.get("owes"):
            self._say(f"Nothing serves there until it has converged: {data['owes']}.")

    def _controller_started(self, data: Mapping[str, Any]) -> None:
        grace = span(data["grace_seconds"])
        self._say(
            f"The controller started again and went on where it was. What is open got {grace} "
            "more, and the step's time counts anew: its own absence is nobody's failure."
        )

    def _committed(self, _: Mapping[str, Any]) -> None:
        version = self._picture.head["release"]["version"]
        self._say(f"All steps were done, so {version} is the release to come back to from now on.")

    # --- The end, and what was left to be done ------------------------------------------------

    def _ended(self, data: Mapping[str, Any]) -> None:
        picture, pace = self._picture, self._picture.head["spec"].get("pace", {})
        why = {
            "rolled_back": "what served before serves again",
            "aborted": "nothing was undone, as a person wanted",
            "failed": why_it_failed(picture),
        }
        meaning = f": {why[picture.state]}" if picture.state in why else ""
        self._say(f"The rollout {picture.state.replace('_', ' ')}{meaning}.")
        stops = [chore["work"]["place"] for chore in data["chores"] if _verb(chore) == "stop"]
        failed = [place for place in stops if place.partition("/")[0] in picture.dropped]
        if picture.state == "succeeded" and failed:
            self._say(f"What had failed is to be stopped: {places(failed)}.")
            self._to_stop.update(failed)
            stops = [place for place in stops if place not in failed]
        if stops and picture.state == "succeeded":
            kept = span(pace.get("keep_old_seconds", 0.0))
            self._say(f"{places(stops)} {_run(stops)} on for {kept}: a rollback is instant then.")
            stops = []
        if ours := self._started_in.intersection(stops):
            self._say(f"What it had started is to be stopped: {places(ours)}.")
            self._to_stop.update(ours)
        if others := set(stops).difference(ours):
            self._say(
                f"Nothing had been started in {places(others)}: what ran there before runs on, "
                "and is stopped later."
            )
        for who, debt in sorted(data["debts"].items()):
            self._say(f"{called(who)} owes: {debt}.")

    def _afterwards(self, event: EventView) -> None:
        data = event.data
        if event.kind == "Started" and (text := overtaken(data, self._to_stop)):
            self._say(text)
        if event.kind == "ActionIssued":
            self._chores[data["action"]["id"]] = data["action"]["work"]
        if event.kind != "ActionEnded" or data["action"] not in self._chores:
            return
        work = self._chores.pop(data["action"])
        where = work["place"] or called(work["at"], work.get("check", ""))
        if work["verb"] == "stop" and data["outcome"] == "ok":
            self._to_stop.discard(where)
            self._say(f"{where} was stopped.")
        elif work["verb"] == "route" and data["outcome"] == "ok":
            self._say("Traffic was written once more: a move might come late, or a place is lost.")
        elif work["verb"] == "cleanup" and data["outcome"] == "ok":
            self._cleaned(where, data)
        elif data["outcome"] not in ("ok", "cancelled"):
            self._say(f"{where}: {work['verb']} {data['outcome']}: {data['error']}.")

    def _cleaned(self, where: str, data: Mapping[str, Any]) -> None:
        """Only where there is something to tell."""
        cleaned = data.get("cleaned") or {}
        if made := cleaned.get("made"):
            names = listed([thing["name"] for thing in made])
            self._say(f"What {where} had held before was backed up: {names}.")
        if cleaned.get("count"):
            things, freed = amount(cleaned["count"], "thing"), size(cleaned["bytes"])
            self._say(f"{where} was cleaned up: {things} removed, {freed} freed.")
        if data.get("error"):
            self._say(f"{where} could not do all of its clean-up: {data['error']}.")


def sentences_of(events: Iterable[EventView]) -> list[Sentence]:
    """The sentences, in the order of the events."""
    explanation = Explanation()
    for event in events:
        explanation.take(event)
    return explanation.sentences


# --- Parts of sentences --------------------------------------------------------------------------


def _why_nodes(picture: Picture, data: Mapping[str, Any]) -> str:
    nodes = sorted(picture.nodes, key=natural)
    chosen = data["spec"]["nodes"]
    if data["kind"] == "converge":
        why = "which came back and owed the release"
    elif data["kind"] == "rollback":
        why = "those of the last deployment, and whatever takes traffic"
    elif isinstance(chosen, Mapping):
        labels = ", ".join(f"{key}={value}" for key, value in sorted(chosen.items()))
        why = f"all with {labels}, as the configuration says"
    else:
        why = "those that the configuration names"
    return f"It is about {amount(len(nodes), 'node')}, {why}: {places(nodes)}."


def _meanwhile(data: Mapping[str, Any]) -> str:
    """What the way back has to start, as far as anything."""
    works = [work for step in data["plan"] for work in step["works"]]
    starts = [work["place"] for work in works if work["verb"] == "start"]
    if not starts:
        return "What had traffic before still runs there, so nothing has to be started."
    return (
        f"The old release was stopped in {places(starts)}, so it is started there first; until "
        "then what is well serves."
    )


def _plan(picture: Picture) -> str:
    """The steps by name; those of waves once, in the order in which they come first."""
    before = [stage.name for stage in picture.stages if not stage.wave]
    in_waves = list(dict.fromkeys(stage.name for stage in picture.stages if stage.wave))
    waves = max((stage.wave for stage in picture.stages), default=0)
    if not waves:
        return ", ".join(before)
    return f"{', '.join(before)}, then in {amount(waves, 'wave')}: {', '.join(in_waves)}"


def _by(stage: Stage) -> str:
    """Where its works were done, and which of them took longest."""
    doings = stage.sorted()
    if not doings:
        return ""
    where = places([doing.where for doing in doings])
    slowest = max(doings, key=_took)
    if len(doings) > 1 and _took(slowest) > 2 * min(map(_took, doings)) + LATE_SECONDS:
        return f" on {where}; {slowest.where} took longest, {_took(slowest):.1f} s"
    return f" on {where}"


def _took(doing: Doing) -> float:
    return (doing.until or doing.since) - doing.since


def _verb(chore: Mapping[str, Any]) -> str:
    return str(chore["work"]["verb"])


def _run(stops: list[str]) -> str:
    return "runs" if len(stops) == 1 else "run"
