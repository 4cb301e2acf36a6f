"""Operators' requests, from the wire to the engine: checked, completed, admitted.

Every request is checked here again, since a client may be of any version. Called by
`operator_service`.
"""

import hashlib
import re
from collections.abc import Sequence

import msgspec

from tidegate_controller import artifact_requests
from tidegate_controller.admission import gathered, gathered_by_name, refuse_shared, rollback_nodes
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.balancer_look import balancer_says, balancer_trouble
from tidegate_controller.config_checks import VERSION_FORM
from tidegate_controller.control_requests import (
    MESSAGE_CHARS,
    WHO_CHARS,
    naming_the_holder,
    reply_to,
)
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.controlling import may_be_superseded
from tidegate_controller.core.deploying import deploy_goal, rollback_goal
from tidegate_controller.core.facts import join_stream
from tidegate_controller.core.inputs import CleanUp, Deploy, Rollback
from tidegate_controller.core.rendered import render_digest
from tidegate_controller.core.spec import Spec
from tidegate_controller.documents import PlanView
from tidegate_controller.engine import Engine
from tidegate_controller.errors import Refused, TidegateError, UsageError
from tidegate_controller.freeze_clock import calendar_for
from tidegate_controller.log import encode
from tidegate_controller.named_apps import find_stream
from tidegate_controller.nodes import Nodes
from tidegate_controller.plan_view import plan_view
from tidegate_protos.rules import NAME, VERSION
from tidegate_protos.threads import to_the_end
from tidegate_protos.v1 import operator_pb2 as pb

COMMIT = re.compile(r"[0-9a-f]{7,64}(-dirty)?")
PLANNED = "planned"  # in place of an id: no rollout is begun


class Requests:
    """Turns requests into inputs. Raises `UsageError` and `Refused`; then nothing has changed."""

    def __init__(self, engine: Engine, nodes: Nodes, store: ArtifactStore) -> None:
        self._engine = engine
        self._nodes = nodes
        self._store = store

    async def deploy(self, request: pb.DeployRequest) -> pb.RolloutReply:
        stream, deploy = await self._deploy_input(request)
        before, state = await self._submit(stream, deploy, deploy.spec, request.plan_id)
        nothing = (
            f"{deploy.spec.app} {deploy.release.version} is already active on all "
            f"{len(deploy.members)} nodes of {deploy.spec.environment}"
        )
        if before.spec is not None and state.spec != before.spec:
            nothing += "; what its configuration says otherwise was taken over"
        return reply_to(self._engine, state, request.request_id, stream, nothing)

    async def rollback(self, request: pb.RollbackRequest) -> pb.RolloutReply:
        stream, rollback = await self._rollback_input(request)
        _, state = await self._submit(stream, rollback, None, request.plan_id)
        nothing = f"{rollback.to or 'the earlier release'} is already active everywhere"
        if not state.requests.get(request.request_id):
            wrong = await balancer_trouble(state, outside=self._engine.outside)
            if wrong is not None:
                raise Refused(f"{nothing}, but {wrong.message}", wrong.hint)
        return reply_to(self._engine, state, request.request_id, stream, nothing)

    async def plan(self, request: pb.PlanRequest) -> PlanView:
        """What the request would do now. Nothing is recorded, nothing sent."""
        input_: Deploy | Rollback
        if request.WhichOneof("kind") == "rollback":
            stream, input_ = await self._rollback_input(request.rollback, planned=True)
            spec = None
        else:
            stream, input_ = await self._deploy_input(request.deploy, planned=True)
            spec = input_.spec
        refuse_shared(self._engine, stream, [member.node for member in input_.members], spec)
        with naming_the_holder(self._engine, stream):
            goal = self._goal(stream, input_)
            steps, after = self._foreseen(stream, input_)
        before = self._engine.state(stream).spec
        return plan_view(stream, after, goal, steps, self._plan_id(stream, steps), before)

    async def clean_up(self, request: pb.CleanUpRequest) -> pb.CleanUpReply:
        """What was asked of whom, and by what in the log they answer."""
        stream = find_stream(self._engine, request.app, request.environment)
        names = rollback_nodes(self._engine, self._engine.streams[stream].state)
        members = self._engine.fleet.members(names)
        seq = self._engine.log.last_seq
        state = await self._engine.submit(
            stream,
            CleanUp(
                request_id=request.request_id,
                members=members,
                requested_by=request.requested_by[:WHO_CHARS],
            ),
        )
        asked = sum(member.connected for member in members)
        opened = {
            action.work.at: action.id
            for action in state.chores_open.values()
            if action.work.verb == "cleanup"
        }
        waiting = {chore.work.at for chore in state.chores if chore.work.verb == "cleanup"}
        return pb.CleanUpReply(
            message=f"asked {asked} of {len(members)} nodes of {stream} to remove what need not be "
            "kept",
            stream=stream,
            seq=seq,
            open={node: action for node, action in opened.items() if node in names},
            waiting=sorted(waiting.difference(opened).intersection(names)),
            away=[member.node for member in members if not member.connected],
        )

    async def remove_node(self, request: pb.RemoveNodeRequest) -> str:
        node = request.node
        if node not in self._engine.fleet.registered:
            raise UsageError(f"there is no node {node[:80]!r}", "see: tidegate node list")
        if node in self._engine.fleet.sessions:
            raise Refused(f"{node} is connected", "stop its agent first; then remove it")
        await self._nodes.remove(node, request.requested_by[:WHO_CHARS])
        return f"{node} is forgotten; if its agent comes back, it is a new node"

    # --- Parts --------------------------------------------------------------------------------

    async def _submit(
        self, stream: str, input_: Deploy | Rollback, spec: Spec | None, plan_id: str
    ) -> tuple[t.State, t.State]:
        """The states before it and after. `spec`: whose traffic is moved, where that may be new."""
        try:
            async with self._engine.admission:
                names = [member.node for member in input_.members]
                refuse_shared(self._engine, stream, names, spec)
                self._refuse_other_plan(stream, input_, plan_id)
                before = self._engine.state(stream)
                with naming_the_holder(self._engine, stream):
                    after = await to_the_end(self._engine.submit(stream, input_))
        except TidegateError:
            self._engine.give_back(stream, input_.rollout)
            raise
        self._engine.give_back(stream, input_.rollout)
        return before, after

    async def _deploy_input(
        self, request: pb.DeployRequest, *, planned: bool = False
    ) -> tuple[str, Deploy]:
        """`planned`: nothing is begun, so the artifact need not be here yet."""
        spec = _checked_spec(request.spec)
        _refuse_contradictions(request, planned=planned)
        if not VERSION.fullmatch(request.version):
            raise UsageError(
                f"the version {request.version[:80]!r} is not of the form: {VERSION_FORM}"
            )
        if request.commit and not COMMIT.fullmatch(request.commit):
            raise UsageError(f"{request.commit[:80]!r} is not the hash of a commit")
        release = t.Release(
            version=request.version,
            revision=t.Revision(
                digest=request.digest, config=render_digest(spec.settings, request.version)
            ),
            size_bytes=await artifact_requests.size_of(self._store, request, planned=planned),
            settings=spec.settings,
            url=request.url,
        )
        stream = join_stream(spec.app, spec.environment)
        names = await gathered(self._engine, spec)
        outside, before = self._engine.outside, self._engine.state(stream)
        balancer = await balancer_says(before, spec.traffic, outside)  # then who is connected
        deploy = Deploy(
            request_id=request.request_id,
            rollout=PLANNED if planned else self._engine.next_rollout_id(),
            release=release,
            spec=spec,
            members=self._engine.fleet.members(names, stream),
            requested_by=request.requested_by[:WHO_CHARS],
            message=request.message[:MESSAGE_CHARS],
            commit=request.commit,
            again=request.again,
            balancer=balancer,
            supersede=request.supersede,
            calendar=calendar_for(self._engine, self._engine.state(stream), spec),
            override_freeze=request.override_freeze,
            queue=request.queue,
        )
        return stream, deploy

    async def _rollback_input(
        self, request: pb.RollbackRequest, *, planned: bool = False
    ) -> tuple[str, Rollback]:
        if request.to and not VERSION.fullmatch(request.to):
            raise UsageError(f"the version {request.to[:80]!r} is not of the form: {VERSION_FORM}")
        stream = find_stream(self._engine, request.app, request.environment)
        names = rollback_nodes(self._engine, self._engine.streams[stream].state)
        await gathered_by_name(self._engine, names)
        rollback = Rollback(
            request_id=request.request_id,
            rollout=PLANNED if planned else self._engine.next_rollout_id(),
            members=self._engine.fleet.members(names),
            requested_by=request.requested_by[:WHO_CHARS],
            message=request.message[:MESSAGE_CHARS],
            to=request.to,
            without_absent=request.without_absent,
        )
        return stream, rollback

    def _goal(self, stream: str, input_: Deploy | Rollback) -> t.Goal:
        state = self._engine.state(stream)
        if isinstance(input_, Deploy):
            if input_.supersede and may_be_superseded(state, input_, self._engine.now()):
                state = msgspec.structs.replace(state, rollout=None)  # it will have made room
            return deploy_goal(state, input_, self._engine.now())
        return rollback_goal(state, input_)

    def _foreseen(
        self, stream: str, input_: Deploy | Rollback
    ) -> tuple[tuple[t.Step, ...], t.State]:
        """The steps that the request would begin now, and the state that it would leave."""
        events, after = self._engine.foresee(stream, input_)
        started = [event for event in events if isinstance(event, ev.Started)]
        return started[0].plan if started else (), after

    def _plan_id(self, stream: str, steps: Sequence[t.Step]) -> str:
        """Another one if a rollout has ended since, or this one would be done otherwise. What
        happens beside that, such as an old slot being stopped, makes no difference to who has
        seen the plan."""
        state = self._engine.state(stream)
        content = encode([steps, state.committed, state.undone, state.settled])
        return hashlib.sha256(content).hexdigest()[:16]

    def _refuse_other_plan(self, stream: str, input_: Deploy | Rollback, plan_id: str) -> None:
        """A plan that somebody has looked at is carried out as it was, or not at all. A request
        that is repeated has been judged before."""
        if not plan_id or input_.request_id in self._engine.state(stream).requests:
            return
        steps, _ = self._foreseen(stream, input_)
        if self._plan_id(stream, steps) != plan_id:
            raise Refused(
                "the world has moved since that plan was made: it would be another one now",
                "look at it again: --plan",
            )


def _refuse_contradictions(request: pb.DeployRequest, *, planned: bool) -> None:
    if request.queue and request.supersede:
        raise UsageError(
            "one deployment cannot both wait for another and take its place",
            "choose one of --queue and --supersede",
        )
    if request.queue and (planned or request.plan_id):
        raise UsageError(
            "what a deployment that waits will do is seen when its turn comes",
            "leave out --queue, or --plan and --plan-id",
        )
    if request.override_freeze and not request.message:
        raise UsageError("--override-freeze needs a reason", "say why: -m REASON")


def _checked_spec(data: bytes) -> Spec:
    try:
        spec = msgspec.json.decode(data, type=Spec)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"the configuration that was sent cannot be read: {error}",
            "use a tidegate command of the controller's version",
        ) from error
    for name in (spec.app, spec.environment):
        if not NAME.fullmatch(name):
            raise UsageError(f"the name {name[:80]!r} is not of the form {NAME.pattern}")
    return spec
