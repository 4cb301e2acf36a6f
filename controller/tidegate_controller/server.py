"""`tidegate controller run`: one process that listens, decides and serves artifacts."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Collection, Set
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from tidegate_controller import data_folder
from tidegate_controller.addresses import refuse_taken, split_loopback
from tidegate_controller.agent_service import AgentService
from tidegate_controller.artifact_server import ArtifactServer
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.convergence import Convergence
from tidegate_controller.engine import Engine
from tidegate_controller.errors import TidegateError
from tidegate_controller.fleet import Fleet
from tidegate_controller.freeze_clock import FreezeClock
from tidegate_controller.log import EventLog
from tidegate_controller.nodes import Nodes
from tidegate_controller.operator_service import OperatorService
from tidegate_controller.options import Options
from tidegate_controller.snapshot_keeper import STOP_EVENTS
from tidegate_controller.store_pruning import Pruner
from tidegate_controller.turns import Turns
from tidegate_protos.notify import Systemd
from tidegate_protos.v1.agent_pb2_grpc import add_AgentLinkServicer_to_server
from tidegate_protos.v1.operator_pb2_grpc import add_OperatorServicer_to_server

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # a deployment names each of its nodes
SHUTDOWN_SECONDS = 2.0
SNAPSHOT_SECONDS = 5.0  # at an orderly stop
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),  # a quiet stream is not cut for the pings that keep it
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
]


async def run(options: Options, local: Path, systemd: Systemd) -> None:
    """Serve until SIGTERM or SIGINT, at the socket `local` too. Raises `TidegateError` when it
    cannot start or go on."""
    host, port = split_loopback(options.listen, "--listen")
    http_host, http_port = split_loopback(options.http, "--http") if options.http else (host, 0)
    failed: asyncio.Task[None] | None = None
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder.held(options.data))
        refuse_taken(host, port, "--listen")
        event_log = EventLog(options.data / data_folder.LOG)
        stack.callback(event_log.close)
        store = ArtifactStore(options.data / data_folder.ARTIFACTS)
        artifacts = ArtifactServer(store)
        await _listen_http(artifacts, http_host, http_port, options.data)
        stack.push_async_callback(artifacts.stop)
        base = f"http://{_url_host(http_host)}:{artifacts.port}/artifacts/"
        engine = Engine(event_log, Fleet(), lambda digest: base + digest)
        pruner = Pruner(engine, store)
        store.make_room = pruner.prune
        server = _server(engine, store, host, port, local)
        running = asyncio.create_task(engine.run())
        stopped = asyncio.create_task(_stop_signal())
        ready = asyncio.create_task(engine.ready.wait())
        await asyncio.wait([running, stopped, ready], return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            await server.start()
            log.info("controller ready on %s (epoch %d)", options.listen, engine.epoch)
            systemd.ready()
            beside = [
                asyncio.create_task(systemd.stay_alive(), name="telling systemd"),
                asyncio.create_task(pruner.run(), name="pruning artifacts"),
                asyncio.create_task(Convergence(engine).run(), name="bringing debtors up to date"),
                asyncio.create_task(FreezeClock(engine).run(), name="watching freezes"),
                asyncio.create_task(Turns(engine).run(), name="beginning what is queued"),
            ]
            failed = await _until_one_ends({running, stopped}, beside)
            systemd.stopping()
            for other in beside:
                other.cancel()
            await asyncio.wait(beside)
            await server.stop(SHUTDOWN_SECONDS)
            if not running.done():
                await take_snapshot(engine)
        for task in (stopped, ready, running):
            task.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            _raise_cause(running)
        if failed is not None:
            raise _failure(failed)


async def take_snapshot(engine: Engine) -> None:
    """So that the next start is quick; whatever it takes too long for is folded then."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SNAPSHOT_SECONDS):
            await engine.snapshots.take(STOP_EVENTS)


async def _until_one_ends(
    awaited: Set[asyncio.Task[None]], beside: Collection[asyncio.Task[None]]
) -> asyncio.Task[None] | None:
    """Which of those beside has failed: a controller that goes on without it would do half of its
    work, and nobody would know. None where it was one of the awaited that ended."""
    pending = {*awaited, *beside}
    while pending & awaited == awaited:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done - awaited:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                log.error("%s has failed", task.get_name(), exc_info=error)
                return task
    return None


def _failure(task: asyncio.Task[None]) -> TidegateError:
    """What the controller ends with."""
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    failure = TidegateError(
        f"the controller ends, since {task.get_name()} has failed: {type(error).__name__}: {error}",
        "its log has where; report it. What runs goes on running, and systemd starts it again",
    )
    failure.__cause__ = error
    return failure


def _raise_cause(ended: asyncio.Task[None]) -> None:
    """Raise what ended the engine: where it is one of ours, without the groups around it."""
    error = ended.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error


def _server(
    engine: Engine, store: ArtifactStore, host: str, port: int, local: Path
) -> grpc.aio.Server:
    server = grpc.aio.server(options=OPTIONS)
    nodes = Nodes(engine)
    add_AgentLinkServicer_to_server(AgentService(engine, nodes), server)
    add_OperatorServicer_to_server(OperatorService(engine, nodes, store), server)
    server.add_insecure_port(f"{_url_host(host)}:{port}")
    _add_socket(server, local)
    return server


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _add_socket(server: grpc.aio.Server, path: Path) -> None:
    """The local socket, for its owner alone. Another controller's is left to it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("no local socket at %s: %s", path, error)
        return
    else:
        log.warning("another controller serves %s: this one is reached by --controller only", path)
        return
    mask = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        log.warning("no local socket at %s: %s", path, error)
    finally:
        os.umask(mask)


async def _listen_http(server: ArtifactServer, host: str, port: int, data: Path) -> None:
    """The port of the last run if none is given, so that agents in mid-fetch find it again."""
    remembered = data / data_folder.PORT
    if port == 0 and remembered.exists():
        try:
            await server.start(host, int(remembered.read_text()))
            return
        except (OSError, ValueError) as error:
            log.warning("the artifact server's last port cannot be used: %s", error)
    try:
        await server.start(host, port)
    except OSError as error:
        raise TidegateError(
            f"the artifact server cannot listen on {host}:{port}: {error.strerror}",
            "choose another port with --http HOST:PORT",
        ) from error
    remembered.write_text(str(server.port))


async def _stop_signal() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
