"""`tidegate controller reconcile`: after a restore, what the log says and what runs."""

import uuid

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import apps
from tidegate_controller.cli.deploy import app_environment_option, detach_option, message_option
from tidegate_controller.cli.follow import Asking, follow, requested_by
from tidegate_controller.cli.terminal import (
    json_option,
    print_json,
    say,
    table,
    with_controller,
    yes_no,
)
from tidegate_controller.cli.words import a_name
from tidegate_controller.documents import ReconcileView, UndecidedApp
from tidegate_controller.errors import UsageError
from tidegate_protos.v1 import operator_pb2 as pb


@click.command("reconcile")
@click.argument("app", metavar="[APP]", required=False, callback=a_name, shell_complete=apps)
@app_environment_option
@click.option("--adopt", is_flag=True, help="What runs is what counts; nothing is moved.")
@click.option("--converge", is_flag=True, help="The log is what counts; bring it back.")
@click.option("--without-absent", is_flag=True, help="Also if nodes are away: they are left out.")
@message_option
@detach_option
@json_option
@with_controller
def reconcile(
    client: Client,
    app: str | None,
    environment: str | None,
    adopt: bool,
    converge: bool,
    without_absent: bool,
    message: str,
    detach: bool,
    as_json: bool,
) -> int:
    """After a restore: see what differs, and decide.

    Without an option it shows, of each app that waits for a decision, where the nodes run something
    else than the restored log has. Then say of each app what counts. --adopt takes over what runs,
    and moves nothing. --converge takes that over as well, and then goes back to the release that
    the log has, as a rollback does: what ran is quarantined then, even if it never failed, and
    `tidegate release unquarantine` lifts that. Until a decision, deployments and rollbacks of the
    app are refused.

    \b
    Example:
      tidegate controller reconcile
      tidegate controller reconcile shop -e production --adopt
    """
    if not (adopt or converge):
        view = _of(client.reconcile_view(), app, environment)
        if as_json:
            print_json(view)
        else:
            for line in reconcile_lines(view):
                say(line)
        return 0
    if adopt and converge:
        raise UsageError("--adopt and --converge are two answers", "give one of them")
    if app is None:
        raise UsageError("say of which app", "those that wait: tidegate controller reconcile")
    with Asking("tidegate controller reconcile") as asking:
        request = pb.ReconcileRequest(
            request_id=uuid.uuid4().hex,
            app=app,
            environment=environment or "",
            decision="adopt" if adopt else "converge",
            requested_by=requested_by(),
            message=message,
            without_absent=without_absent,
        )
        reply = asking.ask(lambda: client.reconcile(request))
        return follow(client, reply, detach=detach, as_json=as_json)


def _of(view: ReconcileView, app: str | None, environment: str | None) -> ReconcileView:
    """The part about one app, if one is named."""

    def is_meant(name: str, where: str) -> bool:
        return app in (None, name) and environment in (None, where)

    view.undecided = [each for each in view.undecided if is_meant(each.app, each.environment)]
    view.unknown = [each for each in view.unknown if is_meant(each.app, each.environment)]
    return view


def reconcile_lines(view: ReconcileView) -> list[str]:
    """The document as people read it."""
    lines = [line for each in view.undecided for line in _app_lines(each)]
    for each in view.unknown:
        lines += [
            f"{each.app} in {each.environment}: the log knows nothing of it, and it is on "
            f"{', '.join(each.nodes)}",
            "  next: it serves on; deploy it again when you know which release is to run",
            "",
        ]
    if not lines:
        return ["nothing waits for a decision"]
    return lines[:-1]


def _app_lines(app: UndecidedApp) -> list[str]:
    name = f"{app.app} -e {app.environment}"
    lines = [f"{app.app} in {app.environment}: the log has {app.version or 'no release'} active"]
    if app.differences:
        rows = [(each.node, each.log, each.now, yes_no(each.traffic)) for each in app.differences]
        header = ["NODE", "THE LOG HAS", "IT RUNS", "TAKES TRAFFIC"]
        lines += [f"  {line}" for line in table(header, rows)]
        lines += [
            f"  next: what runs is right: tidegate controller reconcile {name} --adopt",
            f"        the log is right:   tidegate controller reconcile {name} --converge",
        ]
    else:
        lines += [
            "  all of its nodes run what the log has",
            f"  next: tidegate controller reconcile {name} --adopt",
        ]
    return [*lines, ""]
