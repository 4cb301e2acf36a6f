"""An event of the log in one line, for whoever reads `tidegate log` at a terminal.

All of it is in `--json`; here is what tells one event from the next. Used by `cli.events`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate_controller.cli.phrases import amount
from tidegate_controller.cli.terminal import local_time
from tidegate_controller.cli.works import freeze_words
from tidegate_controller.documents import EventView

Data = Mapping[str, Any]

UNTOLD = ("type", "request_id")  # of no use to who reads
VALUE_CHARS = 100  # of a value; the rest is in --json


def event_line(event: EventView) -> str:
    """What happened when, in which stream."""
    tell = TELLERS.get(event.kind, _fields)
    head = f"{event.seq:6}  {local_time(event.at)}  {event.stream}  {event.kind}"
    return f"{head}  {' '.join(tell(event.data).split())}".rstrip()


def _fields(data: Data) -> str:
    """Each by its name; of what has parts how many."""
    found = ((key, _short(value)) for key, value in data.items() if key not in UNTOLD)
    return ", ".join(f"{key} {value}" for key, value in found if value)


def _short(value: Any) -> str:
    """A value in a few words; "" where there is nothing to tell."""
    if value in (None, "", [], {}, False):
        return ""
    if isinstance(value, Mapping):
        return f"({len(value)})"
    if isinstance(value, list):
        plain = all(isinstance(each, str) for each in value)
        return _cut(", ".join(value)) if plain else f"({len(value)})"
    return "yes" if value is True else _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_CHARS else f"{text[: VALUE_CHARS - 1]}…"


def _started(data: Data) -> str:
    before = data["previous"]["version"] if data["previous"] else "nothing"
    why = f": {_cut(data['message'])}" if data.get("message") else ""
    return (
        f"{data['rollout']}: {data['kind']}, {before} -> {data['release']['version']}, "
        f"{data['strategy']} on {amount(len(data['nodes']), 'node')}, by "
        f"{data['requested_by']}{why}"
    )


def _issued(data: Data) -> str:
    action, work = data["action"], data["action"]["work"]
    what = work.get("task") or work.get("check") or ""
    return f"{_number(action['id'])}: {work['verb']} {what} {work['place'] or work['at']}"


def _action_ended(data: Data) -> str:
    error = f": {data['error']}" if data.get("error") else ""
    return f"{_number(data['action'])}: {data['outcome']}{error}"


def _number(action: str) -> str:
    """Of an action, without the log's id and the stream, which are told or are the same for all."""
    return "-".join(action.rsplit("-", 2)[-2:])


def _step_ended(data: Data) -> str:
    reason = f": {data['reason']}" if data.get("reason") else ""
    return f"{data['rollout']}: {data['step']} {data['outcome']}{reason}"


def _observed(data: Data) -> str:
    known = data["known"]
    words = {
        "running": {True: "running", False: "not running"}.get(known["running"], "unknown"),
        "healthy": {True: "healthy", False: "not healthy"}.get(known["healthy"], ""),
        "current": "current" if data["current"] else "",
        "detail": data.get("detail", ""),
    }
    return f"{data['place']}: {', '.join(word for word in words.values() if word)}"


def _waiting(data: Data) -> str:
    return f"{data['rollout']}: {data['why']} ({', '.join(data['answers'])})"


def _ended(data: Data) -> str:
    reason = f": {data['reason']}" if data.get("reason") else ""
    owing = f"; {amount(len(data['debts']), 'debt')}" if data.get("debts") else ""
    return f"{data['rollout']}: {data['state'].replace('_', ' ')}{reason}{owing}"


def _frozen(data: Data) -> str:
    return f"{data['rollout']}: {freeze_words(data['window'])}"


TELLERS: dict[str, Callable[[Data], str]] = {
    "Started": _started,
    "ActionIssued": _issued,
    "ActionEnded": _action_ended,
    "StepEnded": _step_ended,
    "Observed": _observed,
    "Waiting": _waiting,
    "Ended": _ended,
    "Frozen": _frozen,
    "FreezeSet": lambda data: freeze_words(data["window"]),
    "Queued": lambda data: (
        f"{data['rollout']}: {data['deployment']['release']['version']}, by "
        f"{data['deployment']['requested_by']}"
    ),
    "Quarantined": lambda data: (
        f"{data['quarantine']['version'] or data['quarantine']['digest']}: "
        f"{data['quarantine']['why']}"
    ),
}
