"""What each step of a plan is for, and where, and why a work may begin later than its step, in
words. Used by `explain`."""

from collections.abc import Iterable, Mapping
from typing import Any

from tidegate_controller.cli.phrases import listed, natural

NAMES_MAX = 5  # of places that a sentence lists

# What each step is for, by its id; steps that are not here say nothing of themselves.
PURPOSE = {
    "preflight": "to find what would fail anyway, before anything is changed",
    "settle": "since nobody knew where traffic went",
    "prepare": "to have the release on the nodes, beside what runs there",
    "migrate": "the release's own migrate.sh, once, before anything of it is started",
    "start": "to see it healthy before it gets any traffic",
    "approve": "since the environment wants somebody to look before it gets traffic",
    "drain": "its nodes get no new requests, and enough others stay in service",
    "stop": "once the last requests have had time to end; its files stay for the way back",
    "admit": "its nodes take traffic again, each having answered first",
    "rehearse-admit": "the way back was tried on one node: the old release serves there",
    "rehearse-shift": "the way back was tried on one node: the old release serves there",
    "return-admit": "and it has the new one again",
    "return-shift": "and it has the new one again",
    "drain-back": "nodes of the new release lose their traffic, as many as can be spared",
    "stop-back": "a node runs one of both releases at a time",
    "start-back": "the old release, before it gets any traffic",
    "admit-back": "what is well again takes its traffic back",
    "shift": "all traffic at once, each place having answered first",
    "switch": "so that `current` on the nodes names what serves",
    "soak": "to see whether it stays healthy with traffic",
    "check": "what the operator wants to know of it; no verdict is no pass",
    "verify": "each node has to say once more that it is well: silence is no success",
    "shift-back": "traffic goes back to where it was",
}
IN_WAVES = {
    "migrate": "before anything of the release is started there",
    "shift": "the wave's nodes to the new release, each place having answered first",
    "verify": "each has to say once more that it is well: silence is no success",
}
WHY_WAIT = {
    "start": "once the slot had no traffic and its last requests had had time to end",
    "stop": "once its last requests had had time to end",
    "drain": "once enough others were in service",
    "shift": "once all that gain traffic were healthy",
}
WRITTEN_AGAIN = (
    "once traffic had been written once more, since an earlier move might have been done late, and "
    "its last requests had had time to end"
)


def places(names: Iterable[str]) -> str:
    """The first few of them, in order."""
    return listed(sorted(names, key=natural), NAMES_MAX)


def why_places(data: Mapping[str, Any]) -> list[str]:
    """Why these slots: what is to be started goes where no traffic is."""
    version = data["release"]["version"]
    works = [work for step in data["plan"] for work in step["works"]]
    fresh = [work["place"] for work in works if work["verb"] == "start"]
    moves = [work["weights"] or {} for work in works if work["verb"] == "route"]
    taking = [place for place, share in moves[-1].items() if share] if moves else []
    ready = [place for place in taking if place not in fresh]
    texts = []
    if fresh:
        serving = "no traffic leads there"  # a new node has none in its other slot either
        if data["spec"].get("slots") and data["kind"] != "converge":
            serving = "the other group has the traffic"
        why = serving if data["previous"] else "nothing serves yet"
        texts.append(f"{version} was to be started in {places(fresh)}, for {why}.")
    if ready:
        texts.append(f"{version} ran already in {places(ready)}, so it was not started there.")
    return texts
