"""What the command line makes of a controller's statuses, over a real connection."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import msgspec
import pytest
from click.testing import CliRunner

from tidegate_controller.cli import client as client_of
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.control import abort
from tidegate_controller.cli.terminal import Choices
from tidegate_controller.documents import EventView
from tidegate_controller.errors import HINT_KEY, NotReachable, Refused
from tidegate_protos.v1 import operator_pb2 as pb
from tidegate_protos.v1.operator_pb2_grpc import OperatorServicer, add_OperatorServicer_to_server

Answer = Callable[[grpc.ServicerContext], pb.RolloutReply]
LARGE = EventView(
    seq=7,
    stream="shop@prod",
    version=1,
    at="2026-11-26T08:00:00.000Z",
    kind="Started",
    cause="",
    data={"plan": "x" * (5 << 20)},
)


class Controller(OperatorServicer):
    """Answers a pause and an abort in the ways that it was given, one after the other. Its log is
    one event of 5 MiB, which is what `Started` comes to with some thousand nodes; `log_is_read`:
    whether it can be."""

    log_is_read = True

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def Pause(self, request: pb.ControlRequest, context: grpc.ServicerContext) -> pb.RolloutReply:
        return self._answers.pop(0)(context)

    Abort = Pause

    def ReadLog(
        self, request: pb.ReadLogRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.Document]:
        if not self.log_is_read:
            context.abort(grpc.StatusCode.INTERNAL, "the log cannot be read")
        yield pb.Document(json=msgspec.json.encode(LARGE))


class Unreadable(Controller):
    log_is_read = False


def well(_: grpc.ServicerContext) -> pb.RolloutReply:
    return pb.RolloutReply(rollout="r1")


def ending(context: grpc.ServicerContext) -> pb.RolloutReply:
    context.set_trailing_metadata(((HINT_KEY, b"ask again once it has started anew"),))
    context.abort(grpc.StatusCode.UNAVAILABLE, "the controller is about to end")
    raise AssertionError


def refusing(context: grpc.ServicerContext) -> pb.RolloutReply:
    context.set_trailing_metadata(((HINT_KEY, b"wait for it"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "another rollout runs")
    raise AssertionError


@contextmanager
def connected(*answers: Answer, kind: type[Controller] = Controller) -> Iterator[Client]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_OperatorServicer_to_server(kind(*answers), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(f"127.0.0.1:{port}") as client:
            yield client
    finally:
        server.stop(None).wait()


def test_a_controller_that_is_about_to_end_says_so_itself() -> None:
    with connected(ending) as client, pytest.raises(NotReachable) as raised:
        client.pause(pb.ControlRequest(rollout="r1"))
    assert raised.value.message == "the controller is about to end"
    assert raised.value.hint == "ask again once it has started anew"
    assert raised.value.exit_code == 3


def test_one_that_was_there_and_is_about_to_end_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_of, "RETRY_SECONDS", 0.01)
    with connected(well, ending, ending, well) as client:
        assert client.pause(pb.ControlRequest(rollout="r1")).rollout == "r1"
        assert client.pause(pb.ControlRequest(rollout="r1")).rollout == "r1"


def test_a_refusal_is_not_asked_again() -> None:
    with connected(well, refusing, well) as client:
        client.pause(pb.ControlRequest(rollout="r1"))
        with pytest.raises(Refused, match="another rollout runs") as raised:
            client.pause(pb.ControlRequest(rollout="r1"))
    assert raised.value.hint == "wait for it"


def test_the_events_of_a_rollout_with_thousands_of_nodes_are_read() -> None:
    with connected() as client:
        assert list(client.events()) == [LARGE]


@pytest.mark.parametrize("kind", [Controller, Unreadable])
def test_a_rollout_whose_events_cannot_be_read_is_aborted_all_the_same(
    kind: type[Controller],
) -> None:
    with connected(well, kind=kind) as client:
        typed = ["r1", "--detach"]
        ended = CliRunner().invoke(abort, typed, obj=Choices(client.target), standalone_mode=False)
    assert (ended.output, ended.return_value) == ("r1\n", 0)
