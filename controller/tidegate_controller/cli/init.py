"""`tidegate init`: writes a first tidegate.toml, from what it finds, is told, or asks."""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tidegate_controller import config, hints
from tidegate_controller.cli.completion import words
from tidegate_controller.cli.terminal import config_file_option, json_option, print_json, say
from tidegate_controller.documents import Document
from tidegate_controller.errors import UsageError
from tidegate_controller.first_config import (
    Answers,
    adapter_of,
    app_of,
    command_of,
    environment_of,
    first_config,
    health_of,
    nodes_of,
    ports_of,
    traffic_command_of,
)
from tidegate_controller.hints import Hint


class WrittenView(Document, kw_only=True):
    """`next`: what to type, one command each."""

    file: str
    app: str
    environment: str
    next: list[str]


@dataclass(frozen=True)
class Question:
    """Something that differs from app to app; `of` makes of an answer what the file holds."""

    flag: str
    prompt: str
    of: Callable[[str], Any]
    example: str = ""  # where nothing can be offered


QUESTIONS = {
    "app": Question("--app", "App, its name in every command", app_of),
    "environment": Question(
        "--environment", "Environment, the name of a set of servers", environment_of
    ),
    "nodes": Question("--nodes", "Nodes, by a label such as role=web or by names", nodes_of),
    "command": Question(
        "--command",
        "Command that starts the app; {port} is its port, as is $PORT",
        command_of,
        '"./serve --port {port}"',
    ),
    "ports": Question(
        "--ports", "Ports, any free ones or two fixed ones such as 8001,8002", ports_of
    ),
    "health": Question(
        "--health", "Health, by a path such as /health, or by tcp, grpc, unit", health_of
    ),
    "traffic": Question(
        "--traffic",
        "Traffic, moved by caddy, exec (a program of yours), none (a person)",
        adapter_of,
    ),
    "traffic_command": Question(
        "--traffic-command", "Command that moves traffic", traffic_command_of, "./move-traffic"
    ),
}


@click.command()
@click.option("--app", metavar="NAME", help="Else the folder's name.")
@click.option("-e", "--environment", metavar="NAME", help="Else production.")
@click.option("--nodes", metavar="LABELS|NAMES", help="Else role=web.")
@click.option("--command", metavar="WORDS", help="Else as Procfile and the like have it.")
@click.option("--ports", metavar="any|BLUE,GREEN", help="Else any free ones.")
@click.option("--health", metavar="PATH|URL|tcp|grpc|unit", help="Else as the sources have it.")
@click.option(
    "--traffic",
    metavar="caddy|exec|none",
    help="Else caddy.",
    shell_complete=words("caddy", "exec", "none"),
)
@click.option("--traffic-command", metavar="WORDS", help="With --traffic exec.")
@config_file_option("The file to write.")
@click.option("--force", is_flag=True, help="Also where the file is there already.")
@click.option("--yes", is_flag=True, help="Ask nothing; what is not given is as it was found.")
@json_option
def init(config_path: Path, force: bool, yes: bool, as_json: bool, **given: str | None) -> None:
    """Write a first tidegate.toml for this folder's app.

    It has comments. On a terminal it asks for what is not given, and offers what it finds.

    \b
    Example:
      tidegate init --command "./serve --port {port}" --health /health
    """
    if config_path.exists() and not force:
        raise UsageError(
            f"{config_path} is there already",
            f"look at it: tidegate config check -c {config_path}; or replace it: --force",
        )
    asking = not (yes or as_json) and sys.stdin.isatty() and sys.stderr.isatty()
    answers, sources = _answered(given, config_path.absolute().parent, asking=asking)
    text = first_config(answers)
    config.read(config_path, text)
    _write(config_path, text, force=force)
    view = WrittenView(
        file=str(config_path),
        app=answers.app,
        environment=answers.environment,
        next=_next(answers, config_path),
    )
    if as_json:
        print_json(view)
        return
    say(f"wrote {config_path}")
    say(_told(answers, sources))
    for command in view.next:
        say(f"  next: {command}")


def _answered(
    given: Mapping[str, str | None], folder: Path, *, asking: bool
) -> tuple[Answers, dict[str, str]]:
    """What was given, else asked, else found; and the files that it was found in. Raises UsageError
    with all that is wrong, or then missing."""
    found = _understood({name: text for name, text in given.items() if text is not None})
    offers = _offers(folder)
    sources, missing = {}, []
    for name, question in QUESTIONS.items():
        if name == "traffic_command" and found["traffic"] != "exec":
            _refuse_foreign_command(found)
        elif name not in found and asking:
            found[name] = _ask(question, offers[name])
        elif name not in found and offers[name].text:
            found[name] = question.of(offers[name].text)
            sources[name] = offers[name].source
        elif name not in found:
            missing.append(question)
    if missing:
        flags = ", ".join(question.flag for question in missing)
        raise UsageError(
            f"nothing in {folder} says what is to be given as {flags}",
            f"give it: tidegate init {missing[0].flag} {missing[0].example}",
        )
    adapter = found.pop("traffic")
    return Answers(adapter=adapter, **found), sources


def _understood(given: Mapping[str, str]) -> dict[str, Any]:
    found, wrong = {}, []
    for name, text in given.items():
        try:
            found[name] = QUESTIONS[name].of(text)
        except UsageError as error:
            wrong.append(f"{QUESTIONS[name].flag}: {error.message}")
    if wrong:
        raise UsageError("\n".join(wrong), "see: tidegate init --help")
    return found


def _offers(folder: Path) -> dict[str, Hint]:
    """What is taken where nobody says otherwise; an empty text: there is nothing."""
    return {
        "app": Hint(hints.app_name(folder), ""),
        "environment": Hint("production", ""),
        "nodes": Hint("role=web", ""),
        "command": _usable("command", hints.command(folder)) or Hint("", ""),
        "ports": Hint("any", ""),
        "health": hints.health(folder) or Hint("tcp", ""),
        "traffic": Hint("caddy", ""),
        "traffic_command": Hint("", ""),
    }


def _usable(name: str, hint: Hint | None) -> Hint | None:
    """Without those that no tidegate.toml could hold."""
    if hint is not None:
        try:
            QUESTIONS[name].of(hint.text)
        except UsageError:
            return None
    return hint


def _refuse_foreign_command(found: dict[str, Any]) -> None:
    if found.setdefault("traffic_command", []):
        raise UsageError("--traffic-command is for --traffic exec only")


def _ask(question: Question, offer: Hint) -> Any:
    """Asks until the answer can be understood."""

    def understood(answer: str) -> Any:
        try:
            return question.of(answer)
        except UsageError as error:
            raise click.UsageError(error.message) from None

    source = f" (from {offer.source})" if offer.source else ""
    return click.prompt(
        f"{question.prompt}{source}", default=offer.text or None, value_proc=understood, err=True
    )


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "name another file with -c"
        ) from error


def _told(answers: Answers, sources: Mapping[str, str]) -> str:
    """What was written, in four lines."""
    nodes = answers.nodes
    if isinstance(nodes, dict):
        nodes = [f"{label}={value}" for label, value in nodes.items()]
    found = {name: f"  (from {source})" for name, source in sources.items() if source}
    kind, value = answers.health
    command = shlex.join(answers.command).replace("'{port}'", "{port}")
    return "\n".join(
        [
            f"  app      {answers.app} in {answers.environment}, on {', '.join(nodes)}",
            f"  command  {command}{found.get('command', '')}",
            f"  health   {kind if value is True else value}{found.get('health', '')}",
            f"  traffic  {' '.join([answers.adapter, *answers.traffic_command])}",
        ]
    )


def _next(answers: Answers, path: Path) -> list[str]:
    """What to type now, in this order."""
    own = "" if str(path) == "tidegate.toml" else f" -c {shlex.quote(str(path))}"
    archive = f"../{answers.app}-1.tar.gz"
    commands = [f"tidegate config check{own}"]
    if answers.adapter == "caddy":
        commands.append(f"tidegate traffic caddyfile{own} > Caddyfile")
    commands += [
        f"tar -czf {archive} --exclude=./traffic .",
        f"tidegate deploy{own} --artifact {archive} --version 1",
    ]
    return commands
