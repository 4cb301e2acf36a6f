"""`tidegate deploy` and `tidegate rollback`: ask for a rollout and follow it to its end."""

import uuid
from pathlib import Path

import click
import msgspec

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.commit import commit_of
from tidegate_controller.cli.completion import apps, environments, versions
from tidegate_controller.cli.follow import Asking, follow, requested_by
from tidegate_controller.cli.plans import (
    can_ask,
    choose_earlier,
    confirm,
    confirm_queued,
    plan_id_option,
    plan_option,
    require_yes,
    show_plan,
    yes_option,
)
from tidegate_controller.cli.sending import Artifact, artifact_option, digest_option, find, send
from tidegate_controller.cli.terminal import config_file_option, json_option, with_controller
from tidegate_controller.cli.words import a_name, a_version
from tidegate_controller.core.spec import Spec
from tidegate_controller.errors import UsageError
from tidegate_protos.v1 import operator_pb2 as pb

config_option = config_file_option("The app's configuration.")
environment_option = click.option(
    "-e",
    "--environment",
    help="Which environment; not needed if there is one.",
    shell_complete=environments,
)
app_environment_option = click.option(
    "-e",
    "--environment",
    callback=a_name,
    help="Which environment; not needed if there is one.",
    shell_complete=environments,
)
detach_option = click.option("--detach", is_flag=True, help="Print the rollout's id and return.")
message_option = click.option(
    "-m", "--message", default="", metavar="TEXT", help="Why, for the history."
)


@click.command()
@config_option
@environment_option
@artifact_option
@digest_option
@click.option(
    "--version", required=True, callback=a_version, help="The release's name, such as 1.4.2."
)
@message_option
@plan_option
@plan_id_option
@yes_option
@click.option("--force", is_flag=True, help="Also if this is active already: start it anew.")
@click.option(
    "--supersede",
    is_flag=True,
    help="In place of a rollout that waits for a person and has moved no traffic.",
)
@click.option(
    "--queue",
    is_flag=True,
    help="While a rollout runs, or in a freeze, it waits for its turn. Not for somebody's lock.",
)
@click.option("--override-freeze", is_flag=True, help="Also in a freeze; say why with -m.")
@detach_option
@json_option
@with_controller
def deploy(
    client: Client,
    config_path: Path,
    environment: str | None,
    artifact: str,
    digest: str | None,
    version: str,
    message: str,
    only_plan: bool,
    plan_id: str | None,
    yes: bool,
    force: bool,
    supersede: bool,
    queue: bool,
    override_freeze: bool,
    detach: bool,
    as_json: bool,
) -> int:
    """Bring an environment to a release.

    A file is uploaded. A URL whose digest is given is fetched by the agents, without one by the
    controller, once. What was pushed before is named by its digest.

    It is undone if the release turns out bad. Follows the rollout to its end; Ctrl-C stops
    following, not the rollout.

    \b
    Example:
      tidegate deploy --artifact build/shop-1.4.2.tar.gz --version 1.4.2 -e production
      tidegate deploy --artifact build/shop-1.4.2.tar.gz --version 1.4.2 -e production --plan
    """
    _refuse_contradictions(queue=queue, supersede=supersede, planned=only_plan or bool(plan_id))
    _refuse_unexplained(message, override_freeze=override_freeze)
    spec = config.load(config_path).environment(environment)
    with Asking(f"tidegate status {spec.app}") as asking:
        label = pb.ArtifactLabel(app=spec.app, added_by=requested_by())
        found = find(client, artifact, digest, label, direct=True)
        request = pb.DeployRequest(
            request_id=uuid.uuid4().hex,
            version=version,
            digest=found.digest,
            url=found.url,
            size_bytes=found.size_bytes,
            spec=msgspec.json.encode(spec),
            requested_by=requested_by(),
            message=message,
            commit=commit_of(Path.cwd()),
            again=force,
            supersede=supersede,
            queue=queue,
            override_freeze=override_freeze,
            plan_id=plan_id or "",
        )
        asks = spec.protected and not (yes or only_plan)
        if not _look_first(client, request, found, asks=asks, plan=only_plan, as_json=as_json):
            return 0
        send(client, found, label)
        reply = asking.ask(lambda: client.deploy(request))
        return follow(client, reply, detach=detach, as_json=as_json)


def _look_first(
    client: Client,
    request: pb.DeployRequest,
    found: Artifact,
    *,
    asks: bool,
    plan: bool,
    as_json: bool,
) -> bool:
    """Show the plan, or ask whether it is meant; whether it is to be begun. What is refused anyway
    is not uploaded. `plan`: nothing but that is wanted."""
    environment = msgspec.json.decode(request.spec, type=Spec).environment
    if asks:
        require_yes(environment, as_json=as_json)
    if request.queue:
        if asks:
            confirm_queued(environment)
        return True
    if plan or asks or found.file:
        view = client.plan(pb.PlanRequest(deploy=request))
        if plan:
            show_plan(view, as_json=as_json)
            return False
        if asks and view.steps:
            confirm(view)
            request.plan_id = request.plan_id or view.plan_id
    return True


def _refuse_unexplained(message: str, *, override_freeze: bool) -> None:
    if override_freeze and not message:
        raise UsageError("--override-freeze needs a reason", "say why: -m REASON")


def _refuse_contradictions(*, queue: bool, supersede: bool, planned: bool) -> None:
    if queue and supersede:
        raise UsageError(
            "one deployment cannot both wait for another and take its place",
            "choose one of --queue and --supersede",
        )
    if queue and planned:
        raise UsageError(
            "what a deployment that waits will do is seen when its turn comes",
            "leave out --queue, or --plan and --plan-id",
        )


@click.command()
@click.argument("app", callback=a_name, shell_complete=apps)
@app_environment_option
@click.option(
    "--to",
    metavar="VERSION",
    callback=a_version,
    help="Which release; else the one before.",
    shell_complete=versions,
)
@message_option
@plan_option
@plan_id_option
@yes_option
@click.option(
    "--without-absent",
    is_flag=True,
    help="Also if nodes that take traffic are away: they lose it.",
)
@detach_option
@json_option
@with_controller
def rollback(
    client: Client,
    app: str,
    environment: str | None,
    to: str | None,
    message: str,
    only_plan: bool,
    plan_id: str | None,
    yes: bool,
    without_absent: bool,
    detach: bool,
    as_json: bool,
) -> int:
    """Go back to an earlier release.

    That is the one before, unless --to names another; at a terminal you are asked where there are
    several. It takes a moment while the old slot still runs.

    \b
    Example:
      tidegate rollback shop -e production
      tidegate rollback shop -e production --to 1.4.0 -m "orders are lost"
    """
    with Asking(f"tidegate status {app}") as asking:
        request = pb.RollbackRequest(
            request_id=uuid.uuid4().hex,
            app=app,
            environment=environment or "",
            requested_by=requested_by(),
            message=message,
            to=to or "",
            without_absent=without_absent,
            plan_id=plan_id or "",
        )
        if only_plan:
            show_plan(client.plan(pb.PlanRequest(rollback=request)), as_json=as_json)
            return 0
        if not yes:
            _ask(client, request, as_json=as_json)
        reply = asking.ask(lambda: client.rollback(request))
        return follow(client, reply, detach=detach, as_json=as_json)


def _ask(client: Client, request: pb.RollbackRequest, *, as_json: bool) -> None:
    """Which release, where there are several; and whether it is meant, where that is asked for."""
    view = client.plan(pb.PlanRequest(rollback=request))
    if not request.to and can_ask(as_json=as_json):
        request.to = choose_earlier(client, view)
        if request.to:
            view = client.plan(pb.PlanRequest(rollback=request))
    if view.protected and view.steps:
        require_yes(view.environment, as_json=as_json)
        confirm(view)
        request.plan_id = request.plan_id or view.plan_id
