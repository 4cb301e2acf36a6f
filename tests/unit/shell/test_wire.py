"""Between the engine's words and the wire's: nothing is lost, nothing unbounded comes in."""

import pytest
from core_values import SETTINGS, SPEC, place, release

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.cleaned import Stayed
from tidegate_controller.core.spec import Hooks, Keep, Service
from tidegate_controller.wire import (
    ERROR_CHARS,
    OUTPUT_CHARS,
    stream_of,
    to_command,
    to_observations,
    to_report,
    to_result,
)
from tidegate_protos.v1 import agent_pb2 as pb

SERVICE = Service(
    command=("serve", "{port}"),
    environment={"A": "1"},
    ports={"blue": 8001, "green": 8002},
    stop_grace_seconds=4.0,
)
HOOKS = Hooks(install_seconds=30.0, migrate_seconds=90.0)
ONE, TWO = (
    replace(release(v), settings=replace(SETTINGS, service=SERVICE, hooks=HOOKS)) for v in "12"
)
SERVES_ONE = t.Known(revision=ONE.revision, running=True, healthy=True, address="a:8001")
STATE = t.State(committed=(ONE, TWO), spec=SPEC, places={place("a/blue"): SERVES_ONE})


def command(verb: t.Verb, state: t.State = STATE, **more: object) -> pb.Command:
    """The command for a work about release 2 in the slot green of node a."""
    about = {"place": place("a/green"), "revision": TWO.revision, **more}
    work = t.Work(verb=verb, at="a", **about)
    action = t.Action(
        id="log-shop@prod-3-17",
        fence=(3, 17),
        step="step",
        index=0,
        work=work,
        deadline=160.0,
        attempt=2,
        journal_id="journal",
    )
    return to_command("shop@prod", state, action, "http://controller/{}".format, now=100.0)


def test_every_command_says_for_whom_it_is_and_how_new() -> None:
    told = command("switch")
    assert (told.id, told.node, told.journal_id) == ("log-shop@prod-3-17", "a", "journal")
    assert (told.app, told.environment, told.attempt) == ("shop", "prod", 2)
    assert told.fence == pb.Fence(epoch=3, version=17)


def test_an_agent_gives_up_before_the_controller_does() -> None:
    assert 0 < command("switch").deadline_seconds < 60.0


def test_to_look_says_what_will_be_needed() -> None:
    look = command("query").inspect
    assert (look.slot, look.digest, look.artifact_bytes) == ("green", "sha256:2", 7)
    assert (look.port, look.probe, look.service.command) == (8002, False, ["serve", "{port}"])
    assert command("query", prove=True).inspect.probe


def test_to_prepare_says_what_where_from_and_which_hooks() -> None:
    prepare = command("prepare").prepare_slot
    assert (prepare.slot, prepare.version) == ("green", "2")
    assert prepare.revision == pb.Revision(digest="sha256:2", config=release("2").revision.config)
    assert prepare.artifact == pb.Artifact(
        digest="sha256:2", size_bytes=7, url="http://controller/sha256:2"
    )
    assert prepare.hooks == pb.Hooks(install=True, install_seconds=30.0, migrate_seconds=90.0)
    assert dict(prepare.service.environment) == {"A": "1"}


def test_a_task_says_which_script_and_how_long() -> None:
    task = command("task", task="migrate").run_task
    assert (task.task, task.slot, task.version) == ("migrate", "green", "2")
    assert task.revision == pb.Revision(digest="sha256:2", config=release("2").revision.config)
    assert task.hooks.migrate_seconds == 90.0
    assert task.service.port == 8002


def test_to_start_says_how_it_runs_and_when_it_is_healthy() -> None:
    start = command("start").start_slot
    assert (start.slot, start.version, start.revision.digest) == ("green", "2", "sha256:2")
    assert (start.service.port, start.service.stop_grace_seconds) == (8002, 4.0)
    assert start.health.http.url == "http://x/health"
    assert start.health.deadline_seconds == SETTINGS.health.deadline_seconds


def test_to_switch_names_the_slot() -> None:
    assert command("switch").switch_slot.slot == "green"


def test_to_stop_gives_the_grace_of_what_runs_there() -> None:
    stop = command("stop", place=place("a/blue")).stop_slot
    assert (stop.slot, stop.grace_seconds) == ("blue", 4.0)
    unknown = command("stop", place=place("b/blue")).stop_slot
    assert (unknown.slot, unknown.grace_seconds) == ("blue", 10.0)


def test_to_clean_up_names_what_stays_in_any_case() -> None:
    keep = Keep(releases=3, age_seconds=60.0, backups=2, backups_age_seconds=90.0)
    state = replace(STATE, spec=replace(SPEC, keep=keep))
    cleanup = command("cleanup", state=state, place=None, revision=None).cleanup
    assert cleanup == pb.Cleanup(
        keep_digests=["sha256:1", "sha256:2"],
        releases=3,
        age_seconds=60.0,
        backups=2,
        backups_age_seconds=90.0,
    )


def test_what_a_clean_up_has_removed_becomes_words_of_the_engine_and_is_bounded() -> None:
    thing = pb.Thing(kind="release", name="sha256:1" + "x" * 9999, bytes=7)
    stayed = pb.Stayed(kind="release", why="among the newest 5", count=2, bytes=9)
    cleaned = pb.CleanedUp(
        removed=[thing] * 500, removed_count=500, removed_bytes=3500, stayed=[stayed]
    )
    finished = pb.Finished(command_id="x", outcome=pb.OUTCOME_OK, cleaned=cleaned)
    found = to_result(finished, "10.0.0.1").cleaned
    assert found is not None
    assert (len(found.removed), found.count, found.bytes) == (100, 500, 3500)
    assert len(found.removed[0].name) == 500
    assert found.stayed == (Stayed(kind="release", why="among the newest 5", count=2, bytes=9),)
    assert to_result(pb.Finished(command_id="x"), "10.0.0.1").cleaned is None


def test_what_no_agent_can_do_becomes_no_command() -> None:
    with pytest.raises(ValueError, match="route is no work for an agent"):
        command("route")
    with pytest.raises(ValueError, match="the release that start is about is not known"):
        command("start", revision=release("9").revision)
    with pytest.raises(ValueError, match="switch at a names no slot"):
        command("switch", place=None)


def test_texts_of_a_result_are_clipped() -> None:
    result = to_result(
        pb.Finished(
            command_id="1",
            error="e" * 1_000_000,
            output_tail="first" + "o" * 1_000_000 + "last",
            slot=pb.SlotState(slot="blue", detail="d" * 1_000_000),
        ),
        "a",
    )
    assert len(result.error) == ERROR_CHARS
    assert len(result.output_tail) == OUTPUT_CHARS
    assert result.output_tail.endswith("last")


def test_texts_of_a_slot_are_clipped() -> None:
    long = "x" * 1_000_000
    slot = pb.SlotState(slot="blue", detail=long, revision=pb.Revision(digest=long, config=long))
    report = to_report(slot, "a")
    assert len(report.detail) == ERROR_CHARS
    assert report.known.revision is not None
    assert len(report.known.revision.digest) < 100
    assert len(report.known.revision.config) < 100


def test_values_of_a_newer_agent_are_unknown() -> None:
    finished = pb.Finished(command_id="1", outcome=99, blame=99)
    finished.slot.CopyFrom(pb.SlotState(slot="blue", running=99, healthy=99))
    result = to_result(finished, "a")
    assert (result.outcome, result.blame) == ("unknown", "")
    assert result.known == t.Known()


def test_a_result_without_an_outcome_is_unknown() -> None:
    assert to_result(pb.Finished(command_id="1"), "a").outcome == "unknown"


def test_who_is_to_blame_is_taken_over() -> None:
    blames = (pb.BLAME_RELEASE, pb.BLAME_ENVIRONMENT, pb.BLAME_UNSPECIFIED)
    found = [to_result(pb.Finished(command_id="1", blame=blame), "a").blame for blame in blames]
    assert found == ["release", "environment", ""]


@pytest.mark.parametrize(
    ("host", "address"),
    [("web-1", "web-1:8001"), ("10.0.0.7", "10.0.0.7:8001"), ("fd00::5", "[fd00::5]:8001")],
)
def test_an_address_can_be_written_into_a_url(host: str, address: str) -> None:
    assert to_report(pb.SlotState(slot="blue", port=8001), host).known.address == address


def test_a_slot_without_a_port_has_no_address() -> None:
    assert to_report(pb.SlotState(slot="blue"), "web-1").known.address is None


def test_a_hello_speaks_of_the_streams_that_it_names_and_of_those_that_are_asked_for() -> None:
    hello = pb.Hello(node="a", journal_id="j", address="a")
    hello.slots.add(app="shop", environment="prod", slot="blue", running=pb.TRI_YES)
    seen = to_observations(hello, {"blog@prod"})
    assert {name: list(said.slots) for name, said in seen.items()} == {
        "shop@prod": ["blue"],
        "blog@prod": [],
    }
    assert all(said.complete and said.journal_id == "j" for said in seen.values())


def test_an_action_names_its_stream() -> None:
    assert stream_of("log", "log-my-shop@my-prod-3-17") == "my-shop@my-prod"
    assert stream_of("log", "other-shop@prod-3-17") == ""
    assert stream_of("log", "nonsense") == ""
