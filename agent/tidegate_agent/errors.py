"""Every error that the agent raises on purpose: one sentence that says what happened and why."""


class AgentError(Exception):
    """Base of all. Its text goes to the operator as the command's error."""

    def __init__(self, message: str, output_tail: str = "") -> None:
        super().__init__(message)
        self.output_tail = output_tail  # last lines of the app's own output, where it is to blame


class ArtifactError(AgentError):
    """The artifact could not be fetched, is not what its digest says, or breaks a rule."""


class ServiceError(AgentError):
    """The app could not be started, stopped, or did not become healthy."""
