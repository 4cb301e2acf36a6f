"""What an app and its scripts are told on this node: the words of their placeholders, and the
variables of their environment. Used by slot.py and preparation.py.
"""

from collections.abc import Mapping

from tidegate_agent import environment_file
from tidegate_agent.errors import ServiceError
from tidegate_protos.rules import render
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


def variables(service: pb.Service, known: Mapping[str, str]) -> dict[str, str]:
    """Of those with the same name the later one counts: `environment`, then the file on the node,
    which is read anew each time, then PORT and TIDEGATE_APP, _ENVIRONMENT, _VERSION, _SLOT, _NODE
    and _PORT. Raises AgentError."""
    return {
        **{key: filled(value, known) for key, value in service.environment.items()},
        **(environment_file.read(service.environment_file) if service.environment_file else {}),
        "PORT": known["port"],
        **{f"TIDEGATE_{key.upper()}": value for key, value in known.items()},
    }
