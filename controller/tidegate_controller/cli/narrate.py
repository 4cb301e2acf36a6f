"""The story of a rollout, told from its events, a line at a time: for logs, pipes and the demo."""

from collections.abc import Callable, Sequence

from tidegate_controller.cli.answers import answer_lines, asked_in
from tidegate_controller.cli.awaiting import awaited, time_left
from tidegate_controller.cli.phrases import amount, span, tail
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.works import Doing, called, freeze_words
from tidegate_controller.documents import EventView, ProgressView

TAIL_LINES = 20  # of a failure's output that are told; `rollout show` has more
TAILS = 3  # failures of a step whose output is told; the others' is much the same


class Narrator:
    """Tells what an event means for the picture, which has taken it already. Of places that the
    rollout is not about, nothing is told."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._tails: dict[str, int] = {}  # step -> outputs that were told
        self._heard: dict[str, str] = {}  # action -> the last line of its output that was told
        self._tellers: dict[str, Callable[[EventView], list[str]]] = {
            "Started": self._started,
            "ActionIssued": self._action_issued,
            "ActionEnded": self._action_ended,
            "StepEnded": self._step_ended,
            "NodeDropped": self._dropped,
            "Replanned": self._replanned,
            "Waiting": self._waiting,
            "Answered": lambda e: [f"{e.data['answered_by']} says: {e.data['answer']}"],
            "Approved": self._approved,
            "Paused": self._paused,
            "Quarantined": self._quarantined,
            "Resumed": self._resumed,
            "Aborted": lambda e: [f"aborted by {_who_and_why(e)}"],
            "Locked": lambda e: [f"locked by {_who_and_why(e)}: nobody else begins anything"],
            "Unlocked": lambda e: [f"unlocked by {_who_and_why(e)}"],
            "FreezeSet": lambda e: [freeze_words(e.data["window"])],
            "FreezeLifted": lambda e: [f"the freeze was lifted by {_who_and_why(e)}"],
            "Frozen": self._frozen,
            "Thawed": self._thawed,
            "Queued": self._queued,
            "Restored": lambda _: [
                "not begun: a backup that was made while it waited has been restored"
            ],
            "Unqueued": lambda e: [f"not begun: {e.data['reason']}"],
            "NodeLeft": lambda e: [f"  {e.data['node']} is away; waiting for its agent"],
            "NodeReturned": lambda e: [f"  {e.data['node']} is back"],
            "JournalReplaced": lambda e: [f"  {e.data['node']} came back with an empty journal"],
            "Observed": self._observed,
            "ControllerStarted": lambda _: ["the controller has started again and goes on"],
            "Ended": self._ended,
        }

    def lines(self, event: EventView) -> list[str]:
        """What to say about the event; often nothing."""
        tell = self._tellers.get(event.kind)
        # Once it has begun, these are of others.
        before = event.kind in ("Queued", "Unqueued", "Restored")
        return tell(event) if tell and before != self._picture.begun else []

    def heard(self, doing: Doing, news: ProgressView) -> list[str]:
        """What a script says, and what keeps a command from getting on; the rest is told from time
        to time, by `meanwhile`."""
        if news.total_bytes:
            return []
        lines = [line for line in news.text.splitlines() if line.strip()]
        if lines:
            self._heard[news.action] = lines[-1]
        return [f"  {doing.where} | {line}" for line in lines]

    def meanwhile(self, now: float) -> list[str]:
        """What is awaited, where nothing has happened for a while."""
        stage = self._picture.stage
        if stage is None or self._picture.wait.awaits:
            return []
        whom = awaited(self._picture, stage, now)
        left = time_left(self._picture, stage, now)
        waits = f", waiting for {whom}" if whom else ""
        return [f"{stage.title}: {span(stage.seconds(now))} so far{waits}; {left}"]

    def _started(self, event: EventView) -> list[str]:
        picture, data = self._picture, event.data
        lines = [
            f"rollout {picture.rollout}: {picture.title}, "
            f"{data['strategy']} on {amount(len(picture.nodes), 'node')}"
        ]
        if why := data.get("message"):
            lines.append(f"  why: {why}")
        lines += [f"  {node}: {debt}" for node, debt in picture.absent.items()]
        return lines + [f"  {note}" for note in data.get("notes", ())]

    def _action_issued(self, event: EventView) -> list[str]:
        doing = self._picture.doing(event.data["action"]["id"])
        return [f"  {doing.where}: {doing.what}"] if doing and doing.attempt > 1 else []

    def _action_ended(self, event: EventView) -> list[str]:
        doing = self._picture.doing(event.data["action"])
        if doing is not None and doing.in_doubt and doing.node != "controller":
            return [f"  {doing.where}: {doing.what} is in doubt: {doing.error}"]
        if doing is None or not doing.failed:
            return []
        line = f"  {doing.where}: {doing.fate}: {doing.error}"
        return [line, *self._last_output(doing, self._heard.pop(event.data["action"], ""))]

    def _last_output(self, doing: Doing, heard: str) -> list[str]:
        """Unless it was heard before, or others have said the like."""
        last, before = tail(doing.output_tail.rstrip(), TAIL_LINES)
        if not last or last[-1] == heard:
            return []
        self._tails[doing.step] = self._tails.get(doing.step, 0) + 1
        if self._tails[doing.step] > TAILS:
            return []
        more = f", {before} lines before it: tidegate rollout show {self._picture.rollout}"
        return [f"  its last output{more if before else ''}:", *(f"    | {line}" for line in last)]

    def _step_ended(self, event: EventView) -> list[str]:
        stage = self._picture.named(event.data["step"])
        if stage.state != "ok":  # what failed has been told, and is told again at the end
            why = "" if stage.is_explained else f": {stage.reason}"
            return [f"{stage.title} failed{why}"]
        remarks = f": {stage.remarks}" if stage.remarks else ""
        paused = f", and {span(stage.stood)} paused" if stage.stood else ""
        return [f"{stage.title} done in {stage.seconds(stage.since):.1f} s{paused}{remarks}"]

    def _dropped(self, event: EventView) -> list[str]:
        return [f"  {event.data['node']} is left out from here on: {event.data['why']}"]

    def _replanned(self, event: EventView) -> list[str]:
        if not event.data["plan"]:
            return ["undoing: no traffic was moved, so there is none to move back"]
        works = [work for step in event.data["plan"] for work in step["works"]]
        starts = sum(work["verb"] == "start" for work in works)
        first = f", and starting the old release on {amount(starts, 'node')}" if starts else ""
        return [f"undoing: moving traffic back to where it was{first}"]

    def _waiting(self, event: EventView) -> list[str]:
        return self._asks(event.data["rollout"], event.data["why"], event.data["answers"])

    def _asks(self, rollout: str, why: str, answers: Sequence[str]) -> list[str]:
        return [
            f"waiting for a person: {why}",
            *(
                f"  next: {line}"
                for line in answer_lines(rollout, answers, asked_in(self._picture))
            ),
        ]

    def _resumed(self, event: EventView) -> list[str]:
        """What it waited for before it was paused it waits for again."""
        rollout, wait = event.data["rollout"], self._picture.wait
        lines = [f"resumed by {_who_and_why(event)}"]
        if wait.awaits == "person":
            lines += self._asks(rollout, wait.why, wait.answers)
        elif wait.awaits == "freeze":
            lines += _awaits_end(rollout, wait.why)
        return lines

    def _approved(self, event: EventView) -> list[str]:
        data = event.data
        said = "approved" if data["answer"] == "approve" else "promoted"
        return [f"{said} by {data['by']}" + (f": {data['comment']}" if data["comment"] else "")]

    def _quarantined(self, event: EventView) -> list[str]:
        picture, version = self._picture, event.data["quarantine"]["version"]
        lift = f"tidegate release unquarantine {picture.app} {version} -e {picture.environment}"
        return [
            f"version {version} is quarantined: it is not brought to {picture.environment} again",
            f"  unless somebody says: {lift}",
        ]

    def _paused(self, event: EventView) -> list[str]:
        rollout = event.data["rollout"]
        return [
            f"paused by {_who_and_why(event)}; what is under way ends, nothing new begins",
            f"  next: tidegate rollout resume {rollout}",
        ]

    def _frozen(self, event: EventView) -> list[str]:
        return _awaits_end(event.data["rollout"], f"the {freeze_words(event.data['window'])}")

    def _thawed(self, event: EventView) -> list[str]:
        if event.data["by"]:
            return [f"going on in spite of the freeze, says {_who_and_why(event)}"]
        return ["the freeze is over"]

    def _queued(self, event: EventView) -> list[str]:
        rollout, version = event.data["rollout"], event.data["deployment"]["release"]["version"]
        return [
            f"rollout {rollout} to version {version} waits for its turn",
            f"  next: it begins by itself; not at all: tidegate rollout abort {rollout}",
        ]

    def _observed(self, event: EventView) -> list[str]:
        known, place = event.data["known"], event.data["place"]
        if known["healthy"] is False or known["running"] is False:
            wrong = self._picture.unwell.get(place)
            return [f"  {place}: {wrong}"] if wrong else []
        return []

    def _ended(self, _: EventView) -> list[str]:
        return [
            self._picture.ending,
            *(f"  {called(who)} owes: {debt}" for who, debt in self._picture.debts.items()),
        ]


def _who_and_why(event: EventView) -> str:
    reason = event.data["reason"]
    return str(event.data["by"]) + (f": {reason}" if reason else "")


def _awaits_end(rollout: str, freeze: str) -> list[str]:
    return [
        f"waiting for the end of {freeze}",
        f"  next: it goes on by itself; at once: tidegate rollout promote {rollout} -m REASON",
    ]
