"""What became of nodes that failed, and of a rollout that did, in sentences. Used by `explain`."""

from collections.abc import Mapping
from typing import Any

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
