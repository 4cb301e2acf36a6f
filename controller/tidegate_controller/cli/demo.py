"""`tidegate demo`: the main job on this machine, for real."""

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidegate_controller.cli.deploy import tell
from tidegate_controller.cli.terminal import columns, print_json, say
from tidegate_controller.documents import Document

if TYPE_CHECKING:
    from tidegate_controller.demo.background_load import Count
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


@click.command()
@click.option("--nodes", default=5, show_default=True, type=click.IntRange(1, 50))
@click.option("--keep", is_flag=True, help="Leave everything running, to play with.")
@click.option(
    "--stop",
    "stop_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Stop what --keep has left running, and do nothing else.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the result, as JSON.")
def demo(nodes: int, keep: bool, stop_folder: Path | None, as_json: bool) -> int:
    """Show a whole Tidegate on this machine: real processes, real load, good and bad releases.

    \b
    Example:
      tidegate demo --nodes 3 --keep
    """
    from tidegate_controller.demo import local_fleet, show  # noqa: PLC0415  (heavy)

    if stop_folder is not None:
        say(f"stopped {local_fleet.stop(stop_folder)} processes")
        return 0
    speak = _silent if as_json else _stamped
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    fleet = local_fleet.LocalFleet(folder, nodes)
    try:
        play = show.Show(fleet, speak, lambda c, rollout, seq: tell(c, rollout, seq, quiet=as_json))
        scenes, total = play.run()
    except BaseException:
        fleet.stop()
        raise
    if not keep:
        fleet.stop()
    good = total.failed == 0 and all(scene.rollout.state == scene.expected for scene in scenes)
    if as_json:
        print_json(_result(scenes, total))
    else:
        _say_result(scenes, total, play.failures)
        _say_next(folder, fleet.address, fleet.url, keep)
    return 0 if good else 1


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


def _say_next(folder: Path, address: str, url: str, keep: bool) -> None:
    say("")
    if keep:
        say(f"everything runs on, in {folder}; try:")
        say(f"  export TIDEGATE_CONTROLLER={address}")
        for command in ("status", "rollout list", "rollout show r3", "log", "rollback hello"):
            say(f"  tidegate {command}")
        say(f"  curl {url}")
        say(f"and stop it with: tidegate demo --stop {folder}")
    else:
        say("what next: run it again and play with it:  tidegate demo --keep")
        say("           do it by hand with your own app: the quickstart in README.md")
