"""Every error that the agent raises on purpose: one sentence that says what happened and why."""

from typing import Literal

Blame = Literal["unclear", "release", "environment"]


class AgentError(Exception):
    """Base of all. Its text goes to the operator as the command's error.

    `output_tail`: last lines of the app's own output, where they tell why. `blame`: the release,
    by its own checks and scripts, or the node around it.
    """

    blame: Blame = "unclear"

    def __init__(self, message: str, output_tail: str = "", *, blame: Blame | None = None) -> None:
        super().__init__(message)
        self.output_tail = output_tail
        if blame is not None:
            self.blame = blame


class ArtifactError(AgentError):
    """The artifact could not be fetched, is not what its digest says, or breaks a rule."""

    blame: Blame = "environment"


class JournalError(AgentError):
    """The agent's own memory cannot be read or written."""

    blame: Blame = "environment"


class NotThisNode(AgentError):
    """The data folder is that of another node: nothing was taken up. `known`: its name."""

    def __init__(self, known: str) -> None:
        super().__init__(f"the folder is that of the node {known}")
        self.known = known


class ServiceError(AgentError):
    """The app could not be started, stopped, or did not become healthy."""


class NodeError(AgentError):
    """The node lacks what a release needs: room, a port, a user, a file."""

    blame: Blame = "environment"
