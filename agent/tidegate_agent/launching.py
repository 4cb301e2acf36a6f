"""What an app, or a script of its release, is started with on this node: the words that its
placeholders stand for, its variables, its user. Used by service.py and preparation.py.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tidegate_agent import environment_file, users
from tidegate_agent.errors import ServiceError
from tidegate_agent.processes import Launch, base_environment, find_program
from tidegate_protos.rules import UNIT, UNIT_PLACEHOLDERS, render
from tidegate_protos.v1 import agent_pb2 as pb


def words(
    *, app: str, environment: str, version: str, slot: str, node: str, port: int
) -> dict[str, str]:
    """What the placeholders stand for."""
    return {
        "port": str(port),
        "slot": slot,
        "app": app,
        "environment": environment,
        "version": version,
        "node": node,
    }


def filled(text: str, known: Mapping[str, str]) -> str:
    """Raises ServiceError for a placeholder that is not known."""
    try:
        return render(text, known)
    except ValueError as error:
        raise ServiceError(str(error)) from error


def launch(
    command: Iterable[str],
    service: pb.Service,
    known: Mapping[str, str],
    *,
    directory: Path,
    output: Path,
    secrets: bool = True,
) -> Launch:
    """The environment file is read now; not at all without `secrets`. Raises AgentError."""
    return Launch(
        command=tuple(command),
        environment=_variables(service, known, secrets=secrets),
        directory=directory,
        output=output,
        user=users.find(service.user),
    )


def check_program(service: pb.Service, user: users.User | None) -> None:
    """Raise ServiceError where the command names a program that no folder of its PATH has. Not
    asked where the PATH may be another one by the time of the start."""
    name = service.command[0] if service.command else ""
    path = service.environment.get("PATH") or base_environment(user)["PATH"]
    folders_are_known = all(
        folder.startswith("/") and "{" not in folder for folder in path.split(":")
    )
    if not name or "/" in name or "{" in name or service.environment_file or not folders_are_known:
        return
    find_program(name, path)


def all_variables(service: pb.Service, known: Mapping[str, str]) -> dict[str, str]:
    """What the app finds in its environment, as a check by command does. Raises AgentError."""
    return {**base_environment(users.find(service.user)), **_variables(service, known)}


def unit_name(service: pb.Service, known: Mapping[str, str]) -> str:
    """Of the slot's unit. Raises ServiceError."""
    name = filled(service.unit, {word: known[word] for word in UNIT_PLACEHOLDERS})
    if not UNIT.fullmatch(name):
        raise ServiceError(f"{name[:80]!r} is no name of a unit such as shop@blue.service")
    return name


def _variables(
    service: pb.Service, known: Mapping[str, str], *, secrets: bool = True
) -> dict[str, str]:
    """Of those with the same name the later one counts: `environment`, then the file on the node,
    then PORT and TIDEGATE_APP, _ENVIRONMENT, _VERSION, _SLOT, _NODE and _PORT."""
    file = service.environment_file if secrets else ""
    return {
        **{key: filled(value, known) for key, value in service.environment.items()},
        **(environment_file.read(file) if file else {}),
        "PORT": known["port"],
        **{f"TIDEGATE_{key.upper()}": value for key, value in known.items()},
    }
