"""`tidegate-agent`: the command line of the agent."""

import argparse
import asyncio
import fcntl
import os
import signal
import sys
from pathlib import Path

from tidegate_agent import options
from tidegate_agent.agent import Agent
from tidegate_agent.errors import AgentError, NotThisNode
from tidegate_agent.link import Link
from tidegate_agent.options import Options
from tidegate_protos import VERSION, findings, logs
from tidegate_protos.notify import Systemd
from tidegate_protos.settings import SettingsError

EXAMPLE = """example:
  tidegate-agent run --node web-1 --data /var/lib/tidegate/agent --controller 127.0.0.1:7420 \\
      --label role=web --label zone=a

Each of these but --new-controller can be set by a variable or in a file too: --log-level is
TIDEGATE_AGENT_LOG_LEVEL, and log_level in /etc/tidegate/agent.toml.
"""

WRONG_USE = 2  # exit code: nothing was begun; systemd does not try it again
INTERRUPTED = 130  # exit code: by Ctrl-C, as a shell counts it


def main(arguments: list[str] | None = None) -> None:
    """Do what was typed. Exit codes: 0 stopped or nothing to mend, 1 cannot go on, 2 usage, 130
    interrupted before it could begin."""
    flags = parser().parse_args(arguments)
    try:
        sys.exit(flags.command(flags))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed again, it would print a traceback
        sys.exit(INTERRUPTED)


def parser() -> argparse.ArgumentParser:
    """What can be typed. `command` in what it parses is the function that does it."""
    whole = argparse.ArgumentParser(
        prog="tidegate-agent",
        description="Runs on each server and does what the Tidegate controller asks.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=VERSION)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="connect to the controller and work until stopped",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_to(run)
    run.add_argument(
        "--new-controller",
        action="store_true",
        help="Forget what another controller has asked for, and obey the one that is met next. For "
        "one start, when the other is gone for good; what serves goes on serving.",
    )
    run.set_defaults(command=_run, parser=run)
    look = commands.add_parser(
        "doctor", help="say what keeps an agent from its work, if anything", allow_abbrev=False
    )
    options.add_to(look, options.OWN)
    look.add_argument("--json", action="store_true", help="Print JSON, alone on stdout.")
    look.set_defaults(command=_doctor)
    return whole


def _run(flags: argparse.Namespace) -> str | int | None:
    """Run the agent until SIGTERM or SIGINT. Why it could not go on, for standard error; or the
    exit code, where that was said already."""
    try:
        chosen = options.read(flags)
    except SettingsError as error:
        flags.parser.error("\n  ".join(error.problems))
    systemd = Systemd(os.environ)
    try:
        _begin_logs(chosen)
        asyncio.run(_hold(chosen, systemd, new_controller=flags.new_controller))
    except NotThisNode as error:
        said = _not_this_node(error.known, chosen)
        logs.last_words(said)
        print(f"tidegate-agent: {said}", file=sys.stderr)
        return WRONG_USE
    except AgentError as error:
        logs.last_words(str(error))
        return f"tidegate-agent: {error}"
    return None


def _not_this_node(known: str, chosen: Options) -> str:
    return (
        f"{chosen.data} is the folder of the node {known}, and what runs there is known as that "
        f"node's, so nothing was started as {chosen.node}\n  next: start it with --node {known}, "
        f"or {chosen.node} with a --data of its own. To give the server another name: tidegate "
        f"node remove {known}, start {chosen.node} with an empty --data, deploy, and end what then "
        "still runs from the old folder"
    )


def _doctor(flags: argparse.Namespace) -> int:
    from tidegate_agent import doctor  # noqa: PLC0415  (what runs need not load it)

    try:
        found = list(doctor.look(options.read(flags, remembered=doctor.told)))
    except SettingsError as error:
        mend = "correct it; what can be set, and how: tidegate-agent run --help"
        found = [findings.Finding("fail", problem, mend) for problem in error.problems]
    print(findings.as_json(found) if flags.json else findings.as_text(found))
    return findings.exit_code(found)


def _begin_logs(chosen: Options) -> None:
    try:
        logs.begin("tidegate-agent", chosen.logs, node=chosen.node)
    except OSError as error:
        raise AgentError(
            f"cannot write the log file {chosen.logs.file}: {error.strerror}; choose another "
            "--log-file PATH, one that this user may write"
        ) from error


async def _hold(chosen: Options, systemd: Systemd, *, new_controller: bool) -> None:
    data: Path = chosen.data
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
        agent = Agent(chosen.node, data, dict(chosen.labels), chosen.address, chosen.backups)
        await _work(agent, chosen.controller, systemd, new_controller=new_controller)


async def _work(agent: Agent, controller: str, systemd: Systemd, *, new_controller: bool) -> None:
    """Until a signal, or until the link cannot go on."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    agent.claim(controller)
    await agent.start(new_controller=new_controller)
    systemd.ready()  # whether a controller is there or not: the apps are looked after
    link = asyncio.create_task(Link(agent, controller).run())
    alive = asyncio.create_task(systemd.stay_alive())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([link, stopping], return_when=asyncio.FIRST_COMPLETED)
    systemd.stopping()
    for task in (link, alive, stopping):
        task.cancel()
    await asyncio.wait([link, alive, stopping])
    await agent.stop()
    if not link.cancelled():
        link.result()
