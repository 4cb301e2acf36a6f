"""Every error that Tidegate's controller and CLI raise on purpose.

Each says what happened and why (`message`) and what to type or do next (`hint`).
`exit_code` is the CLI's: 1 failed, 2 wrong usage, 3 not reachable, 4 refused, 5 waiting.
"""

HINT_KEY = "tidegate-hint-bin"  # gRPC's trailing metadata in which a hint travels, UTF-8
TAKEN_KEY = "tidegate-taken"  # of initial metadata: a controller has the call, and will go on
LOG_KEY = "tidegate-log"  # of initial metadata: the id of the log, another after each restore


class TidegateError(Exception):
    """Base of all; raised as is for a failure that has no narrower name."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def in_a_line(self) -> str:
        """What happened, why, and what to do next, where there is room for one text alone."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(TidegateError):
    """Wrong arguments, configuration or artifact: nothing was sent or changed."""

    exit_code = 2


class NotReachable(TidegateError):
    """The controller does not answer."""

    exit_code = 3


class Refused(TidegateError):
    """A request that is well formed but not allowed now: changes nothing."""

    exit_code = 4


class ShuttingDown(Refused):
    """The controller is about to end, and takes nothing any more; its next life does."""

    exit_code = 3


class AskPerson(TidegateError):
    """Only a person can do this, or knows whether it was done; the message says what."""


class CheckFailed(TidegateError):
    """A check of the operator's has said no: the release is not good.
    `output_tail`: the end of what it said."""

    def __init__(self, message: str, hint: str = "", output_tail: str = "") -> None:
        super().__init__(message, hint)
        self.output_tail = output_tail


class TrafficError(TidegateError):
    """The balancer could not be read, moved, or did not read back what was written.
    `output_tail`: the end of what a program said about it. `redeploy`: the hint is to deploy what
    is active again, and whoever knows how that is typed says so."""

    def __init__(
        self, message: str, hint: str = "", output_tail: str = "", *, redeploy: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.output_tail, self.redeploy = output_tail, redeploy
