"""Which releases an app has in an environment: active, to go back to, known, quarantined."""

from tidegate_controller.core import types as t


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


def earlier_releases(state: t.State) -> list[t.Release]:
    """All that one can go back to, each once, the last that has succeeded first."""
    active = active_release(state)
    found: dict[t.Revision, t.Release] = {}
    for release in reversed(succeeded(state)):
        differs = active is not None and release.revision != active.revision
        if differs and quarantine_of(state, release.revision, "rollback") is None:
            found.setdefault(release.revision, release)
    return list(found.values())


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
