"""The `systemd` manager with a systemctl that says what a test wants; with a real systemd:
tests/integration/test_apps_as_units.py."""

import asyncio
import errno
import os
from pathlib import Path

import pytest
from fake_systemd import FAILED, NONE, RUNS, STARTS, WAITS, FakeSystemd, shown

from tidegate_agent import durable, environment_file, launching
from tidegate_agent.errors import NodeError, ServiceError
from tidegate_agent.managers import Ended, Place, Sight, systemctl
from tidegate_agent.managers import systemd as manager
from tidegate_agent.managers.systemd import Units
from tidegate_agent.processes import Launch
from tidegate_protos.v1 import agent_pb2 as pb

UNIT = "shop@blue.service"
HANDLE = {"unit": UNIT, "invocation": "run-1", "token": "t"}


@pytest.fixture
def units(systemd: FakeSystemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Units:
    for name in ("SOON_SECONDS", "STARTING_SECONDS", "SELDOM_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(manager, name, 0.01)
    monkeypatch.setattr(systemctl, "JOURNAL_TRIES", 1)
    systemd.shows(NONE)
    return Units(Place(tmp_path, tmp_path / "output", UNIT))


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch((), {"PORT": "8001"}, tmp_path, tmp_path / "output")


def written(tmp_path: Path) -> dict[str, str]:
    return environment_file.read(str(tmp_path / "environment"))


# --- Starting ------------------------------------------------------------------------------------


async def test_a_start_writes_what_the_unit_may_want_to_know_and_names_the_run(
    units: Units, systemd: FakeSystemd, launch: Launch, tmp_path: Path
) -> None:
    systemd.shows(NONE, {**STARTS, "InvocationID": ""}, STARTS)
    assert await units.start(launch, "t") == HANDLE
    assert written(tmp_path) == {
        "PORT": "8001",
        "TIDEGATE_INSTANCE": "t",
        "TIDEGATE_UNIT": UNIT,
    }
    assert systemd.told() == [f"start --no-block -- {UNIT}"]


async def test_a_unit_that_failed_before_is_forgiven_first(
    units: Units, systemd: FakeSystemd, launch: Launch
) -> None:
    systemd.shows({**FAILED, "InvocationID": "run-0"}, RUNS)
    assert await units.start(launch, "t") == HANDLE
    assert systemd.told() == [f"reset-failed -- {UNIT}", f"start --no-block -- {UNIT}"]


async def test_the_same_token_goes_on_with_what_runs_and_starts_nothing(
    units: Units, systemd: FakeSystemd, launch: Launch
) -> None:
    systemd.shows(NONE, RUNS)
    await units.start(launch, "t")
    systemd.shows(WAITS, WAITS, {**RUNS, "InvocationID": "run-2", "NRestarts": "1"})
    assert (await units.start(launch, "t"))["invocation"] == "run-2"
    assert systemd.told() == [f"start --no-block -- {UNIT}"]


async def test_the_same_token_starts_what_runs_no_more(
    units: Units, systemd: FakeSystemd, launch: Launch
) -> None:
    systemd.shows(NONE, RUNS)
    await units.start(launch, "t")
    systemd.shows(NONE, NONE, {**RUNS, "InvocationID": "run-2"})
    assert (await units.start(launch, "t"))["invocation"] == "run-2"
    assert systemd.told() == [f"start --no-block -- {UNIT}"] * 2


async def test_what_runs_of_somebody_elses_doing_is_neither_started_nor_stopped(
    units: Units, systemd: FakeSystemd, launch: Launch, tmp_path: Path
) -> None:
    systemd.shows(RUNS)
    with pytest.raises(NodeError, match=r"is active \(running\) already, and Tidegate did not st"):
        await units.start(launch, "t")
    assert systemd.told() == []
    assert not (tmp_path / "environment").exists(), "else it would be taken for ours next time"


async def test_a_unit_that_has_ended_is_started_again_though_the_disk_is_full(
    units: Units, systemd: FakeSystemd, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    systemd.shows(NONE, RUNS)
    await units.start(launch, "t")
    monkeypatch.setattr(durable, "write", full)
    systemd.shows(NONE, NONE, {**RUNS, "InvocationID": "run-2"})
    assert await units.start(launch, "t") == {**HANDLE, "invocation": "run-2"}
    systemd.shows(NONE, NONE, {**RUNS, "InvocationID": "run-3"})
    with pytest.raises(NodeError, match="No space left on device"):
        await units.start(launch, "another")


async def test_a_start_whose_variables_cannot_be_written_is_the_nodes_fault(
    systemd: FakeSystemd, launch: Launch, tmp_path: Path
) -> None:
    systemd.shows(NONE)
    units = Units(Place(tmp_path / "missing", tmp_path / "output", UNIT))
    with pytest.raises(NodeError, match=r"^cannot write .*/missing/environment: No such file or"):
        await units.start(launch, "t")
    assert systemd.told() == []


async def test_a_start_of_which_nothing_is_left_says_so_with_the_journal(
    units: Units, systemd: FakeSystemd, launch: Launch
) -> None:
    systemd.shows(NONE, {**NONE, "Job": "7"}, NONE)
    systemd.answer("journal", "Dependency failed for shop@blue.service.\n")
    with pytest.raises(ServiceError, match=f"^{UNIT} was started and does not run: ") as raised:
        await units.start(launch, "t")
    assert raised.value.output_tail == "Dependency failed for shop@blue.service."


# --- Finding and looking -------------------------------------------------------------------------


async def test_a_run_is_found_by_the_token_in_the_slots_file(
    units: Units, systemd: FakeSystemd, launch: Launch, tmp_path: Path
) -> None:
    assert await units.find("t") is None
    systemd.shows(NONE, RUNS)
    await units.start(launch, "t")
    assert await units.find("t") == HANDLE
    assert await units.find("another") is None
    of_another_unit = Units(Place(tmp_path, tmp_path / "output", "shop2@blue.service"))
    assert await of_another_unit.find("t") is None
    systemd.shows(NONE)
    assert await units.find("t") is None


@pytest.mark.parametrize(
    ("unit", "sight"),
    [
        (RUNS, Sight(True, "")),
        ({"ActiveState": "reloading", "SubState": "reload"}, Sight(True, "")),
        (STARTS, Sight(True, f"{UNIT} is activating (start)")),
        (WAITS, Sight(True, f"{UNIT} is activating (auto-restart)")),
        (FAILED, Sight(False, f"{UNIT} is failed")),
        ({"InvocationID": "run-2"}, Sight(False, f"{UNIT} is not in the run that was begun")),
    ],
)
async def test_a_look_tells_just_this_run_from_all_others(
    units: Units, systemd: FakeSystemd, unit: dict[str, str], sight: Sight
) -> None:
    systemd.shows(unit)
    assert await units.look(HANDLE) == sight


# --- Waiting and stopping ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "ended"),
    [
        (FAILED, Ended("exited with code 3")),
        (WAITS, Ended("exited with code 3", returns=True)),
        (
            {"InvocationID": "run-2", "NRestarts": "4"},
            Ended("ended, and was started again by systemd (4 times so far)", returns=True),
        ),
        (
            {"InvocationID": "run-2"},
            Ended("ended, and was started again by somebody", returns=True),
        ),
        (NONE, Ended("ended without an error: it exited with code 0, or somebody stopped it")),
    ],
)
async def test_a_run_that_ended_is_told_with_whether_it_comes_back(
    units: Units, systemd: FakeSystemd, unit: dict[str, str], ended: Ended
) -> None:
    systemd.shows(RUNS, {"ActiveState": "deactivating"}, unit)
    assert await asyncio.wait_for(units.wait(HANDLE), 20) == ended


async def test_the_end_of_the_main_process_is_what_is_waited_for(
    units: Units, systemd: FakeSystemd
) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    systemd.shows({"MainPID": str(process.pid)}, FAILED)
    waiting = asyncio.create_task(units.wait(HANDLE))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    process.kill()
    await process.wait()
    assert await asyncio.wait_for(waiting, 20) == Ended("exited with code 3")


async def test_a_wait_outlives_a_systemd_that_cannot_be_asked(
    units: Units, systemd: FakeSystemd
) -> None:
    systemd.shows()
    systemd.answer("show", "Failed to connect to bus: Connection refused\n", "error")
    systemd.answer("show", "")
    systemd.answer("show", shown(FAILED))
    assert await asyncio.wait_for(units.wait(HANDLE), 20) == Ended("exited with code 3")


async def test_a_stop_waits_until_the_unit_has_ended(units: Units, systemd: FakeSystemd) -> None:
    systemd.shows(RUNS, {"ActiveState": "deactivating"}, {"ActiveState": "deactivating"}, NONE)
    assert await units.stop(HANDLE, 20.0) == "stopped"
    assert systemd.told() == [f"stop --no-block -- {UNIT}"]


async def test_a_stop_kills_once_after_the_grace(units: Units, systemd: FakeSystemd) -> None:
    ends = {"ActiveState": "deactivating", "SubState": "stop-sigterm"}
    systemd.shows(RUNS, ends, ends, ends, FAILED)
    assert await units.stop(HANDLE, 0.0) == "killed"
    assert systemd.told() == [
        f"stop --no-block -- {UNIT}",
        f"kill --signal=SIGKILL -- {UNIT}",
    ]


async def test_what_systemd_kills_before_the_grace_is_over_was_cut_short(
    units: Units, systemd: FakeSystemd
) -> None:
    systemd.shows(RUNS, {**FAILED, "Result": "timeout"})
    assert await units.stop(HANDLE, 20.0) == "cut short"


async def test_what_even_sigkill_does_not_end_is_an_error(
    units: Units, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "KILL_SECONDS", 0.0)
    systemd.shows(RUNS, {"ActiveState": "deactivating", "SubState": "stop-sigkill"})
    with pytest.raises(ServiceError, match=r"is deactivating \(stop-sigkill\) 0 s after SIGKILL"):
        await units.stop(HANDLE, 0.0)


@pytest.mark.parametrize("unit", [NONE, FAILED, {"InvocationID": "run-2"}])
async def test_a_stop_of_a_run_that_has_ended_stops_nothing_that_is_not_the_slots(
    units: Units, systemd: FakeSystemd, unit: dict[str, str]
) -> None:
    systemd.shows(unit)
    assert await units.stop(HANDLE, 20.0) == "gone"
    assert systemd.told() == []


async def test_a_run_that_systemd_began_since_is_stopped_in_place_of_the_one_before(
    units: Units, systemd: FakeSystemd, tmp_path: Path
) -> None:
    own = {"TIDEGATE_INSTANCE": "t", "TIDEGATE_UNIT": UNIT}
    environment_file.write(tmp_path / "environment", own)
    systemd.shows({"InvocationID": "run-2", "NRestarts": "1"}, {**NONE, "InvocationID": "run-2"})
    assert await units.stop(HANDLE, 20.0) == "stopped"
    assert systemd.told() == [f"stop --no-block -- {UNIT}"]


async def test_a_start_that_systemd_has_still_to_make_is_found_and_taken_back(
    units: Units, systemd: FakeSystemd, launch: Launch
) -> None:
    """Whoever told systemd may be dead or cancelled: nobody would watch what it starts then."""
    queued = {**NONE, "Job": "7"}
    systemd.shows(NONE, queued)
    starting = asyncio.create_task(units.start(launch, "t"))
    while not systemd.told():
        await asyncio.sleep(0.01)
    starting.cancel()
    await asyncio.wait([starting])
    handle = await units.find("t")
    assert handle is not None
    assert not (await units.look(handle)).alive, "so nobody goes on with it as if it ran"
    systemd.shows(queued, {**queued, "Job": "8"}, NONE)
    assert await units.stop(handle, 20.0) == "stopped"
    assert systemd.told() == [f"start --no-block -- {UNIT}", f"stop --no-block -- {UNIT}"]


async def test_a_unit_that_ends_just_before_it_is_killed_was_stopped(
    units: Units, systemd: FakeSystemd
) -> None:
    systemd.shows(RUNS, {"ActiveState": "deactivating"}, NONE)
    systemd.answer("kill", f"Failed to kill unit {UNIT}: Unit {UNIT} not loaded.\n", "error")
    assert await units.stop(HANDLE, 0.0) == "stopped"


async def test_a_kill_that_systemd_refuses_is_an_error(units: Units, systemd: FakeSystemd) -> None:
    systemd.shows(RUNS)
    systemd.answer("kill", "Failed to kill unit: it will not\n", "error")
    with pytest.raises(ServiceError, match="it will not$"):
        await units.stop(HANDLE, 0.0)


async def test_a_unit_that_waits_to_be_started_again_is_stopped(
    units: Units, systemd: FakeSystemd
) -> None:
    systemd.shows(WAITS, NONE)
    assert await units.stop(HANDLE, 20.0) == "stopped"
    assert systemd.told() == [f"stop --no-block -- {UNIT}"]


# --- Before anything is started ------------------------------------------------------------------


async def test_without_systemd_no_unit_can_be_started(
    units: Units, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(systemctl, "BOOTED", tmp_path / "nowhere")
    with pytest.raises(NodeError, match=f"^{UNIT} cannot be started: systemd is not what runs th"):
        await units.check()


@pytest.mark.parametrize("uid", [0, 1000])
async def test_only_one_who_is_not_root_tries_out_whether_it_may(
    units: Units, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int
) -> None:
    monkeypatch.setattr(systemctl, "BOOTED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    await units.check()
    assert systemd.told() == ([f"stop -- {UNIT}"] if uid else [])


async def test_a_unit_that_runs_the_slots_last_release_is_no_hindrance_and_not_stopped(
    units: Units,
    systemd: FakeSystemd,
    launch: Launch,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(systemctl, "BOOTED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    systemd.shows(NONE, RUNS)
    await units.start(launch, "t")
    await units.check()
    assert systemd.told() == [f"start --no-block -- {UNIT}"]


@pytest.mark.parametrize("unit", ["{port}.service", "shop@{slot}", "-H{slot}.service", "{slot}"])
def test_an_agent_looks_at_the_name_itself(unit: str) -> None:
    words = launching.words(
        app="shop", environment="production", version="1", slot="blue", node="a", port=8001
    )
    with pytest.raises(ServiceError):
        launching.unit_name(pb.Service(manager="systemd", unit=unit), words)
