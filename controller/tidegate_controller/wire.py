"""Between the engine's words and the wire's: actions become commands, reports become inputs."""

from collections.abc import Callable

from tidegate_controller.core import types as t
from tidegate_controller.core.evolve import place_of
from tidegate_controller.core.inputs import Observation, Result, SlotReport
from tidegate_protos.v1 import agent_pb2 as pb

EXPIRES_SECONDS = 3600.0  # hygiene only: the fence is what keeps an old command from acting

TRI = {pb.TRI_YES: True, pb.TRI_NO: False, pb.TRI_UNKNOWN: None}
OUTCOMES: dict[int, t.Outcome] = {
    pb.OUTCOME_OK: "ok",
    pb.OUTCOME_FAILED: "failed",
    pb.OUTCOME_REFUSED: "refused",
    pb.OUTCOME_SUPERSEDED: "superseded",
    pb.OUTCOME_CANCELLED: "cancelled",
    pb.OUTCOME_EXPIRED: "expired",
    pb.OUTCOME_UNKNOWN: "unknown",
}


def split_stream(stream: str) -> tuple[str, str]:
    """App and environment of "app@environment"."""
    app, _, environment = stream.partition("@")
    return app, environment


def release_of(state: t.State, revision: t.Revision | None) -> t.Release | None:
    """The release with this revision, of the rollout, of those committed or of those undone."""
    current = [state.rollout.release] if state.rollout else []
    for release in (*current, *reversed(state.committed), *reversed(state.undone)):
        if release.revision == revision:
            return release
    return None


def to_command(
    stream: str, state: t.State, action: t.Action, artifact_url: Callable[[str], str], now: float
) -> pb.Command:
    """The command for an agent. `now`: engine seconds."""
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
        deadline_seconds=max(1.0, action.deadline - now),
    )
    command.expires_at.GetCurrentTime()
    command.expires_at.seconds += int(EXPIRES_SECONDS)
    assert work.place is not None
    slot = work.place.slot
    if work.verb == "switch":
        command.switch_slot.slot = slot
        return command
    if work.verb == "stop":
        retired = release_of(state, place_of(state, work.place).revision)
        service = retired.settings.service if retired else None
        command.stop_slot.slot = slot
        command.stop_slot.grace_seconds = service.stop_grace_seconds if service else 10.0
        return command
    release = release_of(state, work.revision)
    assert release is not None
    assert work.revision is not None
    revision_pb = pb.Revision(digest=work.revision.digest, config=work.revision.config)
    service = release.settings.service
    port = (service.ports or {}).get(slot, 0)
    if work.verb == "query":
        command.inspect.CopyFrom(
            pb.Inspect(slot=slot, artifact_bytes=release.size_bytes, port=port)
        )
    elif work.verb == "prepare":
        artifact = pb.Artifact(
            digest=work.revision.digest,
            size_bytes=release.size_bytes,
            url=release.url or artifact_url(work.revision.digest),
            strip_components=service.strip_components,
        )
        command.prepare_slot.CopyFrom(
            pb.PrepareSlot(
                slot=slot, revision=revision_pb, version=release.version, artifact=artifact
            )
        )
    elif work.verb == "start":
        command.start_slot.CopyFrom(_start_slot(release, slot, revision_pb, port))
    return command


def _start_slot(release: t.Release, slot: str, revision: pb.Revision, port: int) -> pb.StartSlot:
    service, health = release.settings.service, release.settings.health
    return pb.StartSlot(
        slot=slot,
        revision=revision,
        version=release.version,
        service=pb.Service(
            manager=service.manager,
            command=list(service.command),
            environment=dict(service.environment),
            port=port,
            stop_grace_seconds=service.stop_grace_seconds,
        ),
        health=pb.HealthCheck(
            http=pb.HttpCheck(url=health.probe.url),
            every_seconds=health.every_seconds,
            timeout_seconds=health.timeout_seconds,
            failures=health.failures,
            healthy_after_seconds=health.healthy_after_seconds,
            deadline_seconds=health.deadline_seconds,
        ),
    )


def to_report(slot: pb.SlotState, address: str) -> SlotReport:
    """A slot as the agent sees it; `address` is the node's, the port is the slot's."""
    revision = None
    if slot.revision.digest:
        revision = t.Revision(digest=slot.revision.digest, config=slot.revision.config)
    return SlotReport(
        known=t.Known(
            revision=revision,
            running=TRI[slot.running],
            healthy=TRI[slot.healthy],
            address=f"{address}:{slot.port}" if slot.port else None,
        ),
        current=slot.current,
        detail=slot.detail,
    )


def to_result(finished: pb.Finished, address: str) -> Result:
    known = None
    if finished.slot.slot:
        known = to_report(finished.slot, address).known
    return Result(
        action=finished.command_id,
        outcome=OUTCOMES.get(finished.outcome, "unknown"),
        error=finished.error,
        output_tail=finished.output_tail,
        known=known,
    )


def to_observations(hello: pb.Hello, streams: set[str]) -> dict[str, Observation]:
    """What a Hello says about each stream: those the agent names and those given."""
    slots: dict[str, dict[str, SlotReport]] = {stream: {} for stream in streams}
    for slot in hello.slots:
        reports = slots.setdefault(f"{slot.app}@{slot.environment}", {})
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
