"""The gRPC link: one stream to the controller, opened by the agent, and again when it ends."""

import asyncio
import logging
import random
import time

import grpc

from tidegate_agent.agent import Agent
from tidegate_agent.session import converse
from tidegate_protos.v1.agent_pb2_grpc import AgentLinkStub

log = logging.getLogger(__name__)

RETRY_SECONDS_MIN = 1.0
RETRY_SECONDS_MAX = 10.0
TROUBLE_SECONDS = 300.0  # the same trouble is not logged again sooner
OPTIONS = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),  # the controller is on loopback, or behind a tunnel there
]


class Link:
    """Keeps the agent connected to the controller at `target` ("HOST:PORT")."""

    def __init__(self, agent: Agent, target: str) -> None:
        self._agent = agent
        self._target = target
        self._welcomed = False
        self._trouble = ("", 0.0)  # what was last said of it, and when

    async def run(self) -> None:
        """Until cancelled. The pause between tries grows, with jitter, so that ten thousand
        agents do not come back at once."""
        pause = RETRY_SECONDS_MIN
        while True:
            self._welcomed = False
            try:
                await self._connect()
                self._say("the controller has closed the link")
            except grpc.aio.AioRpcError as error:
                self._say(_in_words(error))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise  # the agent stops; otherwise the stream alone was given up
            if self._welcomed:
                pause = RETRY_SECONDS_MIN
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    def _say(self, trouble: str) -> None:
        """Why there is no link: when it is news, and now and then as long as it lasts."""
        last, at = self._trouble
        now = time.monotonic()
        is_news = self._welcomed or trouble != last or now - at > TROUBLE_SECONDS
        level = logging.WARNING if is_news else logging.DEBUG
        log.log(level, "no link to the controller at %s: %s", self._target, trouble)
        if is_news:
            self._trouble = (trouble, now)

    async def _connect(self) -> None:
        """One stream, from Hello until it ends."""
        async with grpc.aio.insecure_channel(self._target, options=OPTIONS) as channel:
            await converse(self._agent, AgentLinkStub(channel).Connect(), self._on_welcome)

    def _on_welcome(self) -> None:
        log.info("connected to the controller at %s", self._target)
        self._welcomed = True


def _in_words(error: grpc.aio.AioRpcError) -> str:
    """That the name is taken may be this server's own past, or a mistake: only a person knows."""
    if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
        return f"{error.code().name}: {error.details()}"
    taken = (error.details() or "").partition("; ")[0]
    return (
        f"{taken} (one that has died is given up within a minute): tried again at least every "
        f"{RETRY_SECONDS_MAX:.0f} s until it is gone; if this is the wrong name, stop this agent "
        "and start it with --node OTHER and a --data DIR of its own"
    )
