"""After a restore: what the log says and what runs may differ, and a person decides.

The log of Monday meets the fleet of Tuesday. Whatever the decision, what runs is taken as it is
first: the plan of a rollout has to begin where traffic really goes.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.deploying import on_rollback
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.releases import active_release, succeeded
from tidegate_controller.core.rendered import render_digest
from tidegate_controller.core.spec import Struct
from tidegate_controller.core.wellness import seems_well
from tidegate_controller.errors import Refused

EMPTY = i.SlotReport(known=t.Known(running=False, healthy=False), current=False)


class Difference(Struct, frozen=True, kw_only=True):
    """Of a node, in words: what the log has of it, and what its agent says."""

    node: str
    log: str
    now: str


# --- Inputs --------------------------------------------------------------------------------------


def on_restore(draft: Draft, restore: i.Restore) -> None:
    rollout = draft.state.rollout
    draft.emit(ev.Restored(log_id=restore.log_id, former=restore.former))
    if rollout is not None:
        reason = "the log was restored from a backup that was made while this was under way"
        draft.emit(ev.Ended(rollout=rollout.id, state="interrupted", reason=reason))


def on_reconcile(draft: Draft, request: i.Reconcile) -> None:
    state = draft.state
    if not state.reconciling:
        raise Refused(f"there is nothing to decide about {state.stream}", "see: tidegate status")
    _refuse_absent(request)
    _take_note(draft, request.members)
    state = draft.state
    members = members_concerned(state, request.members, taking(request.balancer))
    request = replace(request, members=members)
    weights = _weights(request)
    release = _serving(state, request, weights)
    before = active_release(state)
    debts = _debts(state, request, weights, release)
    here = {member.node: member.journal_id for member in request.members if member.connected}
    draft.emit(
        ev.Adopted(
            request_id=request.request_id,
            requested_by=request.requested_by,
            message=request.message,
            release=release and _as_it_counts(state, request, release, weights),
            nodes=tuple(member.node for member in request.members),
            weights=weights,
            routed={place: place_of(state, place).address or "" for place in weights},
            is_all=not _strange(request),
            debts=debts,
            owed={node: t.Owed() for node in debts if node in here},  # the others once they return
            journals=here,
        )
    )
    if request.converge:
        _converge(draft, request, before)


def taking(balancer: Mapping[str, int] | None) -> frozenset[str] | None:
    """The addresses that get traffic by these shares; None where there is no balancer to ask."""
    if balancer is None:
        return None
    return frozenset(address for address, share in balancer.items() if share)


def members_concerned(
    state: t.State, members: tuple[i.Member, ...], takers: Collection[str] | None
) -> tuple[i.Member, ...]:
    """Those that the decision is about: nodes that the log has the app on, and whoever serves. A
    node that was taken out of the environment holds what it had for long. `takers`: see `taking`;
    without, a node serves with the slot that its `current` names."""
    known = {place.node for place, share in state.settled.items() if share}.union(state.members)
    return tuple(each for each in members if each.node in known or _serves(each, takers))


def _serves(member: i.Member, takers: Collection[str] | None) -> bool:
    return member.connected and any(
        _is_run(report) if takers is None else report.known.address in takers
        for report in member.slots.values()
    )


def _is_run(report: i.SlotReport) -> bool:
    """Whether the node's `current` names the slot, and it runs as far as is known."""
    return report.current and report.known.running is not False


def _refuse_absent(request: i.Reconcile) -> None:
    away = [member.node for member in request.members if not member.connected]
    if away and not request.without_absent:
        raise Refused(
            f"{', '.join(away)} not connected, so nobody knows what runs there",
            "start the agent there (see: tidegate node list), or go on without: --without-absent",
        )
    strange = _strange(request)
    if strange and not request.without_absent:
        raise Refused(
            f"traffic goes to {', '.join(strange[:5])}, where no node that is connected runs the "
            "app",
            "start the agent there (see: tidegate node list), or go on without: --without-absent",
        )


def _take_note(draft: Draft, members: tuple[i.Member, ...]) -> None:
    """Take note of what the nodes say that is not in the state yet."""
    for member in members:
        for slot in t.SLOTS if member.connected else ():
            place, report = t.Place.of(member.node, slot), member.slots.get(slot, EMPTY)
            current = draft.state.current.get(member.node) == slot
            if report.known != place_of(draft.state, place) or (report.current and not current):
                draft.emit(ev.Observed(place=place, known=report.known, current=report.current))


def _weights(request: i.Reconcile) -> t.Weights:
    """Where traffic goes: as the balancer says, or where there is none to ask, to the slot of each
    node that its `current` names."""
    if request.balancer is None:
        return dict.fromkeys(_current_places(request), t.FULL)
    shares = {address: share for address, share in request.balancer.items() if share}
    reported = _reported(request)
    most = max(shares.values(), default=0)
    return {
        reported[address]: _evened(share, most)
        for address, share in shares.items()
        if address in reported
    }


def _evened(share: int, most: int) -> int:
    """In per cent of the largest. A balancer has room for so many parts, and rounds: what is meant
    to be equal counts as equal."""
    return t.FULL if most - share <= 1 or 2 * share > most else max(1, t.FULL * share // most)


def _strange(request: i.Reconcile) -> list[str]:
    """Addresses that get traffic and that no connected node calls its own."""
    return sorted((taking(request.balancer) or frozenset()).difference(_reported(request)))


def _reported(request: i.Reconcile) -> dict[str, t.Place]:
    return {
        report.known.address: t.Place.of(member.node, slot)
        for member in request.members
        if member.connected
        for slot, report in sorted(member.slots.items())
        if report.known.address
    }


def _current_places(request: i.Reconcile) -> list[t.Place]:
    """The slot that `current` names on each node, where it runs."""
    return [
        t.Place.of(member.node, slot)
        for member in request.members
        if member.connected
        for slot, report in sorted(member.slots.items())
        if _is_run(report)
    ]


def _serving(state: t.State, request: i.Reconcile, weights: t.Weights) -> t.Release | None:
    """The release that most places with traffic run; where none has any, most current slots."""
    runs = _revisions(state, weights) or _revisions(state, _current_places(request))
    active = active_release(state)
    if not runs:
        return active
    known = active.revision if active else None
    # Of two that are equally many, the one that is new to the log: nothing is lost by that.
    revision = max(runs, key=lambda each: (runs[each], each != known))
    return _release_of(state, revision, request)


def _revisions(state: t.State, places: Collection[t.Place]) -> Counter[t.Revision]:
    found = (place_of(state, place).revision for place in places)
    return Counter(revision for revision in found if revision is not None)


def _release_of(state: t.State, revision: t.Revision, request: i.Reconcile) -> t.Release | None:
    """As the log knows it. A release that it does not know has the settings of one, if these and
    its version have the digest that runs; else those of the last one stand in, and it is
    incomplete."""
    known = [*reversed(state.committed), *reversed(state.undone)]
    for release in known:
        if release.revision == revision:
            return release
    version = request.versions.get(revision.digest, "")
    fitting = (r.settings for r in known if render_digest(r.settings, version) == revision.config)
    settings = next(fitting, None)
    instead = settings or (state.spec.settings if state.spec else None)
    if instead is None:
        return None
    size_bytes = request.sizes.get(revision.digest)
    return t.Release(
        version=version or revision.digest[-12:],
        revision=revision,
        size_bytes=size_bytes or 0,
        settings=instead,
        incomplete=settings is None or size_bytes is None,
    )


def _as_it_counts(
    state: t.State, request: i.Reconcile, release: t.Release, weights: t.Weights
) -> t.Release:
    """That nodes run it does not show that it is good: it may have been on its way to the others.
    It counts as one that has succeeded if the log has it so, or if a person adopts it and all that
    takes traffic runs it."""
    known = any(each.revision == release.revision for each in succeeded(state))
    is_all_over = set(_revisions(state, weights)) == {release.revision}
    counts = known or (is_all_over and not request.converge)
    return replace(release, never_succeeded=not counts)


def _debts(
    state: t.State, request: i.Reconcile, weights: t.Weights, release: t.Release | None
) -> dict[str, str]:
    debts = {
        member.node: "away when the log was reconciled; takes no traffic until it has the release"
        for member in request.members
        if not member.connected
    }
    if release is not None and weights and not (state.spec and state.spec.slots):
        debts |= _without_traffic(state, request, weights, release)
    for place in sorted(weights):
        revision = place_of(state, place).revision
        if release is not None and revision != release.revision:
            debts[place] = (
                f"runs another release than {release.version}, which most do; the next deploy or "
                "rollback mends that"
            )
    return debts


def _without_traffic(
    state: t.State, request: i.Reconcile, weights: t.Weights, release: t.Release
) -> dict[str, str]:
    """Members that are here and serve nobody: one that holds nothing has lost its disk, and gets
    the release by itself."""
    taking = {place.node for place, share in weights.items() if share}
    debts = {}
    for member in request.members:
        if not member.connected or member.node in taking or member.node not in state.members:
            continue
        held = sorted(slot for slot, report in member.slots.items() if report.known.revision)
        if held:
            place = t.Place.of(member.node, held[0])
            debts[str(place)] = "takes no traffic; the next deploy or rollback mends that"
        else:
            debts[member.node] = f"holds nothing; takes no traffic until it has {release.version}"
    return debts


def _converge(draft: Draft, request: i.Reconcile, to: t.Release | None) -> None:
    """A rollback to what the log had, from what runs."""
    if to is None or to.never_succeeded:
        has = f"only {to.version}, which never succeeded," if to else "no release"
        raise Refused(
            f"the log has {has} of {draft.state.stream} to bring back",
            "take what runs as it is: --adopt; then deploy",
        )
    rollback = i.Rollback(
        request_id=f"{request.request_id}/converge",
        rollout=request.converge,
        members=request.members,
        requested_by=request.requested_by,
        message=request.message or "the log was restored, and is what counts",
        to=to.version,
        revision=to.revision,
        without_absent=request.without_absent,
    )
    on_rollback(draft, rollback)


# --- What differs --------------------------------------------------------------------------------


def differences(
    state: t.State, members: tuple[i.Member, ...], versions: Mapping[str, str]
) -> list[Difference]:
    """Node by node, of a stream that waits for a decision. `versions`: see `Reconcile`."""
    return list(_differences(state, members, versions))


def _differences(
    state: t.State, members: tuple[i.Member, ...], versions: Mapping[str, str]
) -> Iterator[Difference]:
    release = active_release(state)
    names = {known.revision.digest: known.version for known in (*state.undone, *state.committed)}
    names = {**versions, **names}
    for member in members:
        places = [t.Place.of(member.node, slot) for slot in t.SLOTS]
        active = [place.slot for place in places if state.settled.get(place)]
        log = "nothing"
        if active and release:
            has_it = [p.slot for p in places if place_of(state, p).revision == release.revision]
            slot = active[0] if active[0] in has_it or not has_it else has_it[0]
            log = f"{release.version} in {slot}"
        if not member.connected:
            now = "not connected: nobody knows"
            yield Difference(node=member.node, log=log, now=now)
            continue
        current = [slot for slot, report in sorted(member.slots.items()) if report.current]
        report = member.slots[current[0]] if current else EMPTY
        now = _in_words(report.known, current[0] if current else "", names)
        same = release is not None and report.known.revision == release.revision
        differs = active != current or not same or not seems_well(report.known)
        if differs if active else report != EMPTY:
            yield Difference(node=member.node, log=log, now=now)


def _in_words(known: t.Known, slot: str, names: Mapping[str, str]) -> str:
    if known.revision is None:
        return "nothing"
    digest = known.revision.digest
    name = names.get(digest) or f"a release with the digest {digest[:19]}…"
    state = "" if seems_well(known) else ", not healthy"
    state = ", not running" if known.running is False else state
    return f"{name} in {slot}{state}"
