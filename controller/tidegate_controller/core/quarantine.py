"""Releases that are not brought here again until somebody lifts that.

Put there by the engine, when a deployment was undone by the release's own fault; by a rollback, for
what it went back from, which is kept from deployments alone; or by hand. What failed is an artifact
with its settings: with others it may be tried again. What a person is about is the artifact.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import split_stream
from tidegate_controller.core.releases import (
    is_established,
    known_releases,
    left_half_done,
    quarantine_of,
)
from tidegate_controller.errors import Refused

WHY_CHARS = 300  # of a failure that are told again with every refusal


def refuse_quarantined(state: t.State, release: t.Release, kind: t.Kind) -> None:
    """Raises `Refused`, with what lifts it, where the release may not be brought here."""
    found = quarantine_of(state, release.revision, kind)
    if found is not None:
        raise Refused(
            f"version {release.version} is quarantined here: {found.why}",
            "bring another one; or, if it was no fault of this one: "
            f"{lifting(state, found.version or found.digest)}",
        )


def lifting(state: t.State, named: str) -> str:
    """The command that lifts it; `named`: a version or a digest."""
    app, environment = split_stream(state.stream)
    return f"tidegate release unquarantine {app} {named} -e {environment}"


def on_quarantine(draft: Draft, request: i.Quarantine) -> None:
    state = draft.state
    named = _named(state, request.release)
    rollout = state.rollout
    if rollout is not None and rollout.release.revision.digest in named and not rollout.undoing:
        raise Refused(
            f"rollout {rollout.id} brings version {rollout.release.version} just now",
            f"give that up first: tidegate rollout abort {rollout.id}",
        )
    reason = f": {request.reason}" if request.reason else ""
    for digest, version in named.items():
        if _is_by_hand(state, digest):
            continue  # as it is to be
        draft.emit(
            ev.Quarantined(
                quarantine=t.Quarantine(
                    digest=digest,
                    origin="hand",
                    version=version,
                    why=f"put there by {request.requested_by}{reason}",
                ),
                by=request.requested_by,
                request_id=request.request_id,
            )
        )


def _is_by_hand(state: t.State, digest: str) -> bool:
    """Whether a person has put it there, which keeps rollbacks from it as well."""
    return any(one.digest == digest and one.origin == "hand" for one in state.quarantined)


def on_unquarantine(draft: Draft, request: i.Unquarantine) -> None:
    state = draft.state
    named = (request.release, *_candidates(state, request.release))
    found = [one for one in state.quarantined if one.digest in named or one.version in named]
    if not found:
        _named(state, request.release)  # unknown is another thing than well
        return
    for digest in dict.fromkeys(one.digest for one in found):
        draft.emit(
            ev.QuarantineLifted(
                digest=digest,
                version=found[0].version,
                by=request.requested_by,
                reason=request.reason,
                request_id=request.request_id,
            )
        )


def is_own_fault(draft: Draft, blame: t.Blame) -> bool:
    """Whether the release itself is to blame for a deployment that has failed. What has
    succeeded and serves has proven otherwise."""
    rollout = draft.rollout
    if blame != "release" or rollout.kind != "deploy" or rollout.undoing:
        return False
    return not is_established(draft.state, rollout.release)


def quarantine_failed(draft: Draft, reason: str) -> None:
    """It was its own fault: it is not tried again with these settings."""
    rollout = draft.rollout
    draft.emit(
        ev.Quarantined(
            quarantine=t.Quarantine(
                digest=rollout.release.revision.digest,
                config=rollout.release.revision.config,
                origin="failure",
                version=rollout.release.version,
                why=f"in rollout {rollout.id}, {reason}"[:WHY_CHARS],
            ),
            rollout=rollout.id,
        )
    )


def quarantine_rolled_back(draft: Draft, before: t.State) -> None:
    """A rollback has succeeded: what it went back from is not to be deployed again by whatever
    deploys by itself. Where only the settings were others, nothing is. What it went to is well.
    `before`: the state before it was committed, which knows what had been left half done."""
    rollout = draft.rollout
    kept = rollout.release
    if rollout.kind != "rollback" or rollout.previous is None:
        return
    found = quarantine_of(draft.state, kept.revision)
    if found is not None and found.origin != "hand":
        draft.emit(
            ev.QuarantineLifted(
                digest=kept.revision.digest,
                version=kept.version,
                by=rollout.requested_by,
                reason=f"went back to it in {rollout.id}",
            )
        )
    gone_from = [rollout.previous, *left_half_done(before)]
    for left in {release.revision.digest: release for release in gone_from}.values():
        digest = left.revision.digest
        if digest != kept.revision.digest and not _is_by_hand(draft.state, digest):
            _quarantine_left(draft, left)


def _quarantine_left(draft: Draft, left: t.Release) -> None:
    rollout = draft.rollout
    reason = f": {rollout.message}" if rollout.message else ""
    draft.emit(
        ev.Quarantined(
            quarantine=t.Quarantine(
                digest=left.revision.digest,
                origin="rollback",
                version=left.version,
                why=f"rolled back by {rollout.requested_by} in {rollout.id}{reason}"[:WHY_CHARS],
            ),
            by=rollout.requested_by,
            rollout=rollout.id,
        )
    )


def _candidates(state: t.State, named: str) -> dict[str, str]:
    """The releases with this version or digest: digest -> version. A version may have been deployed
    with several artifacts, where the first ones failed: whoever names it means them all."""
    return {
        release.revision.digest: release.version
        for release in known_releases(state)
        if named in (release.version, release.revision.digest)
    }


def _named(state: t.State, named: str) -> dict[str, str]:
    """Likewise, of releases that were deployed here. A digest may also be of one that was not."""
    if found := _candidates(state, named):
        return found
    if named.startswith("sha256:"):
        return {named: ""}
    app, _ = split_stream(state.stream)
    raise Refused(f"no release {named} was ever deployed here", f"see: tidegate release list {app}")
