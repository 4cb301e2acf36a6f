"""Steps and works of a rollout as far as they have got: what a `Picture` is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tidegate_controller.cli.phrases import listed, natural, size
from tidegate_controller.documents import ProgressView, RolloutSummary

VERBS = {
    "query": "check",
    "prepare": "prepare",
    "task": "run the script",
    "start": "start",
    "route": "move traffic",
    "switch": "switch",
    "stop": "stop",
    "cleanup": "clean up",
    "check": "put it",
}
BALANCER = "balancer"  # what people call what the controller itself does
UNHURT = ("ok", "cancelled", "superseded")  # ends of a work that are nobody's failure


def called(at: str, check: str = "") -> str:
    """Where a work is done, as people call it; or which check it puts."""
    if check:
        return f"check {check}"
    return BALANCER if at == "controller" else at


def freeze_words(window: Mapping[str, Any]) -> str:
    """A freeze as an event has it, for people, after "the"."""
    by = f", by {window['by']}" if window["by"] else ""
    reason = f": {window['reason']}" if window["reason"] else ""
    return f"freeze until {window['until']}{by}{reason}"


def ending_words(state: str, reason: str) -> str:
    """How it ended, and why: "failed: Start failed", "aborted by ada". `state`: in words."""
    if not reason or reason.startswith(f"{state} "):
        return reason or state
    return f"{state}: {reason}"


def state_words(rollout: RolloutSummary) -> str:
    """How it stands. What scripts know as one state are two things to answer, for people; and what
    nobody has paused waits, for an answer or the end of a freeze."""
    if rollout.state == "awaiting_approval" and "promote" in rollout.answers:
        return "awaiting promotion"
    if rollout.state == "paused" and "resume" not in rollout.answers:
        return "waiting"
    return rollout.state.replace("_", " ")


def whom(awaits: str, waiting_for: str) -> str:
    """Whom or what a rollout waits for, both as its document has them: a freeze ends by itself,
    all else needs a person."""
    return waiting_for if awaits == "freeze" else f"a person: {waiting_for}"


class Wait(NamedTuple):
    """What a rollout waits for. `awaits`: "person" or "freeze", as documents have it; "" where it
    does not stand still. `why`: in words. `answers`: what a person may type."""

    awaits: str = ""
    why: str = ""
    answers: Sequence[str] = ()


@dataclass
class Doing:
    """A work that was issued, as far as it has got. `outcome` is "" while it is open."""

    verb: str
    task: str  # of a verb that runs one of the release's scripts: which
    where: str  # a place, a node or the balancer
    node: str
    step: str
    attempt: int
    asks: bool  # a person, where its outcome is unknown
    since: float
    until: float | None = None
    outcome: str = ""
    error: str = ""
    output_tail: str = ""
    said: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    check: str = ""  # of a verb that puts one of the operator's checks: which

    @property
    def failed(self) -> bool:
        return self.outcome not in ("", *UNHURT) and not self.in_doubt

    @property
    def in_doubt(self) -> bool:
        """Nobody but a person knows whether it was done."""
        return self.outcome == "unknown" and self.asks

    @property
    def what(self) -> str:
        verb = f"run {self.task}.sh" if self.task else VERBS.get(self.verb, self.verb)
        return verb + (f", try {self.attempt}" if self.attempt > 1 else "")

    @property
    def fate(self) -> str:
        """What was done, and how it ended. A check that has failed was put all the same."""
        return self.outcome if self.check else f"{self.what} {self.outcome}"

    def hear(self, news: ProgressView) -> None:
        self.said = news.text
        self.done_bytes, self.total_bytes = news.done_bytes, news.total_bytes

    @property
    def progress(self) -> str:
        """How it gets on, in words; "" where nothing is known."""
        last = self.said.strip().rpartition("\n")[2].strip()
        if 0 < self.done_bytes < self.total_bytes:
            share = 100 * self.done_bytes // self.total_bytes
            return f"{last or 'fetching'}, {share} % of {size(self.total_bytes)}"
        return last


@dataclass
class Stage:
    """A step of the plan, as far as it has got."""

    id: str
    name: str
    places: list[str | None]  # of its works; None: of one that is at no place
    hold_seconds: float
    deadline_seconds: float
    undoing: bool
    wave: int = 0  # 1 is the first; 0: of no wave
    state: str = "pending"  # running, ok, failed
    stood: float = 0.0  # seconds that somebody had it paused
    since: float = 0.0  # when it was entered
    counted_from: float = 0.0  # when its deadline began to run, which it does anew after a wait
    until: float | None = None
    reason: str = ""
    doings: dict[int, Doing] = field(default_factory=dict)  # by index of the work, the last try

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.name}, wave {self.wave}" if self.wave else self.name

    @property
    def kind(self) -> str:
        """Its id, less the wave."""
        return self.id.removesuffix(f"-{self.wave}") if self.wave else self.id

    @property
    def late_at(self) -> float:
        return self.counted_from + self.deadline_seconds

    def seconds(self, now: float) -> float:
        """How long it took, or takes so far; a pause does not count once it is over."""
        return max(0.0, (now if self.until is None else self.until) - self.since - self.stood)

    @property
    def is_explained(self) -> bool:
        """Whether its reason says no more than the works that have failed in it."""
        errors = [doing.error for doing in self.doings.values() if doing.outcome == "failed"]
        return any(error and error in self.reason for error in errors)

    @property
    def remarks(self) -> str:
        """What is to be known of its works although they ended well; "" where nothing is."""
        said: dict[str, list[str]] = {}
        for doing in self.sorted():
            if doing.outcome == "ok" and doing.error:
                said.setdefault(doing.error, []).append(doing.where)
        everywhere = len(self.doings)
        return "; ".join(
            text if len(places) == everywhere else f"{listed(places)}: {text}"
            for text, places in said.items()
        )

    @property
    def rest(self) -> list[str | None]:
        """The places of works that have not begun."""
        return [place for index, place in enumerate(self.places) if index not in self.doings]

    @property
    def open(self) -> list[Doing]:
        return [doing for doing in self.sorted() if not doing.outcome]

    def sorted(self) -> list[Doing]:
        return sorted(self.doings.values(), key=lambda doing: natural(doing.where))
