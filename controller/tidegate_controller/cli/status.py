"""`tidegate status`: what runs where, once or again and again."""

import time
from collections.abc import Callable

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import apps
from tidegate_controller.cli.terminal import (
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
from tidegate_controller.documents import AppStatus, NodeStatus, RolloutRef, SlotView, Status

WATCH_SECONDS = 2.0

watch_option = click.option("--watch", is_flag=True, help="Go on, as things change, until Ctrl-C.")


@click.command()
@click.argument("app", required=False, callback=a_name, shell_complete=apps)
@watch_option
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

    def look() -> Status:
        return client.status(app or "")

    if not watch:
        _show(look(), as_json=as_json)
    elif on_terminal() and not as_json:
        _draw(look)
    else:
        _tell(look, as_json=as_json)


def _show(view: Status, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    for line in to_width(status_lines(view, terminal_width())):
        say(line)


def _tell(look: Callable[[], Status], *, as_json: bool) -> None:
    """Print it whenever it is otherwise than before."""
    last: Status | None = None
    while True:
        view = look()
        if view != last:
            if not as_json:
                say(f"{'' if last is None else chr(10)}{local_now()}")
            _show(view, as_json=as_json)
            last = view
        time.sleep(WATCH_SECONDS)


def _draw(look: Callable[[], Status]) -> None:
    """Draw it on the terminal every other second."""
    from rich.text import Text  # noqa: PLC0415 - only for who looks

    from tidegate_controller.cli.live import Screen  # noqa: PLC0415

    screen = Screen()
    try:
        while True:
            width, height = screen.size
            lines = [local_now(), *status_lines(look(), width)]
            if len(lines) > height:
                more = len(lines) - height + 1
                lines = [*lines[: height - 1], f"and {more} more lines: tidegate status"]
            screen.draw([Text(clean(line)) for line in lines])
            time.sleep(WATCH_SECONDS)
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
    told += [app.stands_still] if app.stands_still else []
    for line in (*told, *app.notes):
        lines += sentence(line, width)
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
    return lines + table(["NODE", "CONNECTED", "ACTIVE", "BLUE", "GREEN", "OWES"], rows)


def _rollout_lines(rollout: RolloutRef) -> list[str]:
    to = f" to {rollout.version}" if rollout.version else ""
    if rollout.waiting_for:
        return [
            f"rollout {rollout.id}{to} waits for a person: {rollout.waiting_for}",
            f"  next: tidegate rollout show {rollout.id}",
        ]
    at = f", at {rollout.step}" if rollout.step else ""
    return [
        f"rollout {rollout.id}{to} is {rollout.state.replace('_', ' ')}{at}",
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
