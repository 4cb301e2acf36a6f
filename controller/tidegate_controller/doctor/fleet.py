"""What a controller that answers says of itself, its nodes and its rollouts."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.phrases import listed
from tidegate_controller.cli.status import deploy_again, traffic_mend
from tidegate_controller.cli.works import whom
from tidegate_controller.documents import AppStatus, ControllerView, NodeList, NodeView, Status
from tidegate_controller.errors import TidegateError
from tidegate_controller.units import spell_duration
from tidegate_protos import VERSION
from tidegate_protos.findings import GIB, Finding

CLOCKS_SECONDS = 60.0  # two clocks that differ by less are of no interest
ROOM_WARN_BYTES = GIB  # free on a node's disk


def look(client: Client) -> Iterator[Finding]:
    """Ask the controller; that none answers is a finding too."""
    try:
        controller, nodes = client.controller(), client.nodes()
        status = client.status("", balancers=True)
    except TidegateError as error:
        yield Finding("fail", error.message, error.hint)
        return
    yield from judge(controller, nodes, status, datetime.now(UTC), client.target)


def judge(
    controller: ControllerView, nodes: NodeList, status: Status, now: datetime, target: str
) -> Iterator[Finding]:
    yield from _of_controller(controller, now, target)
    yield from _of_nodes(nodes, controller.version)
    for app in status.apps:
        yield from _of_app(app, {node.node for node in nodes.nodes})


def _of_controller(controller: ControllerView, now: datetime, target: str) -> Iterator[Finding]:
    yield Finding(
        "ok",
        f"a controller answers at {target}: version {controller.version}, epoch "
        f"{controller.epoch}, {controller.events:,} events, up for "
        f"{spell_duration(round(controller.seconds_up))}",
    )
    if controller.version != VERSION:
        yield Finding(
            "warn",
            f"the controller has version {controller.version}, this command {VERSION}",
            "upgrade the older one: first the controller, then the agents, then the rest",
        )
    apart = abs((datetime.fromisoformat(controller.now) - now).total_seconds())
    if apart > CLOCKS_SECONDS:
        yield Finding(
            "warn",
            f"the controller's clock and this one are {spell_duration(round(apart))} apart",
            "set both right, best by NTP: timedatectl set-ntp true",
        )


def _of_nodes(nodes: NodeList, controller_version: str) -> Iterator[Finding]:
    for refused in nodes.refused:
        yield Finding(
            "warn", f"an agent is refused as {refused.node} since {refused.at}: {refused.why}"
        )
    if not nodes.nodes:
        yield Finding(
            "warn",
            "no agent has ever connected",
            "on each server: tidegate-agent run --node NAME --data DIR --controller HOST:PORT",
        )
        return
    here = [node for node in nodes.nodes if node.connected]
    yield Finding("ok", f"{len(here)} of {len(nodes.nodes)} nodes are connected")
    for node in nodes.nodes:
        yield from _of_node(node)
    others = [node.node for node in here if node.agent_version != controller_version]
    if others:
        yield Finding(
            "warn",
            f"agents of another version than the controller's: {', '.join(others)}",
            "there: upgrade with pip, then systemctl restart tidegate-agent; the apps serve on",
        )


def _of_node(node: NodeView) -> Iterator[Finding]:
    if not node.connected:
        yield Finding(
            "warn",
            f"{node.node} is away, {_last_seen(node)}",
            f"there: tidegate-agent doctor, systemctl status tidegate-agent; if it is gone for "
            f"good: tidegate node remove {node.node}",
        )
    elif node.disk_free_bytes is not None and node.disk_free_bytes < ROOM_WARN_BYTES:
        yield Finding(
            "warn",
            f"{node.node} has only {node.disk_free_bytes / GIB:.1f} GiB free for releases",
            "remove those that need not be kept: tidegate cleanup APP",
        )


def _unwell_mend(app: AppStatus) -> str:
    """While a rollout runs no other one can begin; one that is being undone is on its way back."""
    rollout = app.rollout
    if rollout is None and app.rollback_to is None:
        return "deploy a release that is well: there is none to go back to"
    if rollout is None:
        return f"go back: tidegate rollback {app.app} -e {app.environment}"
    look = f"{rollout.id} is under way, look at it: tidegate rollout show {rollout.id}"
    if rollout.undoing:
        return look
    return f"{look}; give it up, if need be: tidegate rollout abort {rollout.id}"


def _last_seen(node: NodeView) -> str:
    if node.last_seen is None:
        return "and was not seen since the controller's start"
    return f"last seen {node.last_seen}"


def _of_app(app: AppStatus, known: set[str]) -> Iterator[Finding]:
    """`known`: all nodes that there are."""
    name = f"{app.app}@{app.environment}"
    if app.stands_still:
        yield Finding(
            "fail",
            app.stands_still,
            "what runs goes on running; see the controller's log, report it, and restart the "
            "controller with a version that mends it",
        )
    if app.rollout and app.rollout.waiting_for:
        rollout = app.rollout.id
        mend = f"tidegate rollout show {rollout} says what to type; then type it"
        if app.rollout.awaits == "freeze":
            mend = f"it goes on by itself; at once: tidegate rollout promote {rollout} -m REASON"
        yield Finding(
            "warn",
            f"rollout {rollout} of {name} waits for "
            f"{whom(app.rollout.awaits, app.rollout.waiting_for)}",
            mend,
        )
    for note in app.notes:
        yield Finding("warn", f"{name}: {note}", f"tidegate status {app.app}")
    if app.undecided:
        return  # the rest is the log's word, and may not be so
    found = list(_of_traffic(app, known))
    yield from found
    if not found and not app.notes:
        yield Finding("ok", f"{name}: version {app.version or 'none yet'}, nothing owed")


def _of_traffic(app: AppStatus, known: set[str]) -> Iterator[Finding]:
    """What is not well where it serves, and what is owed."""
    name = f"{app.app}@{app.environment}"
    if app.traffic_trouble:
        yield Finding("fail", f"{name}: {app.traffic_trouble.what}", traffic_mend(app))
    for node in app.nodes:
        if node.active_slot and node.node not in known:
            yield Finding(
                "fail",
                f"traffic of {name} leads to {node.node}, which was removed",
                f"deploy it to the nodes that there are: {deploy_again(app)}",
            )
        elif node.debt:
            yield Finding(
                "warn",
                f"{node.node} in {name}: {node.debt}",
                f"as it says; all that is owed: tidegate status {app.app}",
            )
        active = node.slots.get(node.active_slot or "")
        if active is not None and False in (active.running, active.healthy):
            state = "does not run" if active.running is False else "is not healthy"
            yield Finding(
                "fail",
                f"{node.node}/{node.active_slot} of {name} has traffic and {state}",
                f"{_unwell_mend(app)}; or see why: tidegate node show {node.node}",
            )
    serving = [node for node in app.nodes if node.active_slot and node.node in known]
    if away := [node.node for node in serving if not node.connected]:
        yield Finding(
            "warn",
            f"{name} has traffic on {listed(away)}, and nobody can ask there how it is",
            f"have the agent connect again; what it said last: tidegate node show {away[0]}",
        )
