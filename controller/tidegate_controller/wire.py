"""Between the engine's words and the wire's: actions become commands, reports become inputs."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import msgspec

from tidegate_controller.clock import wall_seconds
from tidegate_controller.core import types as t
from tidegate_controller.core.cleaned import CleanedUp, Stayed, Thing
from tidegate_controller.core.facts import join_stream, place_of, seconds_left, split_stream
from tidegate_controller.core.inputs import Observation, Result, SlotReport
from tidegate_controller.core.releases import active_release, previous_release, release_of
from tidegate_controller.core.spec import Health
from tidegate_protos.rules import join_host_port
from tidegate_protos.v1 import agent_pb2 as pb

ANSWER_SECONDS = 10.0
GRACE_SECONDS = 10.0  # to stop what is of no release that is known here
EXPIRES_SECONDS = 3600.0  # hygiene only: the fence is what keeps an old command from acting

TRI = {pb.TRI_YES: True, pb.TRI_NO: False}  # anything else is unknown
BLAMES: dict[int, t.Blame] = {
    pb.BLAME_RELEASE: "release",
    pb.BLAME_ENVIRONMENT: "environment",
}
ERROR_CHARS = 2000
DIGEST_CHARS = 71  # sha256: and 64 digits
OUTPUT_CHARS = 16_000
THINGS_MAX = 100  # that a clean-up names
WORD_CHARS = 40  # of a kind of them
NAME_CHARS = 500  # of a name of one, or a reason
OUTCOMES: dict[int, t.Outcome] = {
    pb.OUTCOME_OK: "ok",
    pb.OUTCOME_FAILED: "failed",
    pb.OUTCOME_REFUSED: "refused",
    pb.OUTCOME_SUPERSEDED: "superseded",
    pb.OUTCOME_CANCELLED: "cancelled",
    pb.OUTCOME_EXPIRED: "expired",
    pb.OUTCOME_UNKNOWN: "unknown",
}


ArtifactUrl = Callable[[str], str]  # digest -> where to fetch it


def action_prefix(log_id: str, stream: str) -> str:
    """What the ids of a stream's actions begin with; see `core.draft`."""
    return f"{log_id}-{stream}-"


def stream_of(log_id: str, action_id: str) -> str:
    """The stream of an action; empty if it is of another log, or no action's id at all."""
    head = f"{log_id}-"
    return action_id[len(head) :].rsplit("-", 2)[0] if action_id.startswith(head) else ""


def to_command(
    stream: str,
    state: t.State,
    action: t.Action,
    artifact_url: ArtifactUrl,
    now: float,
    wall: Callable[[], float] = wall_seconds,
) -> pb.Command:
    """The command for an agent. `now`: engine seconds; `wall` tells Unix time. Raises ValueError
    for what no agent can do, and for a release that the state has forgotten."""
    app, environment = split_stream(stream)
    work = action.work
    command = pb.Command(
        id=action.id,
        node=work.at,
        journal_id=action.journal_id,
        app=app,
        environment=environment,
        fence=pb.Fence(epoch=action.fence[0], version=action.fence[1]),
        attempt=action.attempt,
        # The agent's own words come before this side gives up.
        deadline_seconds=max(1.0, seconds_left(state, action, now) - ANSWER_SECONDS),
    )
    command.expires_at.seconds = int(wall() + EXPIRES_SECONDS)
    if work.verb not in WORKS:
        raise ValueError(f"{work.verb} is no work for an agent")
    WORKS[work.verb](command, state, work, artifact_url)
    return command


def _inspect(command: pb.Command, state: t.State, work: t.Work, _: ArtifactUrl) -> None:
    release, slot = _release(state, work), _slot(work)
    service = _service(release, slot)
    command.inspect.CopyFrom(
        pb.Inspect(
            slot=slot,
            artifact_bytes=release.size_bytes,
            port=service.port,
            digest=release.revision.digest,
            probe=work.prove,
            service=service,
        )
    )


def _prepare(command: pb.Command, state: t.State, work: t.Work, artifact_url: ArtifactUrl) -> None:
    release, slot = _release(state, work), _slot(work)
    digest = release.revision.digest
    command.prepare_slot.CopyFrom(
        pb.PrepareSlot(
            slot=slot,
            revision=_revision(release),
            version=release.version,
            artifact=pb.Artifact(
                digest=digest,
                size_bytes=release.size_bytes,
                url=release.url or artifact_url(digest),
                strip_components=release.settings.strip_components,
            ),
            service=_service(release, slot),
            hooks=_hooks(release),
        )
    )


def _run_task(command: pb.Command, state: t.State, work: t.Work, _: ArtifactUrl) -> None:
    release, slot = _release(state, work), _slot(work)
    command.run_task.CopyFrom(
        pb.RunTask(
            slot=slot,
            task=work.task,
            revision=_revision(release),
            version=release.version,
            service=_service(release, slot),
            hooks=_hooks(release),
        )
    )


def _start(command: pb.Command, state: t.State, work: t.Work, _: ArtifactUrl) -> None:
    release, slot = _release(state, work), _slot(work)
    command.start_slot.CopyFrom(
        pb.StartSlot(
            slot=slot,
            revision=_revision(release),
            version=release.version,
            service=_service(release, slot),
            health=to_check(release.settings.health),
        )
    )


def _switch(command: pb.Command, _: t.State, work: t.Work, __: ArtifactUrl) -> None:
    command.switch_slot.slot = _slot(work)


def _stop(command: pb.Command, state: t.State, work: t.Work, _: ArtifactUrl) -> None:
    assert work.place is not None
    retired = release_of(state, place_of(state, work.place).revision)
    service = retired.settings.service if retired else None
    command.stop_slot.slot = work.place.slot
    command.stop_slot.grace_seconds = service.stop_grace_seconds if service else GRACE_SECONDS


def _clean_up(command: pb.Command, state: t.State, _: t.Work, __: ArtifactUrl) -> None:
    """What serves and what to go back to stay; so does what a rollout is about."""
    rollout = state.rollout
    kept = [active_release(state), previous_release(state)]
    kept += [rollout.release, rollout.previous] if rollout else []
    command.cleanup.CopyFrom(
        pb.Cleanup(
            keep_digests=sorted({release.revision.digest for release in kept if release}),
            releases=state.keep.releases,
            age_seconds=state.keep.age_seconds or 0.0,
            backups=state.keep.backups,
            backups_age_seconds=state.keep.backups_age_seconds or 0.0,
        )
    )


WORKS: dict[t.Verb, Callable[[pb.Command, t.State, t.Work, ArtifactUrl], None]] = {
    "query": _inspect,
    "prepare": _prepare,
    "task": _run_task,
    "start": _start,
    "switch": _switch,
    "stop": _stop,
    "cleanup": _clean_up,
}


def _release(state: t.State, work: t.Work) -> t.Release:
    release = release_of(state, work.revision)
    if release is None:
        raise ValueError(f"the release that {work.verb} is about is not known any more")
    return release


def _slot(work: t.Work) -> str:
    if work.place is None:
        raise ValueError(f"{work.verb} at {work.at} names no slot")
    return work.place.slot


def _revision(release: t.Release) -> pb.Revision:
    return pb.Revision(digest=release.revision.digest, config=release.revision.config)


def _service(release: t.Release, slot: str) -> pb.Service:
    service = release.settings.service
    return pb.Service(
        manager=service.manager,
        command=list(service.command),
        environment=dict(service.environment),
        port=(service.ports or {}).get(slot, 0),
        stop_grace_seconds=service.stop_grace_seconds,
        user=service.user,
        environment_file=service.environment_file,
        unit=service.unit,
    )


def _hooks(release: t.Release) -> pb.Hooks:
    hooks = release.settings.hooks
    return pb.Hooks(
        install=hooks.install,
        install_seconds=hooks.install_seconds,
        migrate_seconds=hooks.migrate_seconds,
    )


def to_check(health: Health) -> pb.HealthCheck:
    """The health check as the agent is told. Kinds of probes, and their fields, have the same names
    in `core.spec` and in the schema."""
    fields: dict[str, Any] = msgspec.to_builtins(health)
    probe = fields.pop("probe")
    return pb.HealthCheck(**fields, **{probe.pop("type"): probe})


def to_report(slot: pb.SlotState, address: str) -> SlotReport:
    """A slot as the agent sees it; `address` is the node's, the port is the slot's."""
    revision = None
    if slot.revision.digest:
        revision = t.Revision(
            digest=slot.revision.digest[:DIGEST_CHARS], config=slot.revision.config[:DIGEST_CHARS]
        )
    return SlotReport(
        known=t.Known(
            revision=revision,
            running=TRI.get(slot.running),
            healthy=TRI.get(slot.healthy),
            address=join_host_port(address, slot.port) if slot.port else None,
        ),
        current=slot.current,
        detail=slot.detail[:ERROR_CHARS],
    )


def to_result(finished: pb.Finished, address: str) -> Result:
    known = None
    if finished.slot.slot:
        known = to_report(finished.slot, address).known
    return Result(
        action=finished.command_id,
        outcome=OUTCOMES.get(finished.outcome, "unknown"),
        error=finished.error[:ERROR_CHARS],
        output_tail=finished.output_tail[-OUTPUT_CHARS:],
        blame=BLAMES.get(finished.blame, ""),
        known=known,
        cleaned=to_cleaned(finished.cleaned) if finished.HasField("cleaned") else None,
    )


def to_cleaned(cleaned: pb.CleanedUp) -> CleanedUp:
    """What an agent says it has removed; no more of it than has room in an event."""

    def things(sent: Iterable[pb.Thing]) -> tuple[Thing, ...]:
        return tuple(
            Thing(kind=thing.kind[:WORD_CHARS], name=thing.name[:NAME_CHARS], bytes=thing.bytes)
            for thing in islice(sent, THINGS_MAX)
        )

    return CleanedUp(
        removed=things(cleaned.removed),
        count=cleaned.removed_count,
        bytes=cleaned.removed_bytes,
        made=things(cleaned.made),
        stayed=tuple(
            Stayed(
                kind=each.kind[:WORD_CHARS],
                why=each.why[:NAME_CHARS],
                count=each.count,
                bytes=each.bytes,
            )
            for each in islice(cleaned.stayed, THINGS_MAX)
        ),
    )


def to_observations(hello: pb.Hello, streams: set[str]) -> dict[str, Observation]:
    """What a Hello says about each stream: those the agent names and those given."""
    slots: dict[str, dict[str, SlotReport]] = {stream: {} for stream in sorted(streams)}
    for slot in hello.slots:
        reports = slots.setdefault(join_stream(slot.app, slot.environment), {})
        reports[slot.slot] = to_report(slot, hello.address)
    return {
        stream: Observation(
            node=hello.node,
            connected=True,
            journal_id=hello.journal_id,
            slots=reports,
            complete=True,
        )
        for stream, reports in slots.items()
    }
