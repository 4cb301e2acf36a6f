"""Settings reach the agent whole: with whatever prepares, starts or runs a script of a release."""

import pytest
from core_values import SETTINGS, SPEC, place, release

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.spec import Hooks, Service, Settings
from tidegate_controller.core.strategies.blue_green import steps
from tidegate_controller.core.strategies.parts import QUERY_SECONDS
from tidegate_controller.wire import to_command
from tidegate_protos.v1 import agent_pb2 as pb

SERVICE = Service(
    command=("serve", "{port}"),
    user="www-data",
    environment={"A": "1"},
    environment_file="/etc/shop/env",
    ports={"blue": 8001, "green": 8002},
    stop_grace_seconds=4.0,
)
HOOKS = Hooks(install=False, install_seconds=30.0, migrate_seconds=90.0)
ON_THE_WIRE = pb.Service(
    manager="process",
    command=["serve", "{port}"],
    user="www-data",
    environment={"A": "1"},
    environment_file="/etc/shop/env",
    port=8002,
    stop_grace_seconds=4.0,
)


def command(verb: t.Verb, **settings: object) -> pb.Command:
    """For work in a node's slot green, about a release with these settings."""
    mine: Settings = replace(SETTINGS, **{"service": SERVICE, "hooks": HOOKS, **settings})
    one = replace(release("1"), settings=mine)
    work = t.Work(verb=verb, at="a", place=place("a/green"), revision=one.revision)
    action = t.Action(id="x", fence=(1, 1), step="s", index=0, work=work, deadline=60.0)
    state = t.State(committed=(one,), spec=SPEC)
    return to_command("shop@prod", state, action, "http://c/{}".format, now=0.0)


@pytest.mark.parametrize("verb", ["query", "prepare", "task", "start"])
def test_whoever_runs_something_of_a_release_is_told_how_it_runs(verb: t.Verb) -> None:
    told = command(verb)
    part = getattr(told, told.WhichOneof("work"))
    assert part.service == ON_THE_WIRE


@pytest.mark.parametrize("verb", ["prepare", "task"])
def test_whoever_may_run_a_script_is_told_whether_and_how_long(verb: t.Verb) -> None:
    told = command(verb)
    part = getattr(told, told.WhichOneof("work"))
    assert part.hooks == pb.Hooks(install=False, install_seconds=30.0, migrate_seconds=90.0)


@pytest.mark.parametrize("count", [0, 3])
def test_how_many_folders_are_left_out_is_said_even_where_it_is_none(count: int) -> None:
    artifact = command("prepare", strip_components=count).prepare_slot.artifact
    assert artifact.HasField("strip_components")
    assert artifact.strip_components == count


def test_an_agent_finds_out_itself_how_many_folders_are_left_out() -> None:
    assert not command("prepare").prepare_slot.artifact.HasField("strip_components")


def test_a_step_that_moves_traffic_by_a_command_has_time_for_all_its_runs() -> None:
    slow = replace(SPEC.traffic, adapter="exec", command=("lb",), timeout_seconds=60.0)
    plans = []
    for traffic in (SPEC.traffic, slow):
        spec = replace(SPEC, traffic=traffic)
        goal = t.Goal(kind="deploy", release=release("1"), nodes=("a",), spec=spec)
        plans.append({step.id: step.deadline_seconds for step in steps(t.State(), goal)})
    quick, late = plans
    assert quick["preflight"] == QUERY_SECONDS
    more = {step: late[step] - seconds for step, seconds in quick.items() if late[step] != seconds}
    assert more == {"preflight": 180.0, "shift": 180.0}


def test_a_unit_reaches_the_agent_as_it_stands_in_the_file() -> None:
    units = Service(manager="systemd", unit="shop@{slot}.service", stop_grace_seconds=4.0)
    told = command("start", service=units).start_slot.service
    assert told == pb.Service(manager="systemd", unit="shop@{slot}.service", stop_grace_seconds=4.0)
