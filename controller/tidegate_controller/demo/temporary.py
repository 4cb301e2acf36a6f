"""A fleet in a folder of its own, gone when it is not needed any more; for `tidegate demo`."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidegate_controller.demo import local_fleet
from tidegate_controller.demo.local_fleet import LocalFleet
from tidegate_controller.errors import TidegateError, UsageError

OWN = "made-by-tidegate-demo"  # a file in each such folder: nothing is ended or removed in others
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def temporary_fleet(nodes: int, *, keep: bool) -> Iterator[LocalFleet]:
    """In the end no process is left, and no folder. With `keep` both stay if all went well. After
    an error the folder stays, with what each part has said; a `TidegateError` then tells where."""
    folder = Path(tempfile.mkdtemp(prefix="tidegate-demo-")).resolve()
    (folder / OWN).touch()
    fleet = LocalFleet(folder, nodes)
    try:
        yield fleet
    except Exception as error:
        with _undisturbed():
            fleet.stop()
        logs = f"what each part has said is in {folder}/*.log; the folder is yours to remove"
        if isinstance(error, TidegateError):
            error.hint = "; ".join(filter(None, (error.hint, logs)))
        else:
            error.add_note(logs)
        raise
    except BaseException:  # Ctrl-C and SIGTERM
        with _undisturbed():
            fleet.stop()
            shutil.rmtree(folder)
        raise
    if not keep:
        with _undisturbed():
            fleet.stop()
            shutil.rmtree(folder)


def stop(folder: Path) -> int:
    """End every process that runs in `folder`, one of those from above, and remove it; how many
    there were. Raises `UsageError` for any other folder: what runs there is nobody's demo."""
    if not (folder / OWN).is_file():
        raise UsageError(
            f"`tidegate demo` did not make {folder}, so nothing was ended there",
            "name the folder that `tidegate demo --keep` has told",
        )
    with _undisturbed():
        processes = local_fleet.stop(folder)
        shutil.rmtree(folder)
    return processes


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not cut the stopping short."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
