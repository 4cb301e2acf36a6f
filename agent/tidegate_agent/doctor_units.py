"""What `tidegate-agent doctor` says of units of systemd that slots run as. Called by doctor.py."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tidegate_agent import launching
from tidegate_agent.errors import AgentError
from tidegate_agent.managers import systemctl
from tidegate_agent.managers.systemd import check_file
from tidegate_protos import findings
from tidegate_protos.findings import Finding
from tidegate_protos.v1 import agent_pb2 as pb

KEPT = "SELECT app, slot, environment, start, handle FROM slots WHERE phase != 'ending'"


def look(data: Path, node: str) -> Iterator[Finding]:
    """`data` is the agent's own folder. A journal that cannot be read is for others to tell."""
    if not systemctl.BOOTED.exists():
        yield Finding("ok", "systemd does not run this machine: apps can be processes, not units")
        return
    uid = data.stat().st_uid
    rule = f"; {findings.user_name(uid)} needs a rule of polkit for each" if uid else ""
    yield Finding("ok", f"systemd runs this machine: apps can be units{rule}")
    path = data / "journal.db"
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            kept = database.execute(KEPT).fetchall()
    except sqlite3.Error:
        kept = []
    for app, slot, environment, blob, handle in kept:
        service = pb.StartSlot.FromString(blob).service
        if service.manager == "systemd":
            words = {"app": app, "slot": slot, "environment": environment, "node": node}
            yield _unit(service, words, json.loads(handle or "{}").get("invocation", ""))


def _unit(service: pb.Service, words: dict[str, str], invocation: str) -> Finding:
    place = f"slot {words['slot']} of {words['app']}"
    try:
        name = launching.unit_name(service, words)
        unit = systemctl.ask(name)
        check_file(unit)
    except AgentError as error:
        return Finding("fail", f"{place}: {error}")
    if unit.state == "active" and unit.invocation == invocation:
        return Finding("ok", f"{place}: {name} is active, and the run that the agent knows")
    if unit.state == "active":
        return Finding(
            "warn",
            f"{place}: {name} is active, but in another run than the one that the agent knows",
            "a running agent takes it up within seconds; else: systemctl start tidegate-agent",
        )
    return Finding("warn", f"{place}: {name} {unit.words}", f"journalctl -u {name} -n 50")
