"""Apps as units of a real systemd: deployed, undone, found again after `kill -9` and a reboot.

One machine for all tests here, made of namespaces (systemd_node.py); what runs on it: unit_land.py.
"""

import fcntl
import itertools
import os
import re
import sqlite3
from collections.abc import Iterator

import pytest
from systemd_node import missing
from unit_land import CONFIG, DATA, GREETING, MORE, POLKIT, RULES, UNIT, Land, failed, other, until

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Land]:
    """One at a time, where several processes share the tests: all such machines have one network,
    and their agents, which lie in the same place, would take the same ports."""
    shared = tmp_path_factory.getbasetemp().parent / "land.lock"
    with shared.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        land = Land(tmp_path_factory.mktemp("land"))
        try:
            land.start()
            yield land
        finally:
            land.machine.power_off()
            land.fleet.stop()


def test_a_release_runs_as_the_slots_unit_with_the_slots_variables(land: Land) -> None:
    rollout = land.deploy("1")
    assert rollout.state == "succeeded", (rollout, land.said_by_the_agent())
    slot = land.active()
    assert land.answers() == f"1 {slot} {GREETING}"
    assert land.run_of(slot) == land.handle(slot)["invocation"] != ""
    file = land.machine.root / DATA.lstrip("/") / f"apps/hello/slots/{slot}/environment"
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert f'TIDEGATE_INSTANCE="{land.handle(slot)["token"]}"' in file.read_text()


def test_the_next_release_takes_the_other_unit_and_a_rollback_starts_nothing(land: Land) -> None:
    served = land.served()
    former = land.active()
    run = land.run_of(former)
    assert land.deploy("2").state == "succeeded"
    assert land.active() != former
    assert land.answers() == f"2 {land.active()} {GREETING}"
    assert land.run_of(former) == run, "the old release runs on beside the new one"
    assert land.roll_back().state == "succeeded"
    assert (land.active(), land.run_of(former)) == (former, run)
    assert land.answers() == served


def test_a_release_that_exits_at_once_shows_its_journal_and_is_undone(land: Land) -> None:
    served = land.served()
    rollout = land.deploy("3.2", exits_at_once=True)
    assert rollout.state == "rolled_back"
    view = failed(rollout, "Start")
    assert view.error.startswith("exited with code 3 after "), view
    lines = view.output_tail.splitlines()
    assert "hello from 3.2" in lines
    assert "FATAL: required setting DATABASE_URL is not set" in lines
    assert land.answers() == served
    idle = other(land.active())
    assert land.show(f"hello@{idle}.service", "ActiveState") == "inactive", "and stays so"


def test_a_release_that_systemd_never_hears_from_is_not_asked_and_fails_in_time(
    land: Land,
) -> None:
    served = land.served()
    with land.configured(CONFIG.replace('deadline = "20s"', 'deadline = "1s"')):
        rollout = land.deploy("4", ready_after=60, stubborn=True)
    assert rollout.state == "rolled_back"
    assert re.match(
        r"not healthy within 1 s: last: hello@(blue|green)\.service is activating \(start\)$",
        failed(rollout, "Start").error,
    )
    assert land.show(f"hello@{other(land.active())}.service", "Result") == "signal", "it was killed"
    assert land.answers() == served


def test_a_start_that_still_waits_for_another_unit_when_the_agent_returns_is_taken_back(
    land: Land,
) -> None:
    """Else systemd would start the undone release when the other unit is up."""
    served = land.served()
    assert land.deploy("4.1", exits_at_once=True).state == "rolled_back"
    unit = f"hello@{other(land.active())}.service"
    units = land.machine.root / "etc/systemd/system"
    (units / "slow.service").write_text("[Service]\nType=oneshot\nExecStart=sleep 600\n")
    drop_in = units / f"{unit}.d/slow.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Unit]\nRequires=slow.service\nAfter=slow.service\n")
    land.machine.run("systemctl", "daemon-reload")
    land.machine.run("systemctl", "start", "--no-block", unit)
    until(lambda: land.show(unit, "Job") not in ("", "0"), "the start is queued")
    land.kill_agent()
    until(lambda: land.show(unit, "Job") in ("", "0"), "it is taken back")
    assert land.show(unit, "ActiveState") == "inactive"
    drop_in.unlink()
    land.machine.run("systemctl", "daemon-reload")
    land.machine.run("systemctl", "stop", "slow.service")
    until(lambda: land.status().connected, "the agent is connected again")
    assert land.answers() == served


def test_an_agent_killed_in_the_middle_of_a_start_finds_the_unit_that_it_started(
    land: Land,
) -> None:
    land.served()
    idle = other(land.active())
    reply = land.begin("5.2", ready_after=1)
    unit = f"hello@{idle}.service"
    until(lambda: land.show(unit, "ActiveState") == "activating", f"{unit} is starting")
    run, agent = land.show(unit, "InvocationID"), land.agent_pid()
    land.kill_agent()
    assert land.end(reply).state == "succeeded"
    assert land.agent_pid() != agent
    assert land.active() == idle
    assert land.run_of(idle) == run, "it was neither stopped nor started"


def test_an_agent_that_died_before_it_could_record_the_run_finds_it_by_the_file_in_the_slot(
    land: Land,
) -> None:
    land.served()
    idle = other(land.active())
    reply = land.begin("5.3", ready_after=1)
    unit = f"hello@{idle}.service"
    until(lambda: land.show(unit, "ActiveState") == "activating", f"{unit} is starting")
    run = land.show(unit, "InvocationID")
    land.machine.run("systemctl", "stop", "tidegate-agent")
    with sqlite3.connect(land.journal) as database:
        database.execute("UPDATE slots SET handle = NULL WHERE slot = ?", (idle,))
    land.machine.run("systemctl", "start", "tidegate-agent")
    assert land.end(reply).state == "succeeded"
    assert land.run_of(idle) == run, "it was neither stopped nor started"


def test_an_agent_killed_after_the_switch_finds_both_units_again(land: Land) -> None:
    land.served()
    land.deploy("6")
    runs = {slot: land.run_of(slot) for slot in ("blue", "green")}
    agent = land.agent_pid()
    land.kill_agent()
    until(lambda: land.agent_pid() not in (agent, "0"), "systemd has started the agent again")
    until(lambda: land.status().connected, "it is connected")
    assert {slot: land.run_of(slot) for slot in runs} == runs
    slots = land.status().slots
    assert {slot: (view.running, view.healthy) for slot, view in slots.items()} == {
        "blue": (True, True),
        "green": (True, True),
    }
    assert land.roll_back().state == "succeeded"
    assert {slot: land.run_of(slot) for slot in runs} == runs


def test_what_systemd_restarts_itself_is_gone_on_with(land: Land) -> None:
    served = land.served()
    slot = land.active()
    unit, run = f"hello@{slot}.service", land.run_of(slot)
    land.machine.run("systemctl", "kill", "--signal=KILL", unit)
    until(lambda: land.handle(slot).get("invocation") not in (run, None), "the agent knows it")
    assert land.handle(slot)["invocation"] == land.show(unit, "InvocationID")
    assert land.show(unit, "NRestarts") == "1", "and the agent did not start it once more"
    until(lambda: land.status().slots[slot].healthy is True, "it is healthy again")
    said = land.said_by_the_agent()
    assert (
        f"slot {slot} of hello is unhealthy: was killed by SIGKILL; its manager starts it again"
        in said
    )
    assert land.answers() == served


def test_what_somebody_stops_by_hand_is_started_again(land: Land) -> None:
    land.served()
    slot = land.active()
    run = land.run_of(slot)
    land.machine.run("systemctl", "stop", f"hello@{slot}.service")
    until(lambda: land.run_of(slot) not in ("", run), "the agent has started it again")
    until(lambda: land.handle(slot).get("invocation") == land.run_of(slot), "it knows the run")


def test_after_a_reboot_the_slots_run_again_whoever_starts_their_units(land: Land) -> None:
    """One is enabled, so that systemd starts it; the other is left to the agent."""
    land.served()
    land.deploy("9")
    served, slot = land.answers(), land.active()
    runs = {name: land.run_of(name) for name in ("blue", "green")}
    wants = land.machine.root / "etc/systemd/system/multi-user.target.wants"
    (wants / f"hello@{slot}.service").symlink_to("../hello@.service")
    land.machine.power_off()
    land.machine.boot()
    for name, run in runs.items():
        until(lambda: land.run_of(name) not in ("", run), f"{name} runs again")  # noqa: B023
        until(lambda: land.handle(name)["invocation"] == land.run_of(name), "it is known")  # noqa: B023
    land.fleet.wait_connected()
    until(lambda: all(view.healthy for view in land.status().slots.values()), "both are healthy")
    assert land.answers() == served
    lines = land.machine.run("journalctl", "-q", "-o", "cat", "-u", f"hello@{slot}.service")
    assert lines.splitlines().count("hello from 9") == 1, "the agent has not started it once more"


CANNOT_BE = {
    "gone": ("", r"there is no unit gone@(blue|green)\.service on this node; put its file "),
    "masked": (
        None,
        r"masked@(\w+)\.service is masked on this node; type systemctl unmask masked@\1",
    ),
    "bad": (
        "[Service]\nType=never\n",
        r"systemd cannot read bad@\w+\.service: Unit bad@\w+\.service ",
    ),
    "job": ("[Service]\nType=oneshot\nExecStart=true\n", r"job@\w+\.service has Type=oneshot, so "),
    "own": (
        "[Service]\nExecStart=sleep 99\n",
        r"own@\w+\.service is active \(running\) already, and Tidegate did not start it; ",
    ),
    "old": ("[Service]\nExecStart=sleep 99\n", r"the file of old@\w+\.service was changed and "),
}


def test_a_unit_that_cannot_be_started_fails_the_preflight_in_words(land: Land) -> None:
    served = land.served()
    units = land.machine.root / "etc/systemd/system"
    both = [f"{unit}@{slot}.service" for unit in ("own", "old") for slot in ("blue", "green")]
    for unit, (text, _) in CANNOT_BE.items():
        for slot in ("blue", "green"):
            if text is None:
                (units / f"{unit}@{slot}.service").symlink_to("/dev/null")
            elif text:
                (units / f"{unit}@{slot}.service").write_text(text)
    land.machine.run("systemctl", "daemon-reload")
    land.machine.run("systemctl", "start", *both)
    for slot in ("blue", "green"):
        (units / f"old@{slot}.service").write_text("[Service]\nExecStart=sleep 100\n")
    for unit, (_, expected) in CANNOT_BE.items():
        with land.configured(CONFIG.replace("hello@", f"{unit}@")):
            rollout = land.deploy(f"10-{unit}")
        assert rollout.state in ("failed", "rolled_back"), rollout
        said = failed(rollout, "Preflight").error
        assert re.match(expected, said), said
    assert land.answers() == served


ENDS = {
    "exec": (
        "[Service]\nExecStart=/no/such/program\n",
        r"exited with code 203 \(systemd's own for EXEC, where its journal says so\) after ",
        "Failed at step EXEC spawning /no/such/program: No such file or directory",
    ),
    "file": (
        "[Service]\nEnvironmentFile=/no/such/file\nExecStart=sleep 99\n",
        "could not be started for lack of something that the unit names after ",
        "Failed to load environment files: No such file or directory",
    ),
    "when": (
        "[Unit]\nConditionPathExists=/no/such\n[Service]\nExecStart=sleep 99\n",
        r"when@\w+\.service was started and does not run: ",
        "was skipped because of an unmet condition check (ConditionPathExists=/no/such).",
    ),
    "zero": (
        "[Service]\nExecStart=echo that was all\n",
        r"zero@\w+\.service was started and does not run: |ended without an error: ",
        "that was all",
    ),
}


def test_a_unit_that_systemd_cannot_keep_running_is_undone_with_the_reason(land: Land) -> None:
    served = land.served()
    units = land.machine.root / "etc/systemd/system"
    for unit, (text, _, _) in ENDS.items():
        (units / f"{unit}@.service").write_text(text)
    land.machine.run("systemctl", "daemon-reload")
    for unit, (_, expected, line) in ENDS.items():
        with land.configured(CONFIG.replace("hello@", f"{unit}@")):
            rollout = land.deploy(f"14-{unit}")
        assert rollout.state == "rolled_back"
        view = failed(rollout, "Start")
        assert re.match(expected, view.error), view
        assert line in view.output_tail, view
    assert land.answers() == served


@pytest.mark.skipif(not POLKIT.exists(), reason="no polkitd here; apt-get install polkitd")
def test_an_agent_that_is_not_root_needs_a_rule_of_polkit_and_is_told_so_before_anything_starts(
    land: Land,
) -> None:
    """The last one here: it changes the agent's user."""
    served = land.served()
    root = land.machine.root
    (root / "etc/systemd/system/tidegate-agent.service.d/units.conf").write_text(MORE)
    (root / "etc/systemd/system/mine@.service").write_text(UNIT)
    land.machine.run("systemctl", "daemon-reload")
    land.machine.run("systemctl", "restart", "tidegate-agent")
    until(lambda: land.status().connected, "it is connected")
    with land.configured(CONFIG.replace("hello@", "mine@")):
        refused = land.deploy("11")
        assert re.fullmatch(
            r"this agent, which runs as tidegate-agent, may not stop mine@\w+\.service; allow it "
            r"by a rule of polkit, or let the agent be root: systemd/README\.md",
            failed(refused, "Preflight").error,
        )
        assert land.answers() == served
        rule = RULES.replace("/^shop@", "/^(hello|mine)@")
        (root / "etc/polkit-1/rules.d/50-tidegate-agent-units.rules").write_text(rule)
        attempts = (land.deploy(f"12.{number}").state for number in itertools.count())
        until(lambda: next(attempts) == "succeeded", "polkit has read the rule")
        served = land.answers()
        rollout = land.deploy("13", exits_at_once=True)
        assert rollout.state == "rolled_back"
        tail = failed(rollout, "Start").output_tail
        assert "FATAL: required setting DATABASE_URL is not set" in tail.splitlines()
        assert land.answers() == served
