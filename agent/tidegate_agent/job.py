"""One command while it is being done: what its handler may say of it, and where that goes.

Made by executor.py for each command, used by the handlers in commands.py.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tidegate_agent import output
from tidegate_agent.errors import AgentError, Blame
from tidegate_agent.pacing import Paced
from tidegate_agent.reports import ERROR_CHARACTERS, OUTPUT_CHARACTERS, clipped, clipped_front
from tidegate_protos.v1 import agent_pb2 as pb

PROGRESS_SECONDS = 0.5  # between two reports of one command
NOTICE_SECONDS = 1.0  # what takes longer is told


class Job:
    """`report` sends to the controller, or drops. `mark_begun` makes the journal remember that the
    command has begun a script that must not be run twice. Scripts carry the `token`."""

    def __init__(
        self,
        command: pb.Command,
        token: str,
        report: Callable[[pb.Report], None],
        mark_begun: Callable[[str], None],
    ) -> None:
        self.command = command
        self.token = token
        self.remark = ""  # for the operator, where the command succeeds all the same
        self.cleaned: pb.CleanedUp | None = None
        self.begun = ""  # the script that was begun and must not be begun twice
        self._report = report
        self._mark_begun = mark_begun
        self._latest = pb.Progress()
        self._paced = Paced(PROGRESS_SECONDS, self._send)
        self._aim = "done"
        self._trouble = ""
        self._log: Path | None = None
        self._blame: Blame = "unclear"

    def fetched(self, done_bytes: int, total_bytes: int) -> None:
        """So many bytes of the artifact are here."""
        self._trouble = ""
        if done_bytes < total_bytes:
            self._at("fetched", "environment")
            self._say("fetching", done_bytes, total_bytes)
        else:
            self._at("unpacked", "unclear")
            self._say("unpacking", done_bytes, total_bytes)

    def note(self, trouble: str) -> None:
        """What keeps it from getting on; goes into the error, should the time run out."""
        self._at("fetched", "environment")
        self._trouble = trouble
        self._say(trouble, self._latest.done_bytes, self._latest.total_bytes)

    @contextmanager
    def telling(self, text: str) -> Iterator[None]:
        """What it is at meanwhile is told where that takes a while."""
        notice = asyncio.get_running_loop().call_later(NOTICE_SECONDS, self._say, text, 0, 0)
        try:
            yield
        finally:
            notice.cancel()
            if self._latest.text == text:
                self._say("", 0, 0)

    def running(self, script: str, log: Path) -> None:
        """`log` is where it writes."""
        self._trouble, self._log = "", log
        self._at(f"through with {script}", "unclear")
        self._say(f"running {script}", 0, 0)

    def output(self, text: str) -> None:
        """New lines of a script's output; the caller sees to it that they are not too many."""
        text = clipped_front(text, OUTPUT_CHARACTERS)
        progress = pb.Progress(command_id=self.command.id, text=text)
        self._report(pb.Report(progress=progress))

    def begin_once(self, script: str) -> None:
        """Durable: whoever finds the command without a result knows that the script has begun.

        Raises JournalError, and then it must not begin.
        """
        self._mark_begun(script)
        self.begun = script

    def out_of_time(self) -> AgentError:
        """What to say when `deadline_seconds` are over."""
        text = f"not {self._aim} within {self.command.deadline_seconds:.0f} s"
        if self._trouble:
            text += f": last: {self._trouble}"
        return AgentError(text, self.said(), blame=self._blame)

    def said(self) -> str:
        """The last lines of the script that it has run."""
        return output.tail(self._log) if self._log is not None else ""

    def close(self) -> None:
        self._paced.close()

    def _at(self, aim: str, blame: Blame) -> None:
        self._aim, self._blame = aim, blame

    def _say(self, text: str, done_bytes: int, total_bytes: int) -> None:
        self._latest = pb.Progress(
            command_id=self.command.id,
            text=clipped(text, ERROR_CHARACTERS),
            done_bytes=done_bytes,
            total_bytes=total_bytes,
        )
        self._paced.poke()

    async def _send(self) -> None:
        self._report(pb.Report(progress=self._latest))
