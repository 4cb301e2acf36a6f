"""Commands that only look: status, rollout, node, log."""

import click
import msgspec

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.terminal import (
    columns,
    json_option,
    local_time,
    print_json,
    say,
    with_controller,
    yes_no,
)
from tidegate_controller.cli.words import a_name, a_rollout
from tidegate_controller.documents import AppStatus, EventView, NodeStatus, RolloutView, SlotView


@click.command()
@click.argument("app", required=False, callback=a_name)
@json_option
@with_controller
def status(client: Client, app: str | None, as_json: bool) -> None:
    """What runs where: the active release, each node's slots, the rollout under way.

    \b
    Example:
      tidegate status shop
    """
    view = client.status(app or "")
    if as_json:
        print_json(view)
        return
    if not view.apps:
        say("nothing was deployed yet\n  next: tidegate deploy --artifact PATH --version V")
    for index, each in enumerate(view.apps):
        if index:
            say("")
        _say_app(each)


def _say_app(app: AppStatus) -> None:
    what = f"version {app.version}" if app.version else "no release yet"
    say(f"{app.app} in {app.environment}: {what}" + (f"  {app.digest}" if app.digest else ""))
    if app.rollout:
        say(f"rollout {app.rollout.id} is {app.rollout.state.replace('_', ' ')}")
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
    columns(["NODE", "CONNECTED", "ACTIVE", "BLUE", "GREEN", "OWES"], rows)


def _slot_words(node: NodeStatus, slot: str) -> str:
    view = node.slots.get(slot)
    if view is None or view.digest is None:
        return "empty"
    return f"{view.version or view.digest[:19]} {_health_words(view)}"


def _health_words(slot: SlotView) -> str:
    if slot.running is False:
        return "stopped"
    if slot.running is None:
        return "unknown"
    return {True: "healthy", False: "unhealthy", None: "running"}[slot.healthy]


@click.group()
def rollout() -> None:
    """The history of rollouts."""


@rollout.command("list")
@click.argument("app", required=False, callback=a_name)
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1), help="The newest so many."
)
@json_option
@with_controller
def rollout_list(client: Client, app: str | None, limit: int, as_json: bool) -> None:
    """Who brought what where, newest first."""
    view = client.rollouts(app or "", limit)
    if as_json:
        print_json(view)
        return
    rows = [
        [
            each.rollout,
            f"{each.app}@{each.environment}",
            each.kind,
            each.previous.version if each.previous else "-",
            each.release.version,
            each.state.replace("_", " "),
            local_time(each.started_at),
            each.requested_by,
        ]
        for each in view.rollouts
    ]
    columns(["ROLLOUT", "APP", "KIND", "FROM", "TO", "STATE", "STARTED", "BY"], rows)


@rollout.command("show")
@click.argument("rollout_id", metavar="ID", callback=a_rollout)
@json_option
@with_controller
def rollout_show(client: Client, rollout_id: str, as_json: bool) -> None:
    """One rollout: its steps, what each node did, why it was undone."""
    view = client.rollout(rollout_id)
    if as_json:
        print_json(view)
    else:
        _say_rollout(view)


def _say_rollout(view: RolloutView) -> None:
    previous = view.previous.version if view.previous else "nothing"
    say(
        f"rollout {view.rollout}: {view.kind} {view.app} in {view.environment}, "
        f"{previous} -> {view.release.version}, {view.strategy}"
    )
    say(f"  {view.state.replace('_', ' ')}" + (f": {view.reason}" if view.reason else ""))
    say(f"  by {view.requested_by}, {local_time(view.started_at)} to {local_time(view.ended_at)}")
    for step in view.steps:
        seconds = f" {step.seconds:.1f} s" if step.seconds is not None else ""
        say(f"  {step.name}: {step.state}{seconds}")
        for name, node in sorted(step.nodes.items()):
            if node.state != "ok":
                say(f"    {name}: {node.state}" + (f": {node.error}" if node.error else ""))
            for line in node.output_tail.splitlines():
                say(f"      | {line}")


@click.group()
def node() -> None:
    """The servers that run an agent."""


@node.command("list")
@json_option
@with_controller
def node_list(client: Client, as_json: bool) -> None:
    """Every node that ever connected, and how it is now."""
    view = client.nodes()
    if as_json:
        print_json(view)
        return
    for refused in view.refused:
        say(f"refused: {refused.node}, {local_time(refused.at)}: {refused.why}")
    if not view.nodes:
        say(
            "no agent has connected yet\n  next: tidegate-agent run --node NAME --data DIR "
            "--controller HOST:PORT --label role=web"
        )
        return
    rows = [
        [
            each.node,
            yes_no(each.connected),
            ",".join(f"{key}={value}" for key, value in sorted(each.labels.items())) or "-",
            each.address,
            each.agent_version,
            local_time(each.last_seen),
        ]
        for each in view.nodes
    ]
    columns(["NODE", "CONNECTED", "LABELS", "ADDRESS", "AGENT", "LAST SEEN"], rows)


@click.command()
@click.option("--follow", is_flag=True, help="Go on as events come.")
@click.option(
    "--rollout", "rollout_id", callback=a_rollout, metavar="ID", help="Of one rollout alone."
)
@json_option
@with_controller
def log(client: Client, follow: bool, rollout_id: str | None, as_json: bool) -> None:
    """The event log, oldest first; with --json one event a line."""
    for event in client.events(0, rollout_id or "", follow=follow):
        if as_json:
            print_json(event)
        else:
            say(_event_line(event))


def _event_line(event: EventView) -> str:
    data = dict(event.data)
    data.pop("type", None)
    text = msgspec.json.encode(data).decode()
    short = text if len(text) <= 120 else text[:117] + "..."
    return f"{event.seq:6}  {local_time(event.at)}  {event.stream:20}  {event.kind:18}  {short}"
