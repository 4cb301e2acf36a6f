"""What operators ask of a rollout that is under way, from the wire to the engine.

Every request is checked here again, since a client may be of any version. Called by
`operator_service`; `deploy_requests` uses what is at its end.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from tidegate_controller.calendars import said
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.busy import refuse_if_busy
from tidegate_controller.core.facts import split_stream
from tidegate_controller.core.freezes import Window
from tidegate_controller.core.freezing import freeze_at
from tidegate_controller.core.inputs import (
    Abort,
    Answer,
    Freeze,
    LiftFreeze,
    Lock,
    Pause,
    Quarantine,
    Resume,
    Unlock,
    Unquarantine,
)
from tidegate_controller.core.releases import active_release, release_back
from tidegate_controller.documents import FreezeView, LockView, QuarantineView, RolloutView
from tidegate_controller.engine import Engine
from tidegate_controller.errors import Refused, ShuttingDown, UsageError
from tidegate_controller.history import find_rollout
from tidegate_controller.log import encode, read_stream
from tidegate_controller.stream import RolloutPlace
from tidegate_protos.rules import DIGEST, VERSION
from tidegate_protos.v1 import operator_pb2 as pb

WHO_CHARS = 200  # of whoever asks
MESSAGE_CHARS = 1000
SHORT_SECONDS = 3600.0  # a freeze that is shorter is told to the second
FREEZE_SECONDS_MAX = 2 * 366 * 86_400.0
ANSWERS: dict[str, t.Answer] = {
    "retry": "retry",
    "continue": "continue",
    "approve": "approve",
    "promote": "promote",
    "abort": "abort",
}


class Control:
    """Turns requests into inputs. Raises `UsageError` and `Refused`; then nothing has changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def answer(self, request: pb.AnswerRequest) -> pb.RolloutReply:
        answer = ANSWERS.get(request.answer)
        if answer is None:
            raise UsageError(
                f"{request.answer[:80]!r} is no answer", f"one of: {', '.join(ANSWERS)}"
            )
        place = self._engine.place_of(request.rollout)
        state = await self._engine.submit(
            place.stream,
            Answer(
                request_id=request.request_id,
                rollout=request.rollout,
                answer=answer,
                answered_by=request.answered_by[:WHO_CHARS],
                comment=request.comment[:MESSAGE_CHARS],
                question=request.question,
                step=request.step,
            ),
        )
        return reply_to(self._engine, state, request.request_id, place.stream, "")

    def has_to_begin(self, request: pb.AnswerRequest) -> bool:
        """Whether a retry means a rollout that has ended. One that comes once more, since its
        answer was lost, means what it meant at first. Raises `UsageError` for one that never
        was."""
        state = self._engine.state(self._engine.place_of(request.rollout).stream)
        under_way = state.rollout is not None and state.rollout.id == request.rollout
        return not under_way and not state.requests.get(request.request_id)

    async def once_more(self, request: pb.AnswerRequest) -> pb.DeployRequest:
        """The deployment that has ended badly, asked for again: the same release with the same
        settings, of which what is there already is left alone. Raises `Refused`, also where it
        was an answer to a question, which whoever answers has not seen to be over."""
        rollout = request.rollout
        place = self._engine.place_of(rollout)
        view, event = await self._past(place)
        asked = event.deployment if isinstance(event, ev.Queued) else event
        app, environment = split_stream(place.stream)
        if isinstance(event, ev.Started) and event.kind != "deploy":
            raise Refused(
                f"rollout {rollout} was a {event.kind}, which is not done again",
                f"go back once more: tidegate rollback {app} -e {environment} --to "
                f"{event.release.version}",
            )
        if view.state == "queued":
            raise Refused(
                f"rollout {rollout} waits for its turn, and begins by itself",
                f"what it waits for: tidegate status {app}",
            )
        if view.state == "succeeded":
            raise Refused(
                f"rollout {rollout} has succeeded: there is nothing to retry",
                f"what runs now: tidegate status {app}",
            )
        if request.question:
            raise Refused(
                f"what retry was meant for is not asked any more: rollout {rollout} has ended",
                f"look at it: tidegate rollout show {rollout}; to deploy it again: "
                f"tidegate rollout retry {rollout}",
            )
        with naming_the_holder(self._engine, place.stream):
            state = self._engine.state(place.stream)
            if state.rollout is None or state.rollout.kind != "converge":  # which may make room
                refuse_if_busy(state, deploys=False)
        comment = f": {request.comment}" if request.comment else ""
        return pb.DeployRequest(
            request_id=request.request_id,
            version=asked.release.version,
            digest=asked.release.revision.digest,
            url=asked.release.url,
            size_bytes=asked.release.size_bytes,
            spec=encode(asked.spec),
            requested_by=request.answered_by,
            message=f"retry of {rollout}{comment}",
            commit=asked.commit,
            again=asked.again,
            # Of one that has begun, what was overridden was the freeze of that day.
            override_freeze=isinstance(event, ev.Queued) and asked.override_freeze,
        )

    async def _past(self, place: RolloutPlace) -> tuple[RolloutView, ev.Started | ev.Queued]:
        """What has become of the rollout, and what it has begun with."""
        path = self._engine.log.path
        view = await asyncio.to_thread(find_rollout, path, place.stream, place.version)
        records = await asyncio.to_thread(read_stream, path, place.stream, place.version - 1, 1)
        event = records[0].event
        assert isinstance(event, ev.Started | ev.Queued)
        return view, event

    async def pause(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return await self._ask(
            request,
            Pause(rollout=request.rollout, **_asked(request)),
            "is paused already",
        )

    async def resume(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return await self._ask(
            request,
            Resume(rollout=request.rollout, **_asked(request)),
            "is not paused",
        )

    async def abort(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return await self._ask(
            request,
            Abort(
                rollout=request.rollout,
                undo=not request.no_rollback,
                question=request.question,
                **_asked(request),
            ),
            "is being undone already",
        )

    async def quarantine(self, stream: str, request: pb.QuarantineRequest) -> QuarantineView:
        """Put the release there, or lift it."""
        if not (VERSION.fullmatch(request.release) or DIGEST.fullmatch(request.release)):
            raise UsageError(
                f"{request.release[:80]!r} is neither a version nor a digest",
                "see: tidegate release list",
            )
        kind = Unquarantine if request.lift else Quarantine
        before = self._engine.state(stream).quarantined
        asked = kind(release=request.release, **_asked(request))
        state = await self._engine.submit(stream, asked)
        app, environment = split_stream(stream)
        return QuarantineView(
            app=app,
            environment=environment,
            release=request.release,
            quarantined=not request.lift,
            changed=state.quarantined != before,
        )

    async def lock(self, stream: str, request: pb.LockRequest) -> LockView:
        """Lock it, or unlock it."""
        asked: Lock | Unlock = Lock(**_asked(request))
        if request.unlock:
            asked = Unlock(force=request.force, **_asked(request))
        before = self._engine.state(stream).lock
        lock = (await self._engine.submit(stream, asked)).lock
        app, environment = split_stream(stream)
        return LockView(
            app=app,
            environment=environment,
            locked=lock is not None,
            by=lock.by if lock else None,
            reason=lock.reason if lock else None,
            changed=lock != before,
        )

    async def freeze(self, stream: str, request: pb.FreezeRequest) -> FreezeView:
        """Freeze it, or lift that."""
        engine = self._engine
        before = engine.state(stream).freeze
        said_by = _asked(request)
        asked: Freeze | LiftFreeze = LiftFreeze(**said_by)
        if not request.lift:
            now, engine_now = engine.outside.wall_seconds(), engine.now()
            until = _frozen_until(request, now)
            window = Window(
                begins=engine_now,
                ends=engine_now + until - now,
                until=said(until, to_the_second=until - now < SHORT_SECONDS),
                reason=said_by["reason"],
                by=said_by["requested_by"],
                unix_until=until,
            )
            asked = Freeze(request_id=request.request_id, window=window)
        state = await engine.submit(stream, asked)
        found = freeze_at(state, engine.now())
        app, environment = split_stream(stream)
        return FreezeView(
            app=app,
            environment=environment,
            frozen=found is not None,
            until=found.until if found else None,
            by=(found.by or None) if found else None,
            reason=found.reason if found else None,
            changed=state.freeze != before,
        )

    async def _ask(
        self, request: pb.ControlRequest, input_: Pause | Resume | Abort, nothing: str
    ) -> pb.RolloutReply:
        """`nothing`: what is said of the rollout where it is so already."""
        place = self._engine.place_of(request.rollout)
        stream = place.stream
        try:
            state = await self._engine.submit(stream, input_)
        except Refused as refusal:
            if not isinstance(refusal, ShuttingDown) and await self._may_go_back_from(place):
                app, environment = split_stream(stream)
                back = f"tidegate rollback {app} -e {environment}"
                hint = f"{refusal.hint}; to go back to the release before: {back}"
                raise Refused(refusal.message, hint) from refusal
            raise
        paused = state.rollout.paused if state.rollout else None
        by = f", by {paused.by}" if paused else ""
        message = f"rollout {request.rollout} {nothing}{by}"
        return reply_to(self._engine, state, request.request_id, stream, message)

    async def _may_go_back_from(self, place: RolloutPlace) -> bool:
        """Whether a rollback undoes this rollout: it has succeeded, its release is the active one,
        nothing is under way, and there is one before."""
        state = self._engine.state(place.stream)
        active, back = active_release(state), release_back(state)
        if state.rollout or state.reconciling or active is None or back in (None, active):
            return False
        if back is None or back.incomplete:  # it would be refused
            return False
        view, event = await self._past(place)
        asked = event.deployment if isinstance(event, ev.Queued) else event
        return view.state == "succeeded" and asked.release.revision == active.revision


class _Asked(TypedDict):
    """What every request says of whoever asks."""

    request_id: str
    requested_by: str
    reason: str


def _asked(
    request: pb.ControlRequest | pb.QuarantineRequest | pb.LockRequest | pb.FreezeRequest,
) -> _Asked:
    return _Asked(
        request_id=request.request_id,
        requested_by=request.requested_by[:WHO_CHARS],
        reason=request.reason[:MESSAGE_CHARS],
    )


def _frozen_until(request: pb.FreezeRequest, now: float) -> float:
    """Unix time. Raises `UsageError`."""
    until = request.unix_until or now + request.seconds
    if not now < until < now + FREEZE_SECONDS_MAX:
        raise UsageError(
            "a freeze has to end in the future, within two years", "such as --for 4h, or --until"
        )
    return until


def reply_to(
    engine: Engine, state: t.State, request_id: str, stream: str, nothing: str
) -> pb.RolloutReply:
    """The rollout that the request began or went on with, now or when it was first made."""
    rollout = state.requests.get(request_id)
    if not rollout:
        return pb.RolloutReply(stream=stream, message=nothing)
    seq = engine.place_of(rollout).seq - 1
    queued = any(entry.rollout == rollout for entry in state.queue)
    return pb.RolloutReply(rollout=rollout, stream=stream, seq=seq, queued=queued)


@contextmanager
def naming_the_holder(engine: Engine, stream: str) -> Iterator[None]:
    """Who is refused because a rollout runs is told whose it is, since when, and why."""
    try:
        yield
    except Refused as refusal:
        rollout = engine.state(stream).rollout
        if rollout is None or isinstance(refusal, ShuttingDown):
            raise
        place = engine.place_of(rollout.id)
        why = f" ({place.message})" if place.message else ""
        holder = f"asked for by {place.requested_by} at {place.at}{why}"
        raise Refused(f"{refusal.message}; {holder}", refusal.hint) from refusal
