"""What an operator asks for: one environment of one `tidegate.toml`, checked and with defaults.

Made by `tidegate_controller.config`, stored in the log with each rollout. All times in seconds.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A value: immutable, compared by content, unknown fields refused."""


class Service(Struct, frozen=True, kw_only=True):
    """How a slot runs. Strings may hold {port} {slot} {app} {environment} {version} {node}."""

    manager: Literal["process"] = "process"
    command: tuple[str, ...]
    environment: Mapping[str, str] = {}
    ports: Mapping[str, int] | None = None  # slot -> port; None: each agent picks free ones
    stop_grace_seconds: float = 10.0


class Health(Struct, frozen=True, kw_only=True):
    """When a slot counts as healthy; checked on the node, during the rollout and ever after."""

    http: str
    every_seconds: float = 2.0
    timeout_seconds: float = 2.0
    failures: int = 3
    healthy_after_seconds: float = 5.0
    deadline_seconds: float = 300.0


class Settings(Struct, frozen=True, kw_only=True):
    """The part of the configuration that a slot runs with; its digest is `Revision.config`."""

    service: Service
    health: Health


class Traffic(Struct, frozen=True, kw_only=True):
    """Which balancer adapter moves traffic, and its own options (all strings)."""

    adapter: Literal["caddy"]
    directory: str
    lanes: int = 20


class Pace(Struct, frozen=True, kw_only=True):
    """How long a rollout waits where it has to wait."""

    prepare_seconds: float = 600.0
    soak_seconds: float = 10.0
    drain_seconds: float = 5.0
    keep_old_seconds: float = 600.0
    away_seconds: float = 60.0


class Spec(Struct, frozen=True, kw_only=True):
    """One environment of one app, as `tidegate deploy` sends it."""

    app: str
    environment: str
    strategy: Literal["blue-green"] = "blue-green"
    nodes: Mapping[str, str] | tuple[str, ...]  # labels that must all match, or names
    settings: Settings
    traffic: Traffic
    pace: Pace = Pace()
