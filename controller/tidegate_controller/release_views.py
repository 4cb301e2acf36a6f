"""Fills the list of releases: what streams know of them, and what of it the store still has.

Called by `operator_service`. Like all views it is made anew whenever it is asked for.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tidegate_controller.artifacts import Note
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import join_stream, split_stream
from tidegate_controller.core.releases import (
    active_release,
    known_releases,
    quarantine_of,
    release_of,
    succeeded,
)
from tidegate_controller.documents import ListedRelease, ReleaseList, RolloutSummary
from tidegate_controller.errors import UsageError

AFTER_ALL = "9"  # any time that is written is before it


def releases(
    states: Mapping[str, t.State],
    rollouts: Iterable[RolloutSummary],
    notes: Mapping[str, Note],
    app: str,
) -> ReleaseList:
    """Those of one app, or of all when `app` is empty: first what was deployed, then what was
    only pushed, the newest first. `states` by stream. Raises `UsageError` for an unknown app."""
    times = _times(rollouts)
    listed = [
        release
        for stream, state in states.items()
        if app in ("", split_stream(stream)[0])
        for release in _of_stream(stream, state, times, notes)
    ]
    deployed = {r.revision.digest for state in states.values() for r in known_releases(state)}
    pushed = [
        _pushed(digest, note)
        for digest, note in notes.items()
        if digest not in deployed and app in ("", note.app)
    ]
    if app and not listed and not pushed:
        raise UsageError(
            f"there is no release of {app[:80]}", "all there are: tidegate release list"
        )
    places = {
        (stream, *named): at
        for stream, state in states.items()
        for named, at in _in_order(stream, state, times).items()
    }

    def newest(release: ListedRelease) -> tuple[str, bool]:
        stream = join_stream(release.app or "", release.environment or "")
        before = places.get((stream, release.version or "", release.digest), "")
        return release.at or before, release.at is not None

    for part in (listed, pushed):
        part.sort(key=newest, reverse=True)
    return ReleaseList(releases=[*listed, *pushed])


def _in_order(
    stream: str, state: t.State, times: Mapping[tuple[str, str, str], str]
) -> dict[tuple[str, str], str]:
    """For releases that nobody deployed here, as those adopted after a restore: before when, at the
    latest, they were active. It is for their place in the list alone."""
    found: dict[tuple[str, str], str] = {}
    before = AFTER_ALL
    for release in reversed(state.committed):
        named = (release.version, release.revision.digest)
        at = times.get((stream, *named))
        if at is None:
            found.setdefault(named, before)
        else:
            before = min(before, at)
    return found


def _times(rollouts: Iterable[RolloutSummary]) -> dict[tuple[str, str, str], str]:
    """When a digest was last deployed under a version in a stream."""
    times: dict[tuple[str, str, str], str] = {}
    for view in rollouts:
        key = (join_stream(view.app, view.environment), view.release.version, view.release.digest)
        times[key] = max(times.get(key, ""), view.ended_at or view.started_at)
    return times


def _of_stream(
    stream: str,
    state: t.State,
    times: Mapping[tuple[str, str, str], str],
    notes: Mapping[str, Note],
) -> list[ListedRelease]:
    """One for each version and digest, whatever its settings were."""
    app, environment = split_stream(stream)
    last = {(r.version, r.revision.digest): r for r in known_releases(state)}
    held = _held(state)
    return [
        ListedRelease(
            app=app,
            environment=environment,
            version=version,
            digest=digest,
            state=_state(state, version, digest),
            active_on=[str(place) for place in held[version, digest] if state.settled.get(place)],
            held_by=[str(place) for place in held[version, digest]],
            at=times.get((stream, version, digest)),
            stored=digest in notes,
            size_bytes=release.size_bytes,
            url=release.url or notes.get(digest, Note()).url or None,
            quarantined=_quarantined(state, release),
        )
        for (version, digest), release in last.items()
    ]


def _quarantined(state: t.State, release: t.Release) -> str | None:
    found = quarantine_of(state, release.revision)
    return found.why if found else None


def _state(state: t.State, version: str, digest: str) -> str:
    """The first of these words that fits: active, in rollout, former, undone."""

    def is_it(release: t.Release | None) -> bool:
        known = release and (release.version, release.revision.digest)
        return known == (version, digest)

    if is_it(active_release(state)):
        return "active"
    if state.rollout and is_it(state.rollout.release):
        return "in rollout"
    return "former" if any(map(is_it, succeeded(state))) else "undone"


def _held(state: t.State) -> Mapping[tuple[str, str], list[t.Place]]:
    """The slots that hold each version and digest. By the revision, not by the digest alone: one
    artifact may have been deployed under several versions."""
    held: defaultdict[tuple[str, str], list[t.Place]] = defaultdict(list)
    for place, known in sorted(state.places.items()):
        release = release_of(state, known.revision)
        if release is not None:
            held[release.version, release.revision.digest].append(place)
    return held


def _pushed(digest: str, note: Note) -> ListedRelease:
    return ListedRelease(
        app=note.app or None,
        environment=None,
        version=note.version or None,
        digest=digest,
        state="pushed",
        active_on=[],
        held_by=[],
        at=note.added_at or None,
        stored=True,
        size_bytes=note.size_bytes,
        url=note.url or None,
    )
