"""Completion by the shell: what nodes, apps, environments, versions and rollouts there are.

The controller is asked, for a moment: where it does not answer, nothing is offered. Each function
is the `shell_complete` of an option or argument.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.terminal import say
from tidegate_controller.cli.works import state_words
from tidegate_controller.documents import RolloutSummary
from tidegate_controller.errors import TidegateError

if TYPE_CHECKING:
    from tidegate_controller.config import Config

ANSWER_SECONDS = 1.5  # who has pressed Tab waits no longer
ROLLOUTS_OFFERED = 30
ROLLOUTS_READ = 200  # in which versions are looked for
SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_TIDEGATE_COMPLETE"  # what click looks for in the environment

A = TypeVar("A")


def apps(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    names = asked(context, lambda client: [app.app for app in client.status("").apps])
    return _items(begun, dict.fromkeys([*_own_app(context), *(names or ())], ""))


def nodes(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    found = asked(context, lambda client: client.nodes().nodes) or []
    words = {True: "connected", False: "not connected"}
    return _items(begun, {node.node: words[node.connected] for node in found})


def environments(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Those of the configuration that is at hand; else those where the app runs."""
    app = _app(context)
    if found := _configured(context, app):
        return _items(begun, dict.fromkeys(found, ""))
    known = asked(context, lambda client: client.status(app or "").apps) or []
    return _items(begun, {each.environment: f"version {each.version}" for each in known})


def versions(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Releases that have succeeded, the newest first."""
    app, environment = _app(context), context.params.get("environment")
    past = asked(context, lambda client: client.rollouts(app or "", ROLLOUTS_READ).rollouts) or []
    found: dict[str, str] = {}
    for each in past:
        if each.state == "succeeded" and environment in (None, each.environment):
            when = f"{each.started_at[:10]} by {each.requested_by}"
            found.setdefault(each.release.version, when)
    return _items(begun, found)


def rollouts(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    past = asked(context, lambda client: client.rollouts("", ROLLOUTS_OFFERED).rollouts) or []
    return _items(begun, {each.rollout: _summary(each) for each in past})


def waiting_rollouts(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Those that wait for an answer."""
    past = asked(context, lambda client: client.rollouts("", ROLLOUTS_READ).rollouts) or []
    return _items(begun, {each.rollout: _summary(each) for each in past if each.waiting_for})


def running_rollouts(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Those that have not ended."""
    past = asked(context, lambda client: client.rollouts("", ROLLOUTS_READ).rollouts) or []
    return _items(begun, {each.rollout: _summary(each) for each in past if not each.ended_at})


def retried_rollouts(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Those that wait for an answer, and deployments that have ended badly."""
    past = asked(context, lambda client: client.rollouts("", ROLLOUTS_OFFERED).rollouts) or []
    bad = {"failed", "rolled_back", "aborted"}
    found = [r for r in past if r.waiting_for or (r.kind == "deploy" and r.state in bad)]
    return _items(begun, {each.rollout: _summary(each) for each in found})


def paused_rollouts(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Those that somebody has paused."""
    past = asked(context, lambda client: client.rollouts("", ROLLOUTS_READ).rollouts) or []
    return _items(
        begun, {each.rollout: _summary(each) for each in past if "resume" in each.answers}
    )


def artifacts(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Files, unless it begins as a digest does: then what the controller has."""
    if not begun.startswith("sha256:"):
        return [CompletionItem(begun, type="file")]
    found = asked(context, lambda client: client.releases("").releases) or []
    names = {each.digest: f"{each.app or ''} {each.version or ''}".strip() for each in found}
    return _items(begun, names)


def paths(metavar: str) -> Callable[..., list[CompletionItem]]:
    """Of a setting whose value is called so: folders, files, or nothing."""
    kind = {"DIR": "dir", "FILE": "file", "PATH": "file"}.get(metavar)
    return lambda _, __, begun: [CompletionItem(begun, type=kind)] if kind else []


def words(*known: str) -> Callable[..., list[CompletionItem]]:
    """One of these."""
    return lambda _, __, begun: _items(begun, dict.fromkeys(known, ""))


def asked(context: click.Context, ask: Callable[[Client], A]) -> A | None:
    """The controller's answer; None where there is none, for nothing may be said here."""
    address = context.params.get("address") or context.find_root().params.get("address")
    try:
        with Client(address, call_seconds=ANSWER_SECONDS) as client:
            return ask(client)
    except (TidegateError, OSError, ValueError):
        return None


def _app(context: click.Context) -> str | None:
    """The app that was named. An option that has no value yet keeps click from seeing more than
    words."""
    named: str | None = context.params.get("app")
    takes = any(parameter.name == "app" for parameter in context.command.params)
    return context.args[0] if takes and named is None and context.args else named


def _configured(context: click.Context, app: str | None) -> Iterable[str]:
    """Environments of the tidegate.toml at hand, if it is the app's."""
    found = _read(context.params.get("config_path") or "tidegate.toml")
    return found.environments if found and app in (None, found.app) else ()


def _own_app(context: click.Context) -> Iterable[str]:
    found = _read("tidegate.toml")
    return (found.app,) if found else ()


def _read(path: str) -> "Config | None":
    from tidegate_controller import config  # noqa: PLC0415  (long to load, and only needed here)

    try:
        return config.load(Path(path))
    except (TidegateError, OSError):
        return None


def _summary(each: RolloutSummary) -> str:
    to = f"{each.app}@{each.environment} to {each.release.version}"
    return f"{each.kind} {to}, {state_words(each)}"


def _items(begun: str, found: dict[str, str]) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=words or None)
        for name, words in found.items()
        if name.startswith(begun)
    ]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands.

    It knows commands and options, and asks the controller for nodes, apps, versions and rollouts.

    \b
    Example:
      eval "$(tidegate completion bash)"        in ~/.bashrc
      eval "$(tidegate completion zsh)"         in ~/.zshrc, after compinit
      tidegate completion fish > ~/.config/fish/completions/tidegate.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(context.find_root().command, {}, "tidegate", VARIABLE)
    say(ShellComplete.source(made))  # the base's: it does not ask which bash is installed
