"""`tidegate status`: what runs where, once or again and again."""

import shlex
import time
from collections.abc import Callable, Iterator

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import apps
from tidegate_controller.cli.phrases import listed, size, span
from tidegate_controller.cli.reading import PATIENCE_SECONDS
from tidegate_controller.cli.terminal import (
    announce,
    clean,
    json_option,
    local_now,
    on_terminal,
    print_json,
    say,
    sentence,
    table,
    terminal_width,
    to_width,
    with_controller,
    yes_no,
)
from tidegate_controller.cli.words import a_name
from tidegate_controller.cli.works import whom
from tidegate_controller.documents import AppStatus, NodeStatus, RolloutRef, SlotView, Status
from tidegate_controller.errors import NotReachable
from tidegate_protos.findings import GIB

WATCH_SECONDS = 2.0
PLACES_MAX = 6  # that are named
SILENT = "the controller does not answer"


@click.command()
@click.argument("app", required=False, callback=a_name, shell_complete=apps)
@click.option("--watch", is_flag=True, help="Go on, as things change, until Ctrl-C.")
@json_option
@with_controller
def status(client: Client, app: str | None, watch: bool, as_json: bool) -> None:
    """Show what runs where.

    The active release, each node's slots, and the rollout that is under way.

    \b
    Example:
      tidegate status shop
      tidegate status --watch
    """

    if not watch:
        _show(client.status(app or ""), as_json=as_json)
        return
    pictures = _pictures(lambda: client.status_at_once(app or ""))
    if on_terminal() and not as_json:
        _draw(pictures)
    else:
        _tell(pictures, as_json=as_json)


def _pictures(look: Callable[[], Status]) -> Iterator[Status | None]:
    """How it is, every other second; None while a controller that was there does not answer."""
    answered_at: float | None = None
    while True:
        try:
            view: Status | None = look()
            answered_at = time.monotonic()
        except NotReachable:
            if answered_at is None or time.monotonic() - answered_at > PATIENCE_SECONDS:
                raise
            view = None
        yield view
        time.sleep(WATCH_SECONDS)


def _show(view: Status, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    for line in to_width(status_lines(view, terminal_width())):
        say(line)


def _tell(pictures: Iterator[Status | None], *, as_json: bool) -> None:
    """Print it whenever it is otherwise than before."""
    last: Status | None = None
    lost = False
    for view in pictures:
        if view is None and not lost:
            (announce if as_json else say)(f"{local_now()}  {SILENT}; waiting for it")
        elif view is not None and (lost or view != last):
            if not as_json:
                say(f"{'' if last is None else chr(10)}{local_now()}")
            _show(view, as_json=as_json)
            last = view
        lost = view is None


def _draw(pictures: Iterator[Status | None]) -> None:
    """Draw it on the terminal every other second."""
    from rich.text import Text  # noqa: PLC0415 - only for who looks

    from tidegate_controller.cli.live import Screen  # noqa: PLC0415

    screen = Screen()
    shown: list[str] = []
    shown_at = ""
    try:
        for view in pictures:
            width, height = screen.size
            lines = [local_now()]
            if view is None:
                lines.append(f"{SILENT}; this is how it was at {shown_at}:")
            else:
                shown, shown_at = status_lines(view, width), lines[0]
            lines += shown
            if len(lines) > height:
                more = len(lines) - height + 1
                lines = [*lines[: height - 1], f"and {more} more lines: tidegate status"]
            screen.draw([Text(clean(line)) for line in lines])
    finally:
        screen.close()


# --- In words ------------------------------------------------------------------------------------


def status_lines(view: Status, width: int | None = None) -> list[str]:
    """The document as people read it; sentences are wrapped at the width."""
    if not view.apps:
        return ["nothing was deployed yet", "  next: tidegate deploy --artifact PATH --version V"]
    lines: list[str] = []
    for app in view.apps:
        lines += [""] if lines else []
        lines += _app_lines(app, width)
    return lines


def _app_lines(app: AppStatus, width: int | None) -> list[str]:
    what = f"version {app.version}" if app.version else "no release yet"
    lines = [f"{app.app} in {app.environment}: {what}" + (f"  {app.digest}" if app.digest else "")]
    told = _rollout_lines(app.rollout) if app.rollout else []
    if app.locked_by:
        why = f": {app.lock_reason}" if app.lock_reason else ""
        told.append(f"locked by {app.locked_by}{why}: nobody else can deploy or roll back")
    if app.freeze:
        told.append(f"{app.freeze}; nothing is deployed meanwhile")
    for each in app.queue:
        then = f", after {each.waiting_for}" if each.waiting_for else ""
        told.append(
            f"rollout {each.id} to {each.version}, by {each.requested_by}, waits for its turn{then}"
        )
    told += [app.stands_still] if app.stands_still else []
    told += _unsettled_lines(app)
    for line in (*told, *app.notes):
        lines += sentence(line, width)
    lines += _node_lines(app, width)
    return lines + _traffic_lines(app, width) + _unwell_lines(app) + _room_lines(app)


def _unsettled_lines(app: AppStatus) -> list[str]:
    """Why slots that nothing sends to any more run on for a while."""
    if not app.unsettled:
        return []
    seconds = app.settles_in_seconds
    when = "" if seconds is None else f", {f'in {span(seconds)}' if seconds >= 1.0 else 'now'}"
    return [
        f"a move of traffic to {listed(app.unsettled, PLACES_MAX)} may still be done late: nothing "
        f"is stopped or started there before the balancer was written once more{when}"
    ]


def _node_lines(app: AppStatus, width: int | None) -> list[str]:
    """A row a node. What is owed says at its end what mends it, so where it has no room in its
    column it is told below, of all nodes at once that owe the same."""
    header = ["NODE", "CONNECTED", "ACTIVE", "BLUE", "GREEN", "OWES"]
    rows = [
        [
            node.node,
            yes_no(node.connected),
            node.active_slot or "-",
            *(_slot_words(node, slot) for slot in ("blue", "green")),
            node.debt or "",
        ]
        for node in app.nodes
    ]
    lines = table(header, rows)
    if width is None or max(map(len, lines)) <= width or not any(row[-1] for row in rows):
        return lines
    owing: dict[str, list[str]] = {}
    for node in app.nodes:
        if node.debt:
            owing.setdefault(node.debt, []).append(node.node)
    lines = table(header, [[*row[:-1], "see below" if row[-1] else ""] for row in rows])
    for debt, nodes in owing.items():
        lines += sentence(f"{listed(nodes)} owe{'s' * (len(nodes) == 1)}: {debt}", width)
    return lines


def _traffic_lines(app: AppStatus, width: int | None) -> list[str]:
    """What can be told of it without a look at the balancer."""
    if app.traffic_trouble is None:
        return []
    next_one = f"  next: {traffic_mend(app)}"  # not cut, since it ends with what is to be typed
    return [*sentence(app.traffic_trouble.what, width), *sentence(next_one, width)]


def _unwell_lines(app: AppStatus) -> list[str]:
    """What serves badly while nothing is about to undo it."""
    active = [(node, node.slots.get(node.active_slot or "")) for node in app.nodes]
    unwell = [node for node, slot in active if slot and False in (slot.running, slot.healthy)]
    if not unwell or app.rollout or app.undecided:
        return []
    places = listed(f"{node.node}/{node.active_slot}" for node in unwell)
    back = f"tidegate rollback {app.app} -e {app.environment}; " if app.rollback_to else ""
    return [
        f"with traffic and not well: {places}; after the soak nothing is undone by itself",
        f"  next: {back}tidegate node show {unwell[0].node}",
    ]


def traffic_mend(app: AppStatus) -> str:
    """The balancer's own, with what to type where that is to deploy what is active."""
    if app.traffic_trouble is None:
        return ""
    typed = f": {deploy_again(app)}" if app.traffic_trouble.redeploy else ""
    return f"{app.traffic_trouble.mend}{typed}"


def deploy_again(app: AppStatus) -> str:
    """What to type to deploy what is active. What nodes fetched themselves the controller lacks; of
    a URL with a query, which may hold a secret, that has to be put in by whoever knows it."""
    artifact = f"--artifact {app.digest}"
    if app.url:
        url = app.url.replace("?…", "?QUERY")
        artifact = f"--artifact {shlex.quote(url)} --digest {app.digest}"
    return f"tidegate deploy -e {app.environment} {artifact} --version {app.version}"


def _room_lines(app: AppStatus) -> list[str]:
    """Disks that are about to be full."""
    full = [
        f"{node.node} ({size(node.disk_free_bytes)} free)"
        for node in app.nodes
        if node.disk_free_bytes is not None and node.disk_free_bytes < GIB
    ]
    if not full:
        return []
    return [
        f"little room for releases: {listed(full)}",
        f"  next: tidegate cleanup {app.app}, or a smaller `releases` under [retention]",
    ]


def _rollout_lines(rollout: RolloutRef) -> list[str]:
    to = f" to {rollout.version}" if rollout.version else ""
    if rollout.waiting_for:
        seconds, waits = rollout.waiting_seconds, whom(rollout.awaits, rollout.waiting_for)
        so_far = f" ({span(seconds)} so far)" if seconds and seconds >= 60.0 else ""
        return [
            f"rollout {rollout.id}{to} waits for {waits.replace(': ', f'{so_far}: ', 1)}",
            f"  next: tidegate rollout show {rollout.id}",
        ]
    at = f", at {rollout.step}" if rollout.step else ""
    error = f": {rollout.last_error}" if rollout.last_error else ""
    times = "once" if rollout.tries_failed == 1 else f"{rollout.tries_failed} times"
    tried = f", which has failed {times} and is tried again{error}" if rollout.tries_failed else ""
    return [
        f"rollout {rollout.id}{to} is {rollout.state.replace('_', ' ')}{at}{tried}",
        f"  next: tidegate rollout show {rollout.id} --watch",
    ]


def _slot_words(node: NodeStatus, slot: str) -> str:
    view = node.slots.get(slot)
    if view is None or view.digest is None:
        return "empty"
    return f"{view.version or view.digest[:19]} {health_words(view)}"


def health_words(slot: SlotView) -> str:
    if slot.running is False:
        return "stopped"
    if slot.running is None:
        return slot.under_way or "unknown"
    return {True: "healthy", False: "unhealthy", None: "running"}[slot.healthy]
