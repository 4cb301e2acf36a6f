"""What became of nodes that failed, and of a rollout that did, in sentences. Used by `explain`."""

from collections.abc import Collection, Mapping
from typing import Any

from tidegate_controller.cli.explain_steps import places
from tidegate_controller.cli.picture import Picture

BLAMES = {
    "release": "; that is the release's own fault",
    "environment": "; that is no fault of the release",
    "": "",
}


def left_out(data: Mapping[str, Any], picture: Picture) -> list[str]:
    """Of a NodeDropped."""
    node, allowed = data["node"], picture.head["spec"].get("policy", {}).get("max_failed_nodes")
    why = f"for up to {allowed} of its nodes may fail"
    if node in picture.given_up:
        why = "as a person wanted"
    elif picture.head["kind"] == "converge":
        why = "for each node that is behind is a matter of its own"
    said = [f"{node} was left out from here on, {why}: {data['why']}{BLAMES[data['blame']]}."]
    if data.get("reroute"):
        said.append(f"Its traffic was taken from it at once: {node} had the new release in use.")
    return said


def why_it_failed(picture: Picture) -> str:
    """Of a rollout that has ended so."""
    if not picture.undoing:
        return "nothing was undone, as the configuration wants it (on_failure)"
    return "there was nothing to go back to, or it could not be reached"


def overtaken(data: Mapping[str, Any], to_stop: Collection[str]) -> str:
    """Of another rollout's Started: it is about nodes where these places were to be stopped, which
    nobody does any more. "" where there are none."""
    theirs = {work["at"] for step in data["plan"] for work in step["works"]}
    left = [place for place in to_stop if place.partition("/")[0] in theirs]
    if not left:
        return ""
    were = "was" if len(left) == 1 else "were"
    return (
        f"Rollout {data['rollout']} began before {places(left)} {were} stopped, and says what "
        "becomes of that."
    )
