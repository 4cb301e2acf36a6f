"""Where the controller is to be found: an address that was given, or the local socket."""

import os
from pathlib import Path

from tidegate_controller.addresses import split_loopback
from tidegate_controller.errors import UsageError

RUN = Path("/run/tidegate")  # the controller's, where it is a service of the system


def default_socket() -> Path:
    """TIDEGATE_SOCKET, else /run/tidegate for root, else the user's runtime folder."""
    if given := os.environ.get("TIDEGATE_SOCKET"):
        return Path(given)
    if os.geteuid() == 0:
        return RUN / "controller.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/tidegate-{os.getuid()}"  # noqa: S108
    return Path(runtime) / "tidegate" / "controller.sock"


def target_of(address: str | None) -> str:
    """What gRPC connects to. `UsageError` for an address that is none."""
    option = "--controller"
    if address is None:
        address, option = os.environ.get("TIDEGATE_CONTROLLER"), "TIDEGATE_CONTROLLER"
    if not address:
        _refuse_foreign(default_socket())
        return f"unix:{default_socket()}"
    split_loopback(address, option)
    return address


def _refuse_foreign(path: Path) -> None:
    """In a folder that others may write to, anybody could pretend to be the controller. Not in
    the one that only root can make: there the socket is of whom root has given it to."""
    trusted = {os.geteuid(), 0}
    if path.parent == RUN and RUN.exists():
        trusted.add(RUN.stat().st_uid)
    if path.exists() and path.stat().st_uid not in trusted:
        raise UsageError(
            f"the local socket {path} belongs to another user",
            "name the controller: --controller HOST:PORT",
        )
