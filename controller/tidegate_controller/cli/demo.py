"""`tidegate demo`: the main job on this machine, for real."""

import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidegate_controller.cli import end_terminated
from tidegate_controller.cli.follow import tell
from tidegate_controller.cli.terminal import announce, columns, print_json, say
from tidegate_controller.documents import Document
from tidegate_controller.errors import TidegateError

if TYPE_CHECKING:
    from tidegate_controller.demo.background_load import Count
    from tidegate_controller.demo.local_fleet import LocalFleet
    from tidegate_controller.demo.show import Scene

STEPS = ("Prepare", "Start", "Shift", "Soak", "Shift back")


class ReleaseResult(Document, kw_only=True):
    version: str
    kind: str
    state: str
    seconds: float


class RequestsResult(Document, kw_only=True):
    served: int
    failed: int


class DemoResult(Document, kw_only=True):
    """`tidegate demo --json`."""

    releases: list[ReleaseResult]
    requests: RequestsResult


class StoppedResult(Document, kw_only=True):
    """`tidegate demo --stop FOLDER --json`."""

    folder: str
    stopped: int
    removed: bool


@click.command()
@click.option("--nodes", default=5, show_default=True, type=click.IntRange(1, 50))
@click.option("--keep", is_flag=True, help="Leave everything running, to play with.")
@click.option(
    "--stop",
    "stop_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="End all that --keep has left running in FOLDER, remove it, and do nothing else.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the result, as JSON.")
def demo(nodes: int, keep: bool, stop_folder: Path | None, as_json: bool) -> int:
    """Show it all on this machine, for real.

    Real processes, real load, good and bad releases. All of it lives in a temporary folder, and
    ends with the demo or with Ctrl-C. The folder is removed then, unless something went wrong: the
    logs of all parts are in it.

    \b
    Example:
      tidegate demo --nodes 3 --keep
    """
    from tidegate_controller.demo import caddy_server, show, temporary  # noqa: PLC0415  (heavy)

    if stop_folder is not None:
        _say_stopped(stop_folder, temporary.stop(stop_folder), as_json=as_json)
        return 0
    caddy_server.caddy_binary()
    speak = _silent if as_json else _stamped
    signal.signal(signal.SIGTERM, end_terminated)
    with temporary.temporary_fleet(nodes, keep=keep) as fleet, _interruptible():
        play = show.Show(fleet, speak, lambda c, rollout, seq: tell(c, rollout, seq, quiet=as_json))
        scenes, total = play.run()
        if as_json:
            print_json(_result(scenes, total))
        else:
            _say_result(scenes, total, play.failures)
        unexpected = _unexpected(scenes, total)
        if keep:
            _say_kept(fleet, as_json=as_json)
        elif unexpected:
            raise unexpected
    if unexpected:
        raise unexpected
    if not (keep or as_json):
        say("")
        say(f"what next: run it again and play with it:  {_typed()} demo --keep")
        say("           do it by hand with your own app: the quickstart in README.md")
    return 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say that Ctrl-C was heard, as the stopping takes a moment."""
    try:
        yield
    except KeyboardInterrupt:
        announce("\nstopping everything")
        raise


def _say_stopped(folder: Path, stopped: int, *, as_json: bool) -> None:
    if as_json:
        print_json(StoppedResult(folder=str(folder), stopped=stopped, removed=True))
    else:
        say(f"stopped {stopped} processes; {folder} was removed")


def _unexpected(scenes: "list[Scene]", total: "Count") -> TidegateError | None:
    """The error that says what went otherwise than it should; None if nothing did."""
    ended = [
        f"rollout {scene.rollout.rollout} {scene.rollout.state.replace('_', ' ')}"
        for scene in scenes
        if scene.rollout.state != scene.expected
    ]
    failed = [f"{total.failed} requests failed"] if total.failed else []
    if not ended + failed:
        return None
    return TidegateError(f"this is not how it should go: {', '.join(ended + failed)}")


def _silent(text: str) -> None:
    """With --json nothing is told."""


def _stamped(text: str) -> None:
    say(f"{time.strftime('%H:%M:%S')}  {text}" if text else "")


def _result(scenes: "list[Scene]", total: "Count") -> DemoResult:
    return DemoResult(
        releases=[
            ReleaseResult(
                version=scene.rollout.release.version,
                kind=scene.rollout.kind,
                state=scene.rollout.state,
                seconds=round(scene.seconds, 3),
            )
            for scene in scenes
        ],
        requests=RequestsResult(served=total.served, failed=total.failed),
    )


def _say_result(scenes: "list[Scene]", total: "Count", failures: list[str]) -> None:
    rows: list[list[object]] = []
    for scene in scenes:
        view = scene.rollout
        seconds = {step.name: step.seconds for step in view.steps}
        steps = [_seconds(seconds.get(name)) for name in STEPS]
        outcome = view.state.replace("_", " ")
        if view.state != scene.expected:
            outcome += f" (expected: {scene.expected.replace('_', ' ')})"
        rows.append(
            [
                view.release.version,
                view.kind,
                outcome,
                *steps,
                _seconds(scene.seconds),
                *scene.requests,
            ]
        )
    say("")
    steps_header = [name.upper() for name in STEPS]
    columns(["VERSION", "KIND", "OUTCOME", *steps_header, "ALL", "SERVED", "FAILED"], rows)
    say("")
    say(f"requests: {total.served} served, {total.failed} failed")
    for failure in failures:
        say(f"  {failure}")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _typed() -> str:
    """How this command is typed here: `make demo` has it in a folder that is on nobody's PATH."""
    program = Path(sys.argv[0])
    found = shutil.which(program.name)
    if program.name == "__main__.py":
        return f"{sys.executable} -m {__package__.partition('.')[0]}"
    known = found is not None and program.exists() and program.samefile(found)
    return program.name if known else str(program)


def _say_kept(fleet: "LocalFleet", *, as_json: bool) -> None:
    tidegate = _typed()
    stop = f"{tidegate} demo --stop {fleet.folder}"
    if as_json:
        announce(f"everything runs on, in {fleet.folder}")
        announce(f"  next: {tidegate} --controller {fleet.address} status; {stop}")
        return
    say("")
    say(f"everything runs on, in {fleet.folder}; try:")
    say(f"  export TIDEGATE_CONTROLLER={fleet.address}")
    for command in ("status", "rollout list", "rollout show r3", "log", "rollback hello"):
        say(f"  {tidegate} {command}")
    say(f"  curl {fleet.url}")
    say(f"and end it all with: {stop}")
