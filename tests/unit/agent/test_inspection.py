"""What an agent answers when it is asked whether it could, and whether it is well."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from one_node import OneNode, service

from tidegate_agent import users
from tidegate_protos.v1 import agent_pb2 as pb


async def test_a_release_that_is_here_needs_no_room(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = node.release()
    little = SimpleNamespace(free=100 * 1024 * 1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    inspect = pb.Inspect(slot="green", artifact_bytes=20 * 1024 * 1024)
    finished = await node.do(inspect=inspect)
    assert "has 104,857,600 bytes free, about 150,994,944 are needed" in finished.error
    assert finished.blame == pb.BLAME_ENVIRONMENT
    inspect.digest = digest
    assert (await node.do(inspect=inspect)).outcome == pb.OUTCOME_OK
    inspect.digest = "sha256:" + "0" * 64
    assert (await node.do(inspect=inspect)).outcome == pb.OUTCOME_FAILED


async def test_a_probe_is_answered_with_what_the_health_check_says_now(node: OneNode) -> None:
    await node.started()
    probe = pb.Inspect(slot="blue", probe=True)
    assert (await node.do(inspect=probe)).outcome == pb.OUTCOME_OK
    (node.slot.folder / "release" / "sick").touch()
    finished = await node.do(inspect=probe)
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error.endswith("answered 500")
    assert finished.blame == pb.BLAME_RELEASE


async def test_a_probe_forgives_what_the_health_check_forgives(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.started()
    answers: list[str | None] = ["GET http://x/ answered 500", None]

    async def ask(_check: object) -> str | None:
        return answers.pop(0)

    monkeypatch.setattr("tidegate_agent.inspection.probe", ask)
    probe = pb.Inspect(slot="blue", probe=True)
    assert (await node.do(inspect=probe)).outcome == pb.OUTCOME_OK
    answers[:] = ["first", "second"]
    assert (await node.do(inspect=probe)).error == "second"


async def test_a_probe_is_of_the_release_that_is_meant(node: OneNode) -> None:
    start = await node.started()
    probe = pb.Inspect(slot="blue", probe=True, digest=start.revision.digest)
    assert (await node.do(inspect=probe)).outcome == pb.OUTCOME_OK
    probe.digest = "sha256:" + "0" * 64
    finished = await node.do(inspect=probe)
    assert (finished.outcome, finished.blame) == (pb.OUTCOME_FAILED, pb.BLAME_ENVIRONMENT)
    assert finished.error.startswith("slot blue holds release 1 (sha256:")


async def test_a_probe_of_what_does_not_run_says_so(node: OneNode) -> None:
    finished = await node.do(inspect=pb.Inspect(slot="blue", probe=True))
    assert finished.error == "slot blue does not run: nothing was started here"
    await node.started()
    await node.slot.stop(5.0)
    finished = await node.do(inspect=pb.Inspect(slot="blue", probe=True))
    assert finished.error == "slot blue does not run: stopped"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"user": "nobody-of-that-name"}, "there is no user 'nobody-of-that-name' on this node"),
        ({"environment_file": "/no/such/file"}, "cannot read environment_file /no/such/file: No "),
        ({"environment_file": "shop.env"}, "environment_file 'shop.env' is not an absolute path"),
        ({"manager": "openrc"}, "this agent has no service manager 'openrc', only: process, sys"),
    ],
)
async def test_what_a_service_needs_is_looked_for_before_anything_is_done(
    node: OneNode, more: dict[str, str], text: str
) -> None:
    finished = await node.do(inspect=pb.Inspect(slot="blue", service=service(**more)))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert text in finished.error
    assert finished.blame == pb.BLAME_ENVIRONMENT
    good = pb.Inspect(slot="blue", service=service(user=users.own_name()))
    assert (await node.do(inspect=good)).outcome == pb.OUTCOME_OK


async def test_the_environment_file_must_be_readable(node: OneNode, tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    file.write_text("TOKEN=s3cret\nno sense here\n")
    finished = await node.do(
        inspect=pb.Inspect(slot="blue", service=service(environment_file=str(file)))
    )
    assert finished.error == f"environment_file {file}, line 2: not NAME=value"
