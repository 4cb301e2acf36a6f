"""What the CLI calls: answers, errors with what to type next, streams that end when they should."""

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import grpc
import pytest
from without_doors import SILENT, Desk

from tidegate_controller.errors import HINT_KEY, LOG_KEY, TAKEN_KEY, UsageError
from tidegate_controller.named_apps import find_stream
from tidegate_controller.operator_service import OperatorService
from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1 import operator_pb2 as op


class Ended(Exception):
    """A call was ended with a status."""

    def __init__(self, code: grpc.StatusCode, details: str, hint: str) -> None:
        super().__init__(details)
        self.code, self.details, self.hint = code, details, hint


class Call:
    """The context of a call."""

    begun: tuple[tuple[str, str], ...] = ()

    async def send_initial_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self.begun = metadata

    async def abort(self, code: grpc.StatusCode, details: str, trailing: Any) -> None:
        raise Ended(code, details, dict(trailing)[HINT_KEY].decode())


@pytest.fixture
def service(desk: Desk) -> Any:
    return OperatorService(desk.engine, desk.nodes, desk.store)


def read(document: op.Document) -> Any:
    return json.loads(document.json)


async def all_of(documents: AsyncIterator[op.Document]) -> list[Any]:
    async with asyncio.timeout(10.0):
        return [read(document) async for document in documents]


# --- Answers and errors --------------------------------------------------------------------------


async def test_a_wrong_request_is_answered_with_what_to_type_next(service: Any) -> None:
    with pytest.raises(Ended, match="there is no rollout r1") as ended:
        await service.ShowRollout(op.ShowRolloutRequest(rollout="r1"), Call())
    assert ended.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert ended.value.hint == "see: tidegate rollout list"


@pytest.mark.parametrize("bad", ["../../x", "a\nb", "\x1b[2J", "\0", "x" * 3_000_000])
async def test_a_name_that_is_none_is_refused_by_the_controller_too_and_never_echoed_at_length(
    desk: Desk, service: Any, bad: str
) -> None:
    """As of a client that does not look at names itself."""
    await desk.node("a")
    await desk.deployed("1")
    before = desk.log.last_seq
    chunks = [op.UploadChunk(digest=bad, size_bytes=1), op.UploadChunk(data=b"x")]

    async def upload() -> AsyncIterator[op.UploadChunk]:
        for chunk in chunks:
            yield chunk

    for call in (
        service.GetStatus(op.StatusRequest(app=bad), Call()),
        service.ListRollouts(op.ListRolloutsRequest(app=bad), Call()),
        service.ListReleases(op.ListReleasesRequest(app=bad), Call()),
        service.ShowRollout(op.ShowRolloutRequest(rollout=bad), Call()),
        service.ShowNode(op.ShowNodeRequest(node=bad), Call()),
        service.RemoveNode(op.RemoveNodeRequest(node=bad), Call()),
        service.Rollback(op.RollbackRequest(app=bad), Call()),
        service.Rollback(op.RollbackRequest(app="shop", environment=bad), Call()),
        service.Rollback(op.RollbackRequest(app="shop", to=bad), Call()),
        service.CleanUp(op.CleanUpRequest(app=bad), Call()),
        service.Answer(op.AnswerRequest(rollout=bad, answer="continue"), Call()),
        service.Answer(op.AnswerRequest(rollout="r1", answer=bad), Call()),
        service.Upload(upload(), Call()),
    ):
        with pytest.raises(Ended) as ended:
            await call
        assert ended.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert len(ended.value.details) + len(ended.value.hint) < 600
    with pytest.raises(Ended, match="there is no rollout"):
        await all_of(service.ReadLog(op.ReadLogRequest(rollout=bad), Call()))
    assert desk.log.last_seq == before
    assert list(desk.engine.streams) == ["shop@prod"]


async def test_a_request_that_is_refused_has_a_status_of_its_own(desk: Desk, service: Any) -> None:
    await desk.node("a")
    with pytest.raises(Ended, match="a is connected") as ended:
        await service.RemoveNode(op.RemoveNodeRequest(node="a"), Call())
    assert ended.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert ended.value.hint == "stop its agent first; then remove it"


async def test_what_comes_while_the_controller_ends_may_be_asked_again_and_is_not_refused(
    desk: Desk, service: Any
) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    request = desk.request("2", desk.spec())
    desk.may_fail = True
    desk.life.cancel()
    await asyncio.wait({desk.life})
    with pytest.raises(Ended, match="the controller is about to end") as ended:
        await service.Deploy(request, Call())
    assert ended.value.code is grpc.StatusCode.UNAVAILABLE
    assert ended.value.hint == "ask again once it has started anew"
    await node.leave()


async def test_any_other_failure_says_what_it_was(desk: Desk, service: Any) -> None:
    await desk.node("a")
    desk.log.path.unlink()
    with pytest.raises(Ended, match="cannot read the event log") as ended:
        await service.ListRollouts(op.ListRolloutsRequest(), Call())
    assert ended.value.code is grpc.StatusCode.ABORTED


async def test_streams_of_answers_end_with_the_same_errors(service: Any) -> None:
    for call in (
        service.ReadLog(op.ReadLogRequest(rollout="r1"), Call()),
        service.Follow(op.FollowRequest(rollout="r1"), Call()),
    ):
        with pytest.raises(Ended, match="there is no rollout r1"):
            await all_of(call)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spec": b"{"}, "the configuration that was sent cannot be read"),
        ({"spec": b'{"app": "shop", "surprise": 1}'}, "cannot be read"),
        ({"version": "../1"}, "the version '../1' is not of the form"),
        ({"digest": "sha256:" + "0" * 64}, "the artifact is not on the controller"),
        ({"digest": "../../etc/passwd"}, "is not a digest of the form"),
    ],
    ids=["no JSON", "unknown key", "version", "unknown artifact", "no digest"],
)
async def test_a_deployment_is_checked_again_whatever_the_client(
    desk: Desk, changes: dict[str, Any], reason: str
) -> None:
    await desk.node("a")
    request = desk.request("1", desk.spec())
    for field, value in changes.items():
        setattr(request, field, value)
    with pytest.raises(UsageError, match=reason):
        await desk.requests.deploy(request)
    with pytest.raises(UsageError, match="the name '../shop' is not of the form"):
        await desk.requests.deploy(desk.request("1", desk.spec(app="../shop")))
    assert desk.engine.streams == {}


async def test_an_app_in_several_environments_has_to_be_named_with_one(desk: Desk) -> None:
    for node, environment in (("a", "prod"), ("b", "staging")):
        await desk.node(node)
        await desk.deployed("1", nodes=(node,), environment=environment)
    with pytest.raises(UsageError, match="shop runs in several environments: prod, staging"):
        await desk.rollback()
    assert find_stream(desk.engine, "shop", "staging") == "shop@staging"
    with pytest.raises(UsageError, match="nothing was ever deployed as shop in test") as unknown:
        find_stream(desk.engine, "shop", "test")
    assert unknown.value.hint == "its environments: prod, staging; see: tidegate status"


async def test_a_status_of_an_app_that_is_not_there_names_those_that_are(
    desk: Desk, service: Any
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    with pytest.raises(Ended, match="nothing was ever deployed as shup") as ended:
        await service.GetStatus(op.StatusRequest(app="shup"), Call())
    assert ended.value.hint == "known apps: shop"
    (app,) = read(await service.GetStatus(op.StatusRequest(app="shop"), Call()))["apps"]
    assert (app["version"], app["nodes"][0]["active_slot"]) == ("1", "blue")


async def test_nodes_are_asked_to_make_room(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    node.sent.clear()
    said = (await desk.requests.clean_up(op.CleanUpRequest(request_id="x", app="shop"))).message
    assert said == "asked 1 of 1 nodes of shop@prod to remove what need not be kept"
    await desk.until(node.works)
    assert node.works() == ["cleanup"]


# --- Artifacts -----------------------------------------------------------------------------------


async def chunks(digest: str, *parts: bytes) -> AsyncIterator[op.UploadChunk]:
    size_bytes = len(b"".join(parts))
    for number, part in enumerate(parts):
        first = {"digest": digest, "size_bytes": size_bytes} if number == 0 else {}
        yield op.UploadChunk(**first, data=part)


async def upload(service: Any, digest: str, *parts: bytes) -> op.ArtifactReply:
    return await service.Upload(chunks(digest, *parts), Call())


async def test_an_artifact_is_there_once_it_was_uploaded(desk: Desk, service: Any) -> None:
    digest = f"sha256:{sha256(b'one two').hexdigest()}"
    asked = op.ArtifactRef(digest=digest)
    assert not (await service.HasArtifact(asked, Call())).present
    for _ in range(2):
        assert (await upload(service, digest, b"one ", b"two")).size_bytes == 7
    assert (await service.HasArtifact(asked, Call())).present
    assert desk.store.path(digest).read_bytes() == b"one two"


async def test_an_upload_that_is_not_what_it_said_leaves_nothing(desk: Desk, service: Any) -> None:
    digest, sent = (f"sha256:{sha256(data).hexdigest()}" for data in (b"one", b"two"))
    with pytest.raises(Ended, match=f"the artifact has the digest {sent}, not {digest}"):
        await upload(service, digest, b"two")
    with pytest.raises(Ended, match="the upload was empty"):
        await upload(service, digest)
    assert list((desk.folder / "artifacts").iterdir()) == []


# --- Reading on ----------------------------------------------------------------------------------


def kinds(items: list[Any]) -> list[str]:
    return [item["event"]["kind"] if item["event"] else "progress" for item in items]


async def test_a_rollout_is_followed_to_its_end_and_no_further(desk: Desk, service: Any) -> None:
    await desk.node("a")
    await desk.deployed("1")
    await desk.deployed("2")
    items = await all_of(service.Follow(op.FollowRequest(rollout="r1"), Call()))
    assert (kinds(items)[0], kinds(items)[-1]) == ("Started", "Ended")
    assert kinds(items).count("Started") == 1
    cursor = items[4]["event"]["seq"]
    rest = await all_of(service.Follow(op.FollowRequest(rollout="r1", after_seq=cursor), Call()))
    assert [item["event"] for item in rest] == [item["event"] for item in items[5:]]


async def test_news_of_its_commands_come_in_between_and_no_others(desk: Desk, service: Any) -> None:
    node = await desk.node("a")
    node.outcomes["prepare_slot"] = SILENT
    for app in ("shop", "shop-2"):
        await desk.deploy("1", app=app)
    await desk.until(lambda: node.works().count("prepare_slot") == 2)
    shop, other = (
        next(c for c in node.sent if c.app == app and c.WhichOneof("work") == "prepare_slot")
        for app in ("shop", "shop-2")
    )
    place = desk.engine.rollouts["r1"]
    assert place.stream == "shop@prod"
    following = asyncio.create_task(all_of(service.Follow(op.FollowRequest(rollout="r1"), Call())))
    followers = desk.nodes.board._followers
    await desk.until(lambda: followers)
    for command, text in ((shop, "half"), (other, "not ours"), (shop, "all")):
        desk.nodes.progressed(node.session, pb.Progress(command_id=command.id, text=text))
    await desk.until(lambda: all(queue.empty() for queue in followers))
    await node.answer(shop)
    items = await following
    said = [item["progress"]["text"] for item in items if item["progress"]]
    assert said == ["half", "all"]
    assert kinds(items)[-1] == "Ended"
    assert followers == set()


async def test_what_was_said_of_a_command_that_was_given_up_is_not_told_later(
    desk: Desk, service: Any
) -> None:
    """Two nodes fetch; one fails, and the other never says that it has ended."""
    nodes = [await desk.node(name) for name in "ab"]
    for node in nodes:
        node.outcomes["prepare_slot"] = SILENT
    await desk.deploy("1", nodes=("a", "b"))
    await desk.until(lambda: all("prepare_slot" in node.works() for node in nodes))
    command = nodes[1].last("prepare_slot")
    desk.nodes.progressed(nodes[1].session, pb.Progress(command_id=command.id, text="half"))
    await nodes[0].answer(nodes[0].last("prepare_slot"), pb.OUTCOME_FAILED)
    await desk.until(desk.endings)
    items = await all_of(service.Follow(op.FollowRequest(rollout="r1"), Call()))
    assert "progress" not in kinds(items)


async def test_the_log_is_read_from_a_cursor(desk: Desk, service: Any) -> None:
    await desk.node("a")
    await desk.deployed("1")
    everything = await all_of(service.ReadLog(op.ReadLogRequest(), Call()))
    assert [event["seq"] for event in everything] == list(range(1, desk.log.last_seq + 1))
    rest = await all_of(service.ReadLog(op.ReadLogRequest(after_seq=5), Call()))
    assert rest == everything[5:]


async def test_a_cursor_that_the_log_has_not_come_to_is_of_another_log(
    desk: Desk, service: Any
) -> None:
    last = desk.log.last_seq
    with pytest.raises(Ended, match=f"the log has no event {last + 1}: it was restored"):
        await all_of(service.ReadLog(op.ReadLogRequest(after_seq=last + 1, follow=True), Call()))
    assert await all_of(service.ReadLog(op.ReadLogRequest(after_seq=last), Call())) == []


async def test_the_log_is_followed_as_it_grows(desk: Desk, service: Any) -> None:
    reading = service.ReadLog(op.ReadLogRequest(follow=True), Call())
    assert read(await anext(reading))["kind"] == "EpochBegan"
    coming = asyncio.create_task(anext(reading))
    await asyncio.sleep(0.02)
    assert not coming.done()
    await desk.node("a")
    assert read(await coming)["kind"] == "NodeRegistered"
    await reading.aclose()


async def test_whoever_follows_is_told_at_once_that_the_controller_is_there(
    desk: Desk, service: Any
) -> None:
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    rollout = (await desk.deploy("1")).rollout
    seq = desk.log.last_seq
    for follow in (
        lambda call: service.ReadLog(op.ReadLogRequest(after_seq=seq, follow=True), call),
        lambda call: service.Follow(op.FollowRequest(rollout=rollout, after_seq=seq), call),
    ):
        call = Call()
        first = asyncio.ensure_future(anext(follow(call)))
        await desk.until(lambda call=call: call.begun)
        assert call.begun == ((TAKEN_KEY, "1"), (LOG_KEY, desk.log.log_id))
        first.cancel()
        await asyncio.wait({first})


async def test_a_log_that_cannot_be_read_ends_the_stream_with_a_reason(
    desk: Desk, service: Any
) -> None:
    desk.log.path.unlink()
    with pytest.raises(Ended, match="cannot read the event log"):
        await all_of(service.ReadLog(op.ReadLogRequest(), Call()))
