"""The log of Monday meets the fleet of Tuesday: nothing is touched until a person has decided."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from test_agent_calls import TurnedAway, connect
from without_doors import PATIENCE_SECONDS, SILENT, Desk

from tidegate_controller import reconcile_requests, views
from tidegate_controller.backup import backup
from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.reconcile import reconcile_lines
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.spec import Freeze
from tidegate_controller.doctor.fleet import judge
from tidegate_controller.errors import Refused
from tidegate_controller.history import History, find_rollout, summary
from tidegate_controller.log_check import check
from tidegate_controller.log_reading import of_rollout
from tidegate_controller.named_apps import find_stream
from tidegate_controller.replay import replay_file
from tidegate_controller.restore import restore
from tidegate_controller.stream import Stream
from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1 import operator_pb2 as op


def keep(desk: Desk) -> Path:
    """A backup of now, while the controller runs."""
    file = desk.folder / "monday.backup"
    backup(desk.folder, file, replace=True, artifacts=False)
    return file


async def restored(desk: Desk, *joining: str) -> None:
    """The controller is gone with its log; another one begins on Monday's backup."""
    await desk.stop()
    restore(desk.folder / "monday.backup", desk.folder, replace=True)
    await desk.start()
    for agent in desk.agents.values():
        agent.sent.clear()
    for name in joining or desk.agents:
        await desk.agents[name].join()


async def tuesday(desk: Desk, *nodes: str) -> None:
    """Version 1 is in Monday's backup; version 2 came after it."""
    for name in nodes:
        await desk.node(name)
    await desk.deployed("1", nodes=nodes)
    keep(desk)
    await desk.deployed("2", nodes=nodes)
    says_versions(desk, {"2": "2", "1": "1"})


def says_versions(desk: Desk, names: dict[str, str]) -> None:
    """Real agents know what a slot's version is called."""
    for version, name in names.items():
        digest = desk.request(version, desk.spec()).digest
        for agent in desk.agents.values():
            for slot in agent.slots.values():
                if slot.revision.digest == digest:
                    slot.version = name


async def decided(desk: Desk, decision: str, **more: Any) -> op.RolloutReply:
    request = op.ReconcileRequest(
        request_id=f"decision-{decision}", app="shop", decision=decision, requested_by="ada", **more
    )
    stream = find_stream(desk.engine, "shop", "")
    return await reconcile_requests.reconcile(desk.engine, desk.store, stream, request)


def table(desk: Desk) -> list[tuple[str, str, str]]:
    (app,) = reconcile_requests.view(desk.engine).undecided
    return [(each.node, each.log, each.now) for each in app.differences]


# --- Until a person has decided ------------------------------------------------------------------


async def test_what_runs_is_left_alone_and_the_difference_is_shown(desk: Desk) -> None:
    await tuesday(desk, "a", "b")
    leads_to = desk.lead_to()
    await restored(desk)
    assert table(desk) == [("a", "1 in blue", "2 in green"), ("b", "1 in blue", "2 in green")]
    assert desk.agents["a"].sent == desk.agents["b"].sent == []
    assert desk.lead_to() == leads_to
    lines = reconcile_lines(await reconcile_requests.view_with_balancers(desk.engine))
    assert lines[0] == "shop in prod: the log has 1 active"
    assert "  a     1 in blue    2 in green  yes" in lines
    assert lines[-1].endswith(" tidegate controller reconcile shop -e prod --converge")


async def test_who_takes_traffic_is_shown_as_the_balancer_says(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tuesday(desk, "a", "b")
    desk.agents["b"].slots["shop@prod", "green"].port += 1000
    await restored(desk)

    async def taking() -> dict[str, bool | None]:
        (app,) = (await reconcile_requests.view_with_balancers(desk.engine)).undecided
        return {each.node: each.traffic for each in app.differences}

    assert await taking() == {"a": True, "b": False}

    async def silent(*_: object) -> dict[str, int]:
        raise Refused("nobody knows where traffic goes")

    monkeypatch.setattr(reconcile_requests, "read_balancer", silent)
    assert await taking() == {"a": None, "b": None}


async def test_deploy_and_rollback_are_refused_with_what_to_type(desk: Desk) -> None:
    await tuesday(desk, "a")
    await restored(desk)
    for asked in (desk.deploy("3"), desk.rollback()):
        with pytest.raises(Refused, match="restored from a backup, and nobody has decided") as told:
            await asked
        assert "tidegate controller reconcile shop -e prod --adopt" in told.value.hint
        assert told.value.exit_code == 4
    assert desk.agents["a"].sent == []


async def test_status_and_doctor_say_that_it_waits(desk: Desk) -> None:
    await tuesday(desk, "a")
    await restored(desk)
    status = views.status(desk.engine, "")
    (note,) = status.apps[0].notes
    assert "tidegate controller reconcile shop -e prod" in note
    from datetime import UTC, datetime

    controller, nodes = views.controller(desk.engine), views.nodes(desk.engine)
    findings = judge(controller, nodes, status, datetime.now(UTC), "here")
    assert any(note in finding.what for finding in findings)


async def test_a_rollout_that_was_under_way_is_interrupted_and_not_gone_on_with(
    desk: Desk,
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    desk.agents["a"].outcomes["start_slot"] = SILENT
    await desk.deploy("2")
    await desk.until(lambda: "start_slot" in desk.agents["a"].works())
    keep(desk)
    del desk.agents["a"].outcomes["start_slot"]
    await restored(desk)
    assert desk.endings() == ["succeeded", "interrupted"]
    assert desk.state().rollout is None
    assert desk.agents["a"].sent == []
    await decided(desk, "adopt")
    await desk.deployed("3")
    assert desk.endings()[-1] == "succeeded"


async def test_a_deployment_that_waited_for_its_turn_has_ended_wherever_it_is_looked_at(
    desk: Desk,
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    desk.agents["a"].outcomes["start_slot"] = SILENT
    await desk.deploy("2")
    rollout = (await desk.requests.deploy(desk.request("3", desk.spec(), queue=True))).rollout
    keep(desk)
    del desk.agents["a"].outcomes["start_slot"]
    await restored(desk)
    place = desk.engine.place_of(rollout)
    view = find_rollout(desk.log.path, place.stream, place.version)
    listed = History(desk.log.path).catch_up()[-1]
    why = "it waited for its turn when the backup was made that was restored"
    assert (view.rollout, view.state, view.reason) == (rollout, "interrupted", why)
    assert summary(view) == listed
    async with asyncio.timeout(PATIENCE_SECONDS):
        followed = [r async for r in of_rollout(desk.engine, rollout, 0, follow=True)]
    assert [record.kind for record in followed] == ["Queued", "Restored"]
    narrator = Narrator(Picture())
    told = [line for record in followed for line in narrator.lines(views.event_view(record))]
    assert told[-1] == "not begun: a backup that was made while it waited has been restored"


async def test_chores_that_were_waiting_are_not_done(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    await desk.deployed("2")
    assert [chore.work.verb for chore in desk.state().chores] == ["stop"]
    keep(desk)
    await restored(desk)
    assert desk.state().chores == ()


async def test_what_nodes_hold_of_an_app_that_the_log_does_not_know_is_shown(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    keep(desk)
    await desk.deployed("7", app="blog")
    await restored(desk)
    (unknown,) = reconcile_requests.view(desk.engine).unknown
    assert (unknown.app, unknown.environment, unknown.nodes) == ("blog", "prod", ["a"])
    told = reconcile_lines(reconcile_requests.view(desk.engine))
    assert "blog in prod: the log knows nothing of it, and it is on a" in told


async def waiting(desk: Desk) -> None:
    """Monday's backup has an app whose first deployment waits for the end of a freeze."""
    freeze = Freeze(begin="2020-01-01 00:00", until="2120-01-01 00:00", reason="no more")
    await desk.node("a")
    spec = replace(desk.spec(), freeze=(freeze,))
    assert (await desk.requests.deploy(desk.request("1", spec, queue=True))).queued
    keep(desk)


async def test_an_app_that_only_waited_for_its_turn_is_deployed_as_if_new(desk: Desk) -> None:
    await waiting(desk)
    await desk.stop()
    assert restore(desk.folder / "monday.backup", desk.folder, replace=True).apps == []
    await desk.start()
    await desk.agents["a"].join()
    assert reconcile_requests.view(desk.engine).undecided == []
    await desk.deployed("1")
    assert desk.endings() == ["succeeded"]


async def test_what_it_became_after_the_backup_is_shown_as_of_an_app_that_is_not_known(
    desk: Desk,
) -> None:
    await waiting(desk)
    await desk.deployed("1")
    await restored(desk)
    (unknown,) = reconcile_requests.view(desk.engine).unknown
    assert (unknown.app, unknown.nodes) == ("shop", ["a"])


async def test_one_of_which_only_a_place_is_known_can_be_decided_about(desk: Desk) -> None:
    """A deployment that was refused when its turn came had taken note of it."""
    await waiting(desk)
    await restored(desk)
    known = t.Known(running=False, healthy=False)
    stream = desk.engine.streams["shop@prod"]
    stream.state = replace(stream.state, places={t.Place("a/blue"): known}, reconciling=True)
    await decided(desk, "adopt")
    await desk.deployed("1")
    assert desk.endings() == ["succeeded"]


async def test_where_nothing_differs_that_is_said_too(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    keep(desk)
    await restored(desk)
    assert table(desk) == []
    assert "  all of its nodes run what the log has" in reconcile_lines(
        reconcile_requests.view(desk.engine)
    )


async def test_a_node_that_is_away_is_shown_as_unknown(desk: Desk) -> None:
    await tuesday(desk, "a", "b")
    await restored(desk, "a")
    assert table(desk)[1] == ("b", "1 in blue", "not connected: nobody knows")


# --- Adopt ---------------------------------------------------------------------------------------


async def test_adopted_the_log_has_what_runs_and_nothing_was_moved(desk: Desk) -> None:
    await tuesday(desk, "a", "b")
    leads_to = desk.lead_to()
    await restored(desk)
    reply = await decided(desk, "adopt", message="the fleet is right")
    assert reply.rollout == ""
    assert reply.message == (
        "shop@prod: what runs is what counts: version 2, with traffic to 2 nodes"
    )
    assert desk.agents["a"].sent == desk.agents["b"].sent == []
    assert desk.lead_to() == leads_to
    (app,) = views.status(desk.engine, "").apps
    assert (app.version, app.notes) == ("2", [])
    assert [node.active_slot for node in app.nodes] == ["green", "green"]
    assert reconcile_requests.view(desk.engine).undecided == []


async def test_after_that_it_is_a_stream_like_any_other(desk: Desk) -> None:
    await tuesday(desk, "a", "b")
    await restored(desk)
    await decided(desk, "adopt")
    await desk.deployed("3", nodes=("a", "b"))
    assert desk.endings()[-1] == "succeeded"
    assert desk.lead_to() == {desk.agents[n].address("shop@prod", "blue") for n in "ab"}
    await desk.ended(desk.rollback())
    assert desk.endings()[-1] == "succeeded"
    assert desk.state().committed[-1].version == "2"
    assert desk.lead_to() == {desk.agents[n].address("shop@prod", "green") for n in "ab"}
    assert replay_file(desk.log.path).different == 0
    check(desk.log.path)


async def test_a_release_whose_artifact_is_not_here_serves_but_is_not_brought_back(
    desk: Desk,
) -> None:
    await tuesday(desk, "a")
    release = desk.state().committed[-1]
    (desk.folder / "artifacts" / release.revision.digest.removeprefix("sha256:")).unlink()
    await restored(desk)
    await decided(desk, "adopt")
    assert desk.state().committed[-1].incomplete
    await desk.deployed("3")
    with pytest.raises(Refused, match="version 2 was adopted as it ran"):
        await desk.rollback()
    await desk.ended(desk.rollback(to="1"))
    assert desk.state().committed[-1].version == "1"


async def test_the_same_decision_once_more_changes_nothing(desk: Desk) -> None:
    await tuesday(desk, "a")
    await restored(desk)
    await decided(desk, "adopt")
    before = desk.kinds()
    assert (await decided(desk, "adopt")).message.endswith("version 2, with traffic to 1 node")
    assert desk.kinds() == before
    with pytest.raises(Refused, match="there is nothing to decide about shop@prod"):
        await decided(desk, "converge")


async def test_a_node_that_is_away_has_to_be_left_out_in_so_many_words(desk: Desk) -> None:
    await tuesday(desk, "a", "b")
    await restored(desk, "a")
    desk.long_up()
    before = desk.kinds()
    with pytest.raises(Refused, match="b not connected, so nobody knows what runs there"):
        await decided(desk, "adopt")
    assert desk.kinds() == before
    await decided(desk, "adopt", without_absent=True)
    assert list(desk.state().debts) == ["b"]
    await desk.agents["b"].join()
    assert desk.agents["b"].sent == []
    await desk.deployed("3", nodes=("a", "b"))
    steps = [r.event.step for r in desk.records() if r.kind == "StepEntered"]
    assert steps[len(steps) - steps[::-1].index("preflight") :][0] == "settle"
    serving = [n.slots[n.active_slot].version for n in views.status(desk.engine, "").apps[0].nodes]
    assert serving == ["3", "3"]
    assert len(desk.lead_to()) == 2


async def test_traffic_to_nobody_that_is_known_is_not_adopted(desk: Desk) -> None:
    await tuesday(desk, "a")
    await restored(desk)
    for lane in desk.lanes().glob("lane-*"):
        lane.write_text("10.0.0.9:80")
    with pytest.raises(Refused, match="traffic goes to 10.0.0.9:80, where no node"):
        await decided(desk, "adopt")


async def test_nodes_that_differ_take_the_release_of_most_and_the_rest_owe_it(desk: Desk) -> None:
    nodes = ("a", "b", "c")
    for name in nodes:
        await desk.node(name)
    await desk.deployed("1", nodes=nodes)
    keep(desk)
    await desk.deployed("2", nodes=nodes)
    says_versions(desk, {"2": "2"})
    one = desk.agents["c"].slots["shop@prod", "blue"].revision
    await desk.agents["c"].runs("shop@prod", "green", one, current=True)
    lanes = sorted(desk.lanes().glob("lane-*"))
    there = [desk.agents[name].address("shop@prod", "green") for name in nodes]
    for lane, address in zip(lanes, [*there, there[0]], strict=True):
        lane.write_text(address)
    await restored(desk)
    reply = await decided(desk, "adopt")
    assert reply.message.endswith("; no rollback goes to it until it was deployed to all")
    assert desk.state().committed[-1].version == "2"
    assert desk.state().debts == {
        "c/green": "runs another release than 2, which most do; the next deploy or rollback "
        "mends that"
    }
    await desk.deployed("3", nodes=nodes)
    assert desk.endings()[-1] == "succeeded"


# --- Converge ------------------------------------------------------------------------------------


async def test_converged_the_fleet_is_back_at_what_the_log_has(desk: Desk) -> None:
    await tuesday(desk, "a", "b")
    await restored(desk)
    reply = await desk.ended(decided(desk, "converge"))
    assert reply.rollout == "r2"
    assert desk.endings()[-1] == "succeeded"
    assert desk.lead_to() == {desk.agents[n].address("shop@prod", "blue") for n in "ab"}
    assert [release.version for release in desk.state().committed] == ["2", "1"]
    assert not desk.state().reconciling


async def test_a_converge_is_refused_where_another_environment_has_just_taken_its_nodes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tuesday(desk, "a")
    await restored(desk)

    class Admission:
        """Where this request waited for its turn, another one came first."""

        async def __aenter__(self) -> None:
            other = desk.engine.streams.setdefault("shop@staging", Stream("shop@staging"))
            other.state = replace(other.state, settled={t.Place("a/blue"): 100})

        async def __aexit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(desk.engine, "admission", Admission())
    with pytest.raises(Refused, match="a already serves shop in staging"):
        await decided(desk, "converge")
    assert desk.state().reconciling


async def test_a_node_that_serves_another_environment_by_now_is_left_to_it(desk: Desk) -> None:
    """It was taken out of this one before the backup, and its agent still has that slot."""
    await desk.node("b")
    await desk.node("a")
    await desk.deployed("1", nodes=("a", "b"))
    await desk.deployed("2", nodes=("a",))
    keep(desk)
    await desk.deployed("3", nodes=("a",))
    says_versions(desk, {"2": "2", "3": "3"})
    desk.agents["b"].slots["shop@prod", "blue"].running = pb.TRI_NO
    await restored(desk)
    other = desk.engine.streams.setdefault("shop@staging", Stream("shop@staging"))
    other.state = replace(other.state, settled={t.Place("b/blue"): 100})
    assert table(desk) == [("a", "2 in green", "3 in blue")]
    await desk.ended(decided(desk, "converge"))
    assert desk.endings()[-1] == "succeeded"
    assert desk.agents["b"].sent == []
    assert desk.state().members == ("a",)


async def test_where_the_fleet_is_at_it_already_there_is_no_rollout(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    keep(desk)
    await restored(desk)
    reply = await decided(desk, "converge")
    assert reply.rollout == ""
    assert "start_slot" not in desk.agents["a"].works()


# --- Epochs and logs -----------------------------------------------------------------------------


async def test_agents_of_the_log_before_come_back_and_the_epoch_rises_above_theirs(
    desk: Desk,
) -> None:
    await tuesday(desk, "a")
    former = desk.log.log_id
    await restored(desk)
    assert desk.log.log_id != former
    assert desk.engine.former_logs == (former,)
    await desk.agents["a"].leave()
    hello = desk.agents["a"].hello(log_id=former, highest_epoch=41)
    welcome = (await connect(desk, hello)).welcome
    assert (welcome.epoch, welcome.log_id) == (42, desk.log.log_id)
    node = await desk.agents["a"].join()
    await decided(desk, "adopt")
    await desk.deployed("3")
    assert {command.fence.epoch for command in node.sent} == {42}
    assert all(command.id.startswith(desk.log.log_id) for command in node.sent)


async def test_that_goes_for_a_node_that_comes_long_after_the_decision(desk: Desk) -> None:
    await tuesday(desk, "a")
    former = desk.log.log_id
    await restored(desk)
    await decided(desk, "adopt")
    await desk.agents["a"].leave()
    assert desk.engine.epoch < 41
    welcome = (await connect(desk, desk.agents["a"].hello(log_id=former, highest_epoch=41))).welcome
    assert welcome.epoch == 42
    later = (await connect(desk, desk.agents["a"].hello(log_id=former, highest_epoch=7))).welcome
    assert later.epoch == 42
    await desk.stop()
    await desk.start()
    assert (desk.engine.epoch, desk.engine.former_logs) == (43, (former,))


async def test_other_logs_are_refused_as_ever_and_so_is_a_newer_self(desk: Desk) -> None:
    await tuesday(desk, "a")
    await restored(desk)
    await desk.agents["a"].leave()
    with pytest.raises(TurnedAway, match="another controller"):
        await connect(desk, desk.agents["a"].hello(log_id="deadbeef0000"))
    own = desk.agents["a"].hello(log_id=desk.log.log_id, highest_epoch=99)
    with pytest.raises(TurnedAway, match="its log is older than the fleet"):
        await connect(desk, own)


async def test_a_log_that_is_restored_twice_knows_both_before_it(desk: Desk) -> None:
    await tuesday(desk, "a")
    first = desk.log.log_id
    await restored(desk)
    second = desk.log.log_id
    keep(desk)
    await restored(desk)
    assert desk.engine.former_logs == (first, second)
    await decided(desk, "adopt")
    assert desk.state().committed[-1].version == "2"


async def test_a_snapshot_holds_what_a_restored_controller_needs(desk: Desk) -> None:
    await tuesday(desk, "a")
    former = desk.log.log_id
    await restored(desk)
    await desk.engine.snapshots.take()
    await desk.stop()
    await desk.start()
    assert desk.engine.snapshots.loaded is not None
    assert desk.engine.former_logs == (former,)
    assert desk.state().reconciling
    check(desk.log.path)


async def test_a_decision_to_converge_waits_until_what_was_admitted_before_stands_in_the_state(
    desk: Desk,
) -> None:
    await tuesday(desk, "a")
    await restored(desk)
    async with desk.engine.admission:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await decided(desk, "converge")
    assert table(desk) != []
    assert (await decided(desk, "converge")).rollout
