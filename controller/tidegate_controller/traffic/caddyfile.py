"""A Caddyfile for the `caddy` adapter's lanes; nothing in it but what is needed.

Printed by `tidegate traffic caddyfile`, used by the demo and the integration tests.
"""

from pathlib import Path

from tidegate_controller.core.spec import Traffic
from tidegate_controller.traffic.caddy import caddyfile_upstreams


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
