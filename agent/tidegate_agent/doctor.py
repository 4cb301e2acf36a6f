"""`tidegate-agent doctor`: what keeps an agent from its work on this node, and how to mend it.

Called by `main`. It only looks, and may be typed beside an agent that runs.
"""

import os
import platform
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import psutil

from tidegate_agent import doctor_units, ports
from tidegate_agent.errors import AgentError
from tidegate_agent.journal import SCHEMA_VERSION, TOLD
from tidegate_agent.options import Options
from tidegate_protos import VERSION, findings
from tidegate_protos.findings import GIB, Finding
from tidegate_protos.settings import files

ROOM_FAIL_BYTES = 256 * 1024**2
ROOM_WARN_BYTES = GIB
CONNECT_SECONDS = 5.0
SYSTEMCTL_SECONDS = 5.0


def told(data: Path) -> dict[str, str]:
    """The `node` and `controller` that the folder's agent was started with, as far as its journal
    can say."""
    try:
        with closing(_opened(data / "journal.db")) as database:
            return dict(database.execute(TOLD).fetchall())
    except sqlite3.Error:
        return {}  # none yet, or damaged, as is found later


def _opened(journal: Path) -> sqlite3.Connection:
    """To look into it alone."""
    return sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)


def look(options: Options) -> Iterator[Finding]:
    """Everything that was found, as it is found."""
    data = options.data
    yield _node(options.node, told(data).get("node", options.node), data)
    yield from _settings()
    yield from _kernel()
    make = f"start an agent once, it makes the folder: tidegate-agent run --data {data}"
    yield from findings.folder(data, mend=make, is_private=False)
    if data.is_dir():
        yield findings.room(data, ROOM_FAIL_BYTES, ROOM_WARN_BYTES)
        yield from findings.clock(data)
        yield from _journal(data / "journal.db")
        yield from _links(data / "apps")
        yield _users(data)
        yield from doctor_units.look(data, options.node)
        yield from _running(findings.lock_holder(data / "lock"), data)
    yield _free_ports()
    yield _address(options.address)
    yield _controller(options.controller, options.controller_from)


def _node(name: str, known: str, data: Path) -> Finding:
    if name == known:
        return Finding("ok", f"tidegate-agent {VERSION}, node {name}")
    return Finding(
        "fail",
        f"{data} is the folder of the node {known}, so no agent starts as {name} on it",
        f"start it with --node {known}, or {name} with an empty --data",
    )


def _settings() -> Iterator[Finding]:
    found = ", ".join(map(str, files("agent", os.environ)))
    yield Finding("ok", f"settings come from {found or 'no file, since there is none'}")


def _kernel() -> Iterator[Finding]:
    """What processes are found and signalled with."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        yield Finding(
            "fail",
            f"this kernel ({platform.release()}) gives no pidfd: {error.strerror}",
            "Tidegate needs Linux 5.3 or newer",
        )
    else:
        yield Finding("ok", f"Linux {platform.release()} has what processes are kept with")


def _journal(path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield Finding("ok", f"there is no journal at {path} yet: no agent ever ran here")
        return
    try:
        with closing(_opened(path)) as database:
            form = database.execute("PRAGMA user_version").fetchone()[0]
            if form != SCHEMA_VERSION:
                yield Finding(
                    "fail",
                    f"the journal {path} has format {form}, this agent reads {SCHEMA_VERSION}",
                    "start the version of the agent that wrote it",
                )
                return
            (damage,) = database.execute("PRAGMA quick_check(1)").fetchone()
            open_commands, slots = (
                database.execute(sql).fetchone()[0]
                for sql in (
                    "SELECT count(*) FROM commands WHERE result IS NULL",
                    "SELECT count(*) FROM slots WHERE phase != 'ending'",
                )
            )
            log_ids = database.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchall()
    except sqlite3.Error as error:
        damage = str(error)
    if damage != "ok":
        yield Finding(
            "fail",
            f"the journal {path} is damaged: {damage}",
            f"the apps go on serving; to begin anew, stop the agent, move {path}* away and start "
            "it: the controller then takes this node for a new one, and deploys to it again",
        )
        return
    obeyed = f"the controller of log {log_ids[0][0]}" if log_ids else "no controller yet"
    yield Finding(
        "ok",
        f"the journal can be read: {slots} slots to keep, {open_commands} commands unfinished; it "
        f"has obeyed {obeyed}",
    )


def _links(apps: Path) -> Iterator[Finding]:
    for link in sorted(app / "current" for app in apps.glob("*")):
        if link.is_symlink() and not link.exists():
            yield Finding(
                "fail",
                f"{link} names {os.readlink(link)}, which is not there",
                "restart the agent, or deploy again",
            )


def _users(data: Path) -> Finding:
    uid = data.stat().st_uid
    if uid == 0:
        return Finding("ok", "the agent is root here: apps can run as any user")
    name = findings.user_name(uid)
    return Finding(
        "ok", f"apps run as {name}, as the agent does; only an agent that is root can have others"
    )


def _running(pid: int | None, data: Path) -> Iterator[Finding]:
    if pid is None:
        yield Finding(
            "warn",
            f"no agent works on {data}",
            f"systemctl start tidegate-agent, or tidegate-agent run --data {data}",
        )
        return
    yield Finding("ok", f"an agent works on {data} (pid {pid})")
    if unit := _unit(pid):
        yield from _kill_mode(unit)


def _unit(pid: int) -> str:
    """The service that systemd runs the process in; empty where it does not."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""
    units = [part for part in groups.strip().replace("\n", "/").split("/") if "." in part]
    return units[-1] if units and units[-1].endswith(".service") else ""


def _kill_mode(unit: str) -> Iterator[Finding]:
    command = ["systemctl", "show", unit, "--property=KillMode", "--value"]
    answer = findings.run(command, SYSTEMCTL_SECONDS)
    if answer is None:
        return
    mode = answer.strip()
    if mode == "process":
        yield Finding("ok", f"{unit} leaves the apps alone when the agent is restarted")
    else:
        yield Finding(
            "fail",
            f"{unit} has KillMode={mode}: the apps end with the agent",
            f"systemctl edit {unit}, and write KillMode=process under [Service]",
        )


def _free_ports() -> Finding:
    try:
        port = ports.choose("doctor", ())
    except AgentError as error:
        return Finding("fail", str(error), "end what listens there, or give ports in tidegate.toml")
    return Finding(
        "ok",
        f"slots can have ports from {ports.FIRST_PORT} to {ports.LAST_PORT}, such as {port}",
    )


def _address(address: str) -> Finding:
    """An address of the machine can be told; of a name only the balancer's resolver knows."""
    own = {each.address for found in psutil.net_if_addrs().values() for each in found}
    is_name = not address.replace(".", "").isdecimal() and ":" not in address
    if is_name or address in own or address.startswith("127."):
        return Finding("ok", f"the balancer is told to find this node's slots at {address}")
    return Finding(
        "warn",
        f"the balancer is told to find this node's slots at {address}, which is no address of this "
        "machine",
        "that is right behind a translation of addresses; else correct --address",
    )


def _controller(target: str, why: str = "") -> Finding:
    where = f"{target} ({why})" if why else target
    options = [("grpc.enable_http_proxy", 0)]
    with closing(grpc.insecure_channel(target, options=options)) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            return Finding(
                "fail",
                f"no controller answers at {where}",
                "is it running (systemctl status tidegate-controller, there), and does the tunnel "
                "to it stand? What listens here: ss -ltn",
            )
    return Finding(
        "ok",
        f"a controller answers at {where}",
        "whether it takes this node in: tidegate node list",
    )
