"""What can go wrong in the simulation. To add a fault: a function with its line in `FAULTS`, and
how often it is drawn.

Each is let loose once, at a random moment; what lasts is over after a while, or when all is healed.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from drawn import labels_of
from fake_balancer import MOODS
from virtual_time import OUTSIDE

if TYPE_CHECKING:
    from fake_machine import Running
    from world import World

Fault = Callable[["World", Random], str]


def _node(world: "World", rng: Random) -> str:
    return rng.choice(sorted(world.machines))


def _for_a_while(world: "World", rng: Random, most: float, end: Callable[[], object]) -> float:
    seconds = rng.choice([1.0, 5.0, 20.0, most])
    world.loop.call_later(seconds, end, context=OUTSIDE)
    return seconds


def _running(world: "World", rng: Random) -> "Running | None":
    found = [(m, s) for m in world.machines.values() for s in m.services.values() if s.alive]
    if not found:
        return None
    machine, service = rng.choice(found)
    return service if machine else None


# --- The network ---------------------------------------------------------------------------------


def loss(world: "World", rng: Random) -> str:
    """A connection breaks, and what was under way is lost."""
    node = _node(world, rng)
    world.network.cut(node, rng.choice([0.0, 0.5, 5.0]))
    return node


def delay(world: "World", rng: Random) -> str:
    node = _node(world, rng)
    world.network.slow[node] = rng.choice([0.5, 3.0, 8.0])
    seconds = _for_a_while(world, rng, 60.0, lambda: world.network.slow.pop(node, None))
    return f"{node} for {seconds:.0f} s"


def duplication(world: "World", rng: Random) -> str:
    """The last commands come once more; so do the last results."""
    node = _node(world, rng)
    for instruction in list(world.network.sent.get(node, ()))[-3:]:
        world.network.deliver(node, instruction, rng.uniform(0.0, 3.0))
    world.network.repeat_reports(node)
    return node


def reordering(world: "World", rng: Random) -> str:
    node = _node(world, rng)
    world.network.jumbled.add(node)
    seconds = _for_a_while(world, rng, 60.0, lambda: world.network.jumbled.discard(node))
    return f"{node} for {seconds:.0f} s"


def stale_command(world: "World", rng: Random) -> str:
    """One that was sent long ago comes again, as from a broker's queue."""
    node = _node(world, rng)
    sent = world.network.sent.get(node)
    if sent:
        world.network.deliver(node, rng.choice(list(sent)), 0.0)
    return node


def held_commands(world: "World", rng: Random) -> str:
    """They sleep in a queue, while all else goes through."""
    node = _node(world, rng)
    world.network.hold(node)
    seconds = _for_a_while(world, rng, 120.0, lambda: world.network.release(node))
    return f"{node} for {seconds:.0f} s"


def partition(world: "World", rng: Random) -> str:
    nodes = rng.sample(sorted(world.machines), rng.randint(1, len(world.machines)))
    for node in nodes:
        world.network.part(node)

    def over() -> None:
        for node in nodes:
            world.network.join(node)

    seconds = _for_a_while(world, rng, 90.0, over)
    return f"{', '.join(nodes)} for {seconds:.0f} s"


def node_lost(world: "World", rng: Random) -> str:
    """For longer than anybody waits for it."""
    node = _node(world, rng)
    world.network.part(node)
    seconds = rng.choice([40.0, 60.0, 120.0, 240.0])
    world.loop.call_later(seconds, world.network.join, node, context=OUTSIDE)
    return f"{node} for {seconds:.0f} s"


# --- Processes and machines ----------------------------------------------------------------------


def agent_crash(world: "World", rng: Random) -> str:
    """At any await, some steps from now."""
    node = _node(world, rng)
    world.agents[node].kill_after(rng.choice([0, 3, 20, 100, 400]) + rng.randint(0, 20))
    return node


def controller_crash(world: "World", rng: Random) -> str:
    steps = rng.choice([0, 5, 50, 500]) + rng.randint(0, 50)
    world.controller.kill_after(steps)
    return f"after {steps} steps"


def controller_stopped(world: "World", rng: Random) -> str:
    """Nobody starts it for a while."""
    world.controller.stop()
    seconds = _for_a_while(world, rng, 100.0, world.controller.start)
    return f"for {seconds:.0f} s"


def reboot(world: "World", rng: Random) -> str:
    node = _node(world, rng)
    if (line := world.network.lines.get(node)) is not None and rng.random() < 0.5:
        line.fall_silent()
    world.agents[node].kill_after(0)
    world.machines[node].reboot()
    return node


def disk_wiped(world: "World", rng: Random) -> str:
    """The machine comes back with an empty disk, under its old name."""
    node = _node(world, rng)
    life = world.agents[node]
    life.stop()
    world.loop.call_soon(world.machines[node].wipe, context=OUTSIDE)
    world.loop.call_later(rng.choice([1.0, 10.0, 40.0]), life.start, context=OUTSIDE)
    return node


def node_added(world: "World", rng: Random) -> str:
    name = f"n{len(world.machines) + 1}"
    if len(world.machines) >= 14:
        return "no room"
    world.add_node(name, labels_of(len(world.machines) + 1))
    app = rng.choice([world.apps[stream] for stream in sorted(world.apps)])
    app.nodes = [*app.nodes, name]
    return name


# --- Clocks and disks ----------------------------------------------------------------------------


def clock_jump(world: "World", rng: Random) -> str:
    """A wall clock is set, by seconds, minutes or an hour; mostly that of the controller, by which
    freezes begin and end."""
    seconds = rng.choice([-3600.0, -90.0, -10.0, 10.0, 90.0, 3600.0])
    who = rng.choice(sorted(world.machines))
    if rng.random() < 0.5:
        who = "controller"
        world.controller.wall_offset += seconds
    else:
        world.machines[who].wall_offset += seconds
    return f"{who} by {seconds:.0f} s"


def clock_drift(world: "World", rng: Random) -> str:
    """The controller's boot clock is fast or slow from its next start on."""
    world.controller.next_drift = rng.choice([0.98, 1.0, 1.02])
    return f"{world.controller.next_drift}"


def log_fails(world: "World", rng: Random) -> str:
    world.controller.failing_appends = rng.choice([1, 1, 2])
    return f"{world.controller.failing_appends} times"


def log_slow(world: "World", rng: Random) -> str:
    controller = world.controller
    controller.disk_seconds = rng.choice([0.2, 2.0, 6.0])

    def over() -> None:
        controller.disk_seconds = 0.005

    return f"{controller.disk_seconds} s for {_for_a_while(world, rng, 30.0, over):.0f} s"


def disk_full(world: "World", rng: Random) -> str:
    node = _node(world, rng)
    world.agents[node].fill_up(True)
    seconds = _for_a_while(world, rng, 60.0, lambda: world.agents[node].fill_up(False))
    return f"{node} for {seconds:.0f} s"


def disk_slow(world: "World", rng: Random) -> str:
    machine = world.machines[_node(world, rng)]
    machine.slowness = rng.choice([5.0, 15.0, 40.0])

    def over() -> None:
        machine.slowness = 1.0

    return f"{machine.name} for {_for_a_while(world, rng, 60.0, over):.0f} s"


def corrupted_download(world: "World", rng: Random) -> str:
    machine = world.machines[_node(world, rng)]
    machine.corrupting = rng.choice([1, 2])
    return machine.name


def no_artifacts(world: "World", rng: Random) -> str:
    machine = world.machines[_node(world, rng)]
    machine.no_network = True

    def over() -> None:
        machine.no_network = False

    return f"{machine.name} for {_for_a_while(world, rng, 90.0, over):.0f} s"


# --- Balancers and apps --------------------------------------------------------------------------


def balancer_mood(world: "World", rng: Random) -> str:
    """The next moves meet a balancer that refuses, hangs, lies or is slow."""
    balancer = world.balancer(rng.choice(sorted(world.apps)))
    balancer.moods += [rng.choice(MOODS) for _ in range(rng.choice([1, 1, 2, 4]))]
    return ", ".join(balancer.moods)


def balancer_dead(world: "World", rng: Random) -> str:
    balancer = world.balancer(rng.choice(sorted(world.apps)))
    balancer.dead = True

    def over() -> None:
        balancer.dead = False

    return f"for {_for_a_while(world, rng, 90.0, over):.0f} s"


def no_verdict(world: "World", rng: Random) -> str:
    """The next checks cannot say."""
    world.verdicts += [rng.choice(["hangs", "gave up"]) for _ in range(rng.choice([1, 3, 8]))]
    return f"{len(world.verdicts)} times"


def app_crash(world: "World", rng: Random) -> str:
    found = [(m, s) for m in world.machines.values() for s in m.services.values() if s.alive]
    if not found:
        return "none runs"
    machine, service = rng.choice(found)
    machine.crash(service)
    return f"{service.app} {service.version} on {machine.name}"


def app_flaps(world: "World", rng: Random) -> str:
    service = _running(world, rng)
    if service is None:
        return "none runs"
    service.flapping_until = world.now + rng.choice([2.0, 6.0, 20.0])
    return f"{service.app} {service.version}"


# Each with how often it is drawn, beside the others.
FAULTS: dict[str, tuple[Fault, float]] = {
    "loss": (loss, 3.0),
    "delay": (delay, 2.0),
    "duplication": (duplication, 3.0),
    "reordering": (reordering, 2.0),
    "stale command": (stale_command, 3.0),
    "held commands": (held_commands, 1.5),
    "partition": (partition, 2.0),
    "node lost": (node_lost, 1.0),
    "agent crash": (agent_crash, 4.0),
    "controller crash": (controller_crash, 3.0),
    "controller stopped": (controller_stopped, 1.0),
    "reboot": (reboot, 1.0),
    "disk wiped": (disk_wiped, 0.7),
    "node added": (node_added, 0.5),
    "clock jump": (clock_jump, 1.5),
    "clock drift": (clock_drift, 0.7),
    "log fails": (log_fails, 1.0),
    "log slow": (log_slow, 1.0),
    "disk full": (disk_full, 1.5),
    "disk slow": (disk_slow, 1.5),
    "corrupted download": (corrupted_download, 1.0),
    "no artifacts": (no_artifacts, 1.0),
    "balancer mood": (balancer_mood, 4.0),
    "balancer dead": (balancer_dead, 1.0),
    "no verdict": (no_verdict, 0.7),
    "app crash": (app_crash, 2.0),
    "app flaps": (app_flaps, 2.0),
}

# Of those that are aimed at a phase the seldom ones are not as seldom.
FAULTS_AIMED = {name: (fault, weight**0.5) for name, (fault, weight) in FAULTS.items()}
