"""What the command line makes of a controller's statuses, over a real connection."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest

from tidegate_controller.cli import client as client_of
from tidegate_controller.cli.client import Client
from tidegate_controller.errors import HINT_KEY, NotReachable, Refused
from tidegate_protos.v1 import operator_pb2 as pb
from tidegate_protos.v1.operator_pb2_grpc import OperatorServicer, add_OperatorServicer_to_server

Answer = Callable[[grpc.ServicerContext], pb.RolloutReply]


class Controller(OperatorServicer):
    """Answers a pause in the ways that it was given, one after the other."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def Pause(self, request: pb.ControlRequest, context: grpc.ServicerContext) -> pb.RolloutReply:
        return self._answers.pop(0)(context)


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
def connected(*answers: Answer) -> Iterator[Client]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_OperatorServicer_to_server(Controller(*answers), server)  # type: ignore[no-untyped-call]
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


def test_a_refusal_is_not() -> None:
    with connected(well, refusing, well) as client:
        client.pause(pb.ControlRequest(rollout="r1"))
        with pytest.raises(Refused, match="another rollout runs") as raised:
            client.pause(pb.ControlRequest(rollout="r1"))
    assert raised.value.hint == "wait for it"
