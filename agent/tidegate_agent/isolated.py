"""Children of the agent's own code, each for one piece of work, and the line that they answer with.

Used by unpacker.py and backups.py. A child is isolated and without site-packages, which saves half
of Python's start; so what it imports is found by folder, be it a source tree or an installed wheel,
after the standard library.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import tidegate_protos
from tidegate_protos.threads import to_the_end

OWN_FOLDERS = [
    str(Path(package).resolve().parents[1]) for package in (__file__, tidegate_protos.__file__)
]


class Said(NamedTuple):
    """`answer`: the JSON object on its stdout; None where it has printed none. `errors`: what it
    has written to stderr."""

    code: int
    answer: dict[str, Any] | None
    errors: str

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        return f"exit code {self.code}" if self.code >= 0 else _signal(-self.code)


def start_of(module: str) -> str:
    """What the interpreter is to run, to begin with the module's `main`."""
    return (
        "import sys; sys.path += sys.argv.pop(1).split(':'); "
        f"from {module} import main; sys.exit(main())"
    )


async def run(
    start: str, arguments: Iterable[str | Path], seconds: float, folders: Iterable[str] = ()
) -> Said:
    """Until it has ended. `start`: see `start_of`. `folders`: where it finds what is not ours.
    Raises TimeoutError; then, and where this is cancelled, it is killed first."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-I",
            "-S",
            "-c",
            start,
            ":".join(dict.fromkeys([*OWN_FOLDERS, *folders])),
        ),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C at the agent's terminal is the agent's to answer
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await to_the_end(process.wait())
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    code = process.returncode or 0
    return Said(code, answer if isinstance(answer, dict) else None, errors.decode(errors="replace"))


def _signal(number: int) -> str:
    return f"killed by {signal.Signals(number).name}"
