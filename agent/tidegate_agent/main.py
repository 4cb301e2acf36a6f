"""`tidegate-agent`: the command line of the agent."""

import argparse
import asyncio
import fcntl
import logging
import signal
import sys
from importlib.metadata import version
from pathlib import Path

from tidegate_agent.agent import Agent
from tidegate_agent.errors import AgentError
from tidegate_agent.link import Link
from tidegate_protos.rules import LABEL, NAME

RESERVED_NODES = ("controller",)
EXAMPLE = """example:
  tidegate-agent run --node web-1 --data /var/lib/tidegate --controller 127.0.0.1:7420 \\
      --label role=web --label zone=a
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the agent until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 cannot go on, 2 usage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    try:
        asyncio.run(_run(options))
    except AgentError as error:
        sys.exit(f"tidegate-agent: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tidegate-agent",
        description="Runs on each server and does what the Tidegate controller asks.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version("tidegate"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="connect to the controller and work until stopped",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--node", required=True, type=_node, help="this node's name")
    run.add_argument("--data", required=True, type=Path, help="folder for releases and journal")
    run.add_argument("--controller", required=True, type=_target, metavar="HOST:PORT")
    run.add_argument("--label", action="append", default=[], type=_label, metavar="KEY=VALUE")
    run.add_argument(
        "--address", default="127.0.0.1", help="where the balancer reaches this node's slots"
    )
    run.add_argument("--verbose", action="store_true")
    return parser


def _node(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name: lower case letters, digits and . _ - (63 at most)"
        )
    if text in RESERVED_NODES:
        raise argparse.ArgumentTypeError(f"{text!r} is what the controller itself is called")
    return text


def _label(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not LABEL.fullmatch(key) or not LABEL.fullmatch(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, such as role=web")
    return key, value


def _target(text: str) -> str:
    host, _, port = text.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]"):
        raise argparse.ArgumentTypeError(
            f"{text!r}: without mutual TLS only loopback is accepted, such as 127.0.0.1:7420; "
            "a controller elsewhere is reached through a tunnel"
        )
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return text


async def _run(options: argparse.Namespace) -> None:
    data: Path = options.data.absolute()
    try:
        data.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = (data / "lock").open("a")
    except OSError as error:
        raise AgentError(f"cannot use {data}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AgentError(f"another agent works on {data}; choose another --data") from error
        agent = Agent(options.node, data, dict(options.label), options.address)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await agent.start()
        link = asyncio.create_task(Link(agent, options.controller).run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([link, stopping], return_when=asyncio.FIRST_COMPLETED)
        link.cancel()
        await asyncio.wait([link])
        await agent.stop()
        if not link.cancelled():
            link.result()
