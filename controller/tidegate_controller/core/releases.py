"""Which releases an app has in an environment: active, to go back to, known, quarantined."""

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import place_of


def active_release(state: t.State) -> t.Release | None:
    """The release that takes traffic: the one committed last."""
    return state.committed[-1] if state.committed else None


def is_established(state: t.State, release: t.Release) -> bool:
    """Whether it is the active one and has succeeded here. What is not has to pass the gates first,
    wherever it serves already."""
    active = active_release(state)
    return active is not None and not active.never_succeeded and active.revision == release.revision


def succeeded(state: t.State) -> list[t.Release]:
    """All that have succeeded here, oldest first: what was adopted after a restore because some
    nodes ran it has not, though it may be the active one."""
    return [release for release in state.committed if not release.never_succeeded]


def previous_release(state: t.State) -> t.Release | None:
    """The one to go back to: the last that has succeeded and differs from the active one, and that
    nobody has put into quarantine."""
    return next(iter(earlier_releases(state)), None)


def release_back(state: t.State) -> t.Release | None:
    """What a rollback brings where no version is asked for; None where there is nothing."""
    active = active_release(state)
    proven = active is not None and not active.never_succeeded
    return active if proven and _off_course(state) else previous_release(state)


def _off_course(state: t.State) -> bool:
    """Whether the last rollout ended half done, so that back is where all was before it: traffic
    went nobody knows where, or stays where it was moved to. A node that the release was not brought
    to, and that serves with another for that, has stayed where it was."""
    active = active_release(state)
    serving = {place_of(state, place).revision for place in serving_since(state)}
    return state.weights is None or bool(active and serving - {active.revision, None})


def earlier_releases(state: t.State) -> list[t.Release]:
    """All that one can go back to, each once, the last that has succeeded first."""
    active = active_release(state)
    found: dict[t.Revision, t.Release] = {}
    for release in reversed(succeeded(state)):
        differs = active is not None and release.revision != active.revision
        if differs and quarantine_of(state, release.revision, "rollback") is None:
            found.setdefault(release.revision, release)
    return list(found.values())


def serving_since(state: t.State) -> list[t.Place]:
    """What got traffic by rollouts that have failed, and has it still."""
    return [place for place in sorted(state.left) if state.settled.get(place)]


def left_half_done(state: t.State) -> list[t.Release]:
    """What serves although it was never committed: the releases of rollouts that have stopped half
    way, each once."""
    active = active_release(state)
    found: dict[t.Revision, t.Release] = {}
    for place in sorted(state.left):
        known = state.places.get(place, t.Known())
        release = release_of(state, known.revision)
        if release is not None and (active is None or release.revision != active.revision):
            found.setdefault(release.revision, release)
    return list(found.values())


def known_releases(state: t.State) -> tuple[t.Release, ...]:
    """All that the stream may have to run again, or to name: their artifacts are still needed."""
    in_rollout = (state.rollout.release,) if state.rollout else ()
    return (*state.committed, *state.undone, *in_rollout)


def release_of(state: t.State, revision: t.Revision | None) -> t.Release | None:
    """The release with this revision, of the rollout, of those committed or of those undone."""
    current = [state.rollout.release] if state.rollout else []
    for release in (*current, *reversed(state.committed), *reversed(state.undone)):
        if release.revision == revision:
            return release
    return None


def quarantine_of(
    state: t.State, revision: t.Revision, kind: t.Kind = "deploy"
) -> t.Quarantine | None:
    """Why the revision may not be brought here by a rollout of this kind, if that is so."""
    for one in reversed(state.quarantined):
        concerned = one.digest == revision.digest and one.config in ("", revision.config)
        if concerned and (kind == "deploy" or one.origin != "rollback"):
            return one
    return None
