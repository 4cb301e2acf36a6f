"""The `systemd` manager: each slot has a unit of the operator's own, such as `shop@blue.service`.

The agent tells systemd to start and stop it and looks what became of it. What the unit may want to
know stands in a file in the slot, `environment`, written before each start: the app's variables,
with the token among them. So whatever runs the unit has started since, whoever told it to, is this
slot's. The run itself is known by its invocation id, which systemd makes at random for each.
"""

import asyncio
import contextlib
import logging
import os
import time

from tidegate_agent import environment_file, procfs
from tidegate_agent.errors import AgentError, NodeError, ServiceError
from tidegate_agent.managers import systemctl
from tidegate_agent.managers.kind import Ended, Ending, Handle, Place, Sight
from tidegate_agent.managers.systemctl import Unit
from tidegate_agent.processes import KILL_SECONDS, TOKEN_VARIABLE, Launch

log = logging.getLogger(__name__)

VARIABLES = "environment"  # the file in the slot
UNIT_VARIABLE = "TIDEGATE_UNIT"
SOON_SECONDS = 0.05  # between two looks at a unit that has just been told something
STARTING_SECONDS = 0.25  # at one that starts or ends and has no main process to wait for
SELDOM_SECONDS = 1.0  # at one that runs without one
RETRY_SECONDS = 2.0  # after systemd could not be asked


class Units:
    """The unit of one slot."""

    renews = False  # a run has a name of its own: the token says what the slot holds

    def __init__(self, place: Place) -> None:
        self._unit = place.unit
        self._variables = place.folder / VARIABLES

    async def check(self) -> None:
        """Raise NodeError unless the unit could be started here."""
        if not systemctl.BOOTED.exists():
            raise NodeError(
                f"{self._unit} cannot be started: systemd is not what runs this machine (there is "
                f"no {systemctl.BOOTED})"
            )
        unit = await systemctl.show(self._unit)
        check_file(unit)
        if not unit.there:
            # A stop of what neither runs nor is about to changes nothing, but is refused.
            if os.geteuid() != 0 and not unit.job:
                await systemctl.tell("stop", self._unit)
        elif not self._token():
            raise _foreign(unit)

    async def start(self, launch: Launch, token: str) -> Handle:
        if self._token() == token and (unit := await self._back()) is not None:
            return self._handle(unit, token)
        unit = await systemctl.show(self._unit)
        check_file(unit)
        if unit.there:
            raise _foreign(unit)
        own = {TOKEN_VARIABLE: token, UNIT_VARIABLE: self._unit}
        try:
            environment_file.write(self._variables, {**launch.environment, **own})
        except OSError as error:
            raise NodeError(f"cannot write {self._variables}: {error.strerror}") from error
        if unit.state == "failed":  # else a limit on starts might count those of other releases
            await systemctl.tell("reset-failed", self._unit)
        since = time.time()
        await systemctl.tell("start", self._unit, "--no-block")
        return self._handle(await self._begun(unit.invocation, since), token)

    async def _back(self) -> Unit | None:
        """What runs of what was started before, once systemd has started it again if it is about
        to; None if nothing does."""
        while True:
            unit = await systemctl.show(self._unit)
            if not unit.waits:
                return unit if unit.there else None
            await asyncio.sleep(SELDOM_SECONDS)  # it may be for hours

    async def _begun(self, former: str, since: float) -> Unit:
        """The unit, once systemd has begun with the start."""
        while True:
            unit = await systemctl.show(self._unit)
            if unit.invocation not in ("", former):
                return unit
            if not unit.job and not unit.there:
                tail = await systemctl.last_lines(f"--unit={self._unit}", f"--since=@{since:.6f}")
                raise ServiceError(
                    f"{self._unit} was started and does not run: it ended at once without an "
                    "error, or something that it needs or asks for was missing",
                    tail,
                )
            await asyncio.sleep(SOON_SECONDS)

    async def find(self, token: str) -> Handle | None:
        if self._token() != token:
            return None
        unit = await systemctl.show(self._unit)
        return self._handle(unit, token) if unit.due else None

    async def look(self, handle: Handle) -> Sight:
        unit = await systemctl.show(str(handle["unit"]))
        if unit.invocation != handle["invocation"]:
            return Sight(False, f"{unit.name} is not in the run that was begun")
        serves = unit.state in ("active", "reloading")
        return Sight(unit.there, "" if serves else f"{unit.name} {unit.words}")

    async def wait(self, handle: Handle) -> Ended:
        while True:
            try:
                unit = await systemctl.show(str(handle["unit"]))
                if (ended := _ended(unit, str(handle["invocation"]))) is not None:
                    return ended
                await _until_it_may_differ(unit)
            except AgentError as error:
                log.warning("%s; it is tried again", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def stop(self, handle: Handle, grace_seconds: float) -> Ending:
        name = str(handle["unit"])
        former = await systemctl.show(name)
        own = former.invocation == handle["invocation"] or self._token() == handle["token"]
        if not former.due or not own:
            return "gone"
        await systemctl.tell("stop", name, "--no-block")  # takes back a start that is still queued
        loop = asyncio.get_running_loop()
        deadline, late, killed = loop.time() + grace_seconds, False, False
        while (unit := await systemctl.show(name)).due:
            if loop.time() >= deadline:
                if late:
                    raise ServiceError(
                        f"{name} still {unit.words} {KILL_SECONDS:g} s after SIGKILL"
                    )
                killed = unit.there and await _kill(name)
                deadline, late = loop.time() + KILL_SECONDS, True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await _until_it_may_differ(unit)
        if killed:
            return "killed"
        return "cut short" if former.there and unit.result == "timeout" else "stopped"

    async def tail(self, handle: Handle) -> str:
        run = handle["invocation"]
        return await systemctl.last_lines(
            f"_SYSTEMD_INVOCATION_ID={run}", "+", f"INVOCATION_ID={run}"
        )

    def _token(self) -> str:
        """Of the slot's last start; empty if there was none, or one of another unit."""
        if not self._variables.exists():
            return ""
        found = environment_file.read(str(self._variables))
        return found.get(TOKEN_VARIABLE, "") if found.get(UNIT_VARIABLE) == self._unit else ""

    def _handle(self, unit: Unit, token: str) -> Handle:
        return {"unit": unit.name, "invocation": unit.invocation, "token": token}


def check_file(unit: Unit) -> None:
    """Raise NodeError where systemd would not start it, or not for long, whatever it runs."""
    if unit.load == "not-found":
        raise NodeError(
            f"there is no unit {unit.name} on this node; put its file (for shop@blue.service: "
            "shop@.service) into /etc/systemd/system, and type systemctl daemon-reload"
        )
    if unit.load == "masked":
        raise NodeError(f"{unit.name} is masked on this node; type systemctl unmask {unit.name}")
    if unit.load != "loaded":
        raise NodeError(
            f"systemd cannot read {unit.name}: {unit.load_error or unit.load}; what is wrong: "
            f"systemd-analyze verify {unit.name}"
        )
    if unit.stale:
        raise NodeError(
            f"the file of {unit.name} was changed and systemd has not read it since; type "
            "systemctl daemon-reload"
        )
    if not unit.lasts:
        raise NodeError(
            f"{unit.name} has Type=oneshot, so it is never active for long; an app that serves has "
            "another Type=, or RemainAfterExit=yes beside it"
        )


def _foreign(unit: Unit) -> NodeError:
    return NodeError(
        f"{unit.name} {unit.words} already, and Tidegate did not start it; type systemctl stop "
        f"{unit.name}"
    )


def _ended(unit: Unit, invocation: str) -> Ended | None:
    """How that run of the unit ended; None while it goes on."""
    if unit.invocation == invocation:
        if unit.waits:
            return Ended(unit.how(), returns=True)
        return None if unit.there else Ended(unit.how())
    if unit.there:
        by = f"by systemd ({unit.restarts} times so far)" if unit.restarts else "by somebody"
        return Ended(f"ended, and was started again {by}", returns=True)
    return Ended(unit.how())


async def _kill(name: str) -> bool:
    """Whether there was something to kill: systemd refuses where it ended just before."""
    try:
        await systemctl.tell("kill", name, "--signal=SIGKILL")
    except ServiceError:
        if (await systemctl.show(name)).there:
            raise
        return False
    return True


async def _until_it_may_differ(unit: Unit) -> None:
    """Wait for its main process to end, where it has one; else for a while."""
    if unit.pid:
        with procfs.any_handle(unit.pid) as pidfd:
            if pidfd is not None:
                await procfs.ended(pidfd)
        await asyncio.sleep(SOON_SECONDS)  # systemd has to hear of it too
    else:
        await asyncio.sleep(SELDOM_SECONDS if unit.state == "active" else STARTING_SECONDS)
