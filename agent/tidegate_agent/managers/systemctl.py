"""systemd, asked and told through its own programs: `systemctl` and `journalctl`.

Used by systemd.py beside this and by doctor_units.py. A question costs about 5 ms of CPU, in
systemd's own process and in the program; why not D-Bus: docs/decisions/0008-systemd-manager.md.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tidegate_agent import output, users
from tidegate_agent.errors import NodeError, ServiceError
from tidegate_agent.processes import DEFAULT_PATH
from tidegate_protos.threads import to_the_end

BOOTED = Path("/run/systemd/system")  # is there where systemd is what the machine was booted with
CALL_SECONDS = 30.0  # a systemd that says nothing for so long is not going to
TAIL_LINES = 20
TAIL_BYTES = 8192
JOURNAL_TRIES = 5  # what an app said last may take a moment to be in the journal
JOURNAL_SECONDS = 0.2  # between two of them

PROPERTIES = (
    *("LoadState", "LoadError", "NeedDaemonReload", "Type", "RemainAfterExit"),
    *("ActiveState", "SubState", "InvocationID", "MainPID", "NRestarts", "Job"),
    *("Result", "ExecMainCode", "ExecMainStatus"),
)
# What systemd makes of a service that failed, where the exit code does not say it.
RESULTS = {
    "timeout": "did not start or end in the time that its unit gives it (Timeout…Sec=)",
    "watchdog": "did not answer its watchdog (WatchdogSec=) and was killed",
    "start-limit-hit": "was started so often that systemd gave up (StartLimitBurst=)",
    "oom-kill": "was killed for lack of memory",
    "protocol": "did not do what its Type= asks for",
    "resources": "could not be started for lack of something that the unit names",
}
# Exit codes of systemd's own, from before it could run the program; an app may use them too.
STEPS = {200: "CHDIR", 203: "EXEC", 209: "STDOUT", 216: "GROUP", 217: "USER", 226: "NAMESPACE"}

# Their own: a thread waits on though its caller is cancelled, and while systemd hangs these would
# fill asyncio's, which unpacking needs.
THREADS = 4
_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="systemctl")


@dataclass(frozen=True)
class Unit:
    """What systemd says of a unit now. `invocation` is the random name of its present or last run,
    which no other will ever have; empty where systemd has forgotten that."""

    name: str
    load: str
    load_error: str
    stale: bool  # its file was changed since systemd read it
    lasts: bool  # it is active for as long as it runs, not only while it starts
    state: str
    sub: str
    invocation: str
    pid: int  # of its main process; 0: none
    restarts: int  # by systemd itself, since it was last started from outside
    job: bool  # systemd has still to start or stop it
    result: str
    code: int  # 1 exited, 2 killed, 3 killed with a core dump; 0: none of it yet
    status: int  # exit code or signal

    @property
    def there(self) -> bool:
        return self.state not in ("inactive", "failed")

    @property
    def due(self) -> bool:
        """It is there, or will be unless somebody stops it: its start may wait for other units."""
        return self.there or self.job

    @property
    def waits(self) -> bool:
        """It has ended, and systemd is about to start it again."""
        return self.sub.startswith("auto-restart")

    @property
    def words(self) -> str:
        """The state, to follow the name."""
        sub = "" if self.sub in (self.state, "dead") else f" ({self.sub})"
        return f"is {self.state}{sub}"

    def how(self) -> str:
        """How its last run ended, in words."""
        if self.result in RESULTS:
            return RESULTS[self.result]
        if self.code == 1:
            step = STEPS.get(self.status)
            hint = f" (systemd's own for {step}, where its journal says so)" if step else ""
            return f"exited with code {self.status}{hint}"
        if self.code in (2, 3):
            return f"was killed by {_signal(self.status)}"
        return "ended without an error: it exited with code 0, or somebody stopped it"


async def show(name: str) -> Unit:
    """Raises NodeError where systemd cannot be asked. A unit that is not known is an answer."""
    return await asyncio.get_running_loop().run_in_executor(_threads, ask, name)


def ask(name: str) -> Unit:
    """The same, and waits for the answer: `CALL_SECONDS` at most."""
    text = _run(["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", name])
    said = dict(line.partition("=")[::2] for line in text.splitlines())
    missing = [key for key in PROPERTIES if key not in said]
    # systemd says nothing of a key that is not for this kind of unit.
    if missing and said.get("LoadState") in (None, "loaded"):
        raise NodeError(f"systemctl said nothing of {', '.join(missing)} of {name}")
    return Unit(
        name=name,
        load=said["LoadState"],
        load_error=said.get("LoadError", "").partition(" ")[2].strip('"'),
        stale=said.get("NeedDaemonReload") == "yes",
        lasts=said.get("Type") != "oneshot" or said.get("RemainAfterExit") == "yes",
        state=said.get("ActiveState", ""),
        sub=said.get("SubState", ""),
        invocation=said.get("InvocationID", ""),
        pid=_number(said.get("MainPID")),
        restarts=_number(said.get("NRestarts")),
        job=_number(said.get("Job")) != 0,
        result=said.get("Result", ""),
        code=_number(said.get("ExecMainCode")),
        status=_number(said.get("ExecMainStatus")),
    )


async def tell(verb: str, name: str, *options: str) -> None:
    """Such as "start". Returns once systemd has taken it up, not: done it. Once begun it is said,
    though the caller be cancelled. Raises NodeError or ServiceError."""
    command = ["systemctl", verb, "--no-ask-password", *options, "--", name]
    await to_the_end(_said(command))


async def last_lines(*matches: str) -> str:
    """Of the journal's entries that match, as plain text; in brackets why there are none."""
    command = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={TAIL_LINES}"]
    for attempt in range(JOURNAL_TRIES):
        if attempt:
            await asyncio.sleep(JOURNAL_SECONDS)
        try:
            text = await _said([*command, *matches])
        except (NodeError, ServiceError) as error:
            return f"({error})"
        if text.strip():
            break
    kept = text.encode()[-TAIL_BYTES:]
    return output.plain(kept).strip("\n")


def _said(command: Sequence[str]) -> Awaitable[str]:
    return asyncio.get_running_loop().run_in_executor(_threads, _run, command)


def _run(command: Sequence[str]) -> str:
    """Its standard output. The words of others are in English, whatever this machine speaks."""
    program, verb, name = command[0], command[1], command[-1]
    environment = {"PATH": os.environ.get("PATH", DEFAULT_PATH), "LC_ALL": "C.UTF-8"}
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=CALL_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise NodeError(
            f"there is no {program} on this node; units need a machine that systemd runs"
        ) from error
    except OSError as error:
        raise NodeError(f"{program} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise NodeError(f"{program} {verb} did not answer within {CALL_SECONDS:g} s") from error
    said = output.plain(ended.stderr).strip()
    if program == "journalctl":
        if "insufficient permissions" in said:
            raise NodeError(
                f"the journal may not be read by {users.own_name()}; put it into the group "
                "systemd-journal, and restart the agent"
            )
    elif ended.returncode != 0:
        raise _refusal(verb, name, said.partition("\n")[0] or f"exit code {ended.returncode}")
    return ended.stdout.decode(errors="replace")


def _refusal(verb: str, name: str, said: str) -> NodeError | ServiceError:
    if "authentication required" in said or "ccess denied" in said:
        return NodeError(
            f"this agent, which runs as {users.own_name()}, may not {verb} {name}; allow it by a "
            "rule of polkit, or let the agent be root: systemd/README.md"
        )
    if "not been booted with systemd" in said or "connect to bus" in said:
        return NodeError(f"systemd cannot be asked on this node: {said}")
    return ServiceError(f"systemctl {verb} {name}: {said}")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
