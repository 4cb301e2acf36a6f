"""What an operator asks for: one environment of one `tidegate.toml`, checked and with defaults.

Made by `tidegate_controller.config`, stored in the log with each rollout. All times in seconds.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from tidegate_controller.core.shares import Share

SECONDS_MAX = 1e9  # sums of such stay finite; config.py has the bounds for people
LISTEN_SECONDS = 10.0  # for one action: whether anybody listens, before a move and after it
RUNS_MAX = 3  # of an `exec` adapter's command for one action: check, write, read

# Bounds that hold wherever a spec comes from: decoding refuses what is outside.
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=SECONDS_MAX)]
Positive = Annotated[float, msgspec.Meta(gt=0.0, le=SECONDS_MAX)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Status = Annotated[str, msgspec.Meta(pattern=r"^[2-5][0-9]{2}(-[2-5][0-9]{2})?$")]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A value: immutable, compared by content, unknown fields refused."""


class Service(Struct, frozen=True, kw_only=True):
    """How a slot runs. Strings may hold {port} {slot} {app} {environment} {version} {node}."""

    manager: Literal["process", "systemd"] = "process"
    command: tuple[str, ...] = ()  # process
    unit: str = ""  # systemd: the operator's own, one for each slot
    user: str = ""  # empty: the agent's own
    environment: Mapping[str, str] = {}
    environment_file: str = ""  # on the node: NAME=value lines, read at each start
    ports: Mapping[str, Port] | None = None  # slot -> port; None: each agent picks free ones
    stop_grace_seconds: Seconds = 10.0


class HttpProbe(Struct, frozen=True, kw_only=True, tag="http"):
    """A GET request that a healthy slot answers with one of `status`, and with `body` in its body.
    All texts of a probe may hold the placeholders."""

    url: str
    status: tuple[Status, ...] = ("200-299",)
    body: str = ""
    headers: Mapping[str, str] = {}  # sent with it
    insecure: bool = False  # any certificate will do
    ca_file: str = ""  # vouches for the certificate; empty: the system's


class TcpProbe(Struct, frozen=True, kw_only=True, tag="tcp"):
    """A connection that a healthy slot accepts at HOST:PORT."""

    address: str


class ExecProbe(Struct, frozen=True, kw_only=True, tag="exec"):
    """A command that exits with 0 when the slot is healthy; run in the release, as the app's user,
    with the app's environment."""

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class GrpcProbe(Struct, frozen=True, kw_only=True, tag="grpc"):
    """A server at HOST:PORT whose grpc.health.v1 says that it is serving."""

    address: str
    service: str = ""  # empty: the server as a whole
    tls: bool = False
    ca_file: str = ""  # vouches for the certificate; empty: the system's


class UnitProbe(Struct, frozen=True, kw_only=True, tag="unit"):
    """The service manager's word that the slot runs."""


Probe = HttpProbe | TcpProbe | ExecProbe | GrpcProbe | UnitProbe


class Health(Struct, frozen=True, kw_only=True):
    """When a slot counts as healthy; checked on the node, during the rollout and ever after."""

    probe: Probe
    every_seconds: Positive = 2.0
    timeout_seconds: Positive = 2.0
    failures: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    start_grace_seconds: Seconds = 0.0  # after a start, before anything is asked
    healthy_after_seconds: Seconds = 5.0
    deadline_seconds: Positive = 300.0  # from the start on


class Hooks(Struct, frozen=True, kw_only=True):
    """Scripts of the release's own, where it has them: `install.sh` makes a slot ready on each
    node, `migrate.sh` runs once in a rollout, before the first start."""

    install: bool = True
    install_seconds: Positive = 300.0
    migrate: Literal["once", "every-node", "never"] = "once"
    migrate_seconds: Positive = 1800.0


class Settings(Struct, frozen=True, kw_only=True):
    """The part of the configuration that a slot runs with; `Revision.config` is a digest of it
    and of the version."""

    service: Service
    health: Health
    hooks: Hooks = Hooks()
    # Leading folders of the artifact to leave out; None: one, where all is in it.
    strip_components: Annotated[int, msgspec.Meta(ge=0, le=9)] | None = None


class Traffic(Struct, frozen=True, kw_only=True):
    """Which balancer adapter moves traffic, and its options. Each belongs to one adapter."""

    adapter: Literal["caddy", "exec", "none"]
    directory: str = ""  # caddy: of the lanes
    lanes: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20  # caddy
    listen: str = ""  # caddy: HOST:PORT where it takes requests; empty: nobody looks for it
    command: tuple[str, ...] = ()  # exec
    timeout_seconds: Positive = 10.0  # exec: for one run of the command
    manual: Literal["wait", "warn"] = "wait"  # none: until a person has answered, or not at all

    @property
    def work_seconds(self) -> float:
        """How much longer than usual an action at this balancer may take."""
        if self.adapter == "exec":
            return RUNS_MAX * self.timeout_seconds
        return LISTEN_SECONDS if self.listen else 0.0


class Keep(Struct, frozen=True, kw_only=True):
    """Which releases stay on a node beside those that are in use: the newest so many, none older
    than so long. The release to go back to stays in any case."""

    releases: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5
    age_seconds: Positive | None = None
    # Of what slots held before: so many backups, the newest, none older than so long. 0: none is
    # made, and those there are stay.
    backups: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    backups_age_seconds: Positive | None = None


class Pace(Struct, frozen=True, kw_only=True):
    """How long a rollout waits where it has to wait."""

    prepare_seconds: Positive = 600.0
    soak_seconds: Seconds = 10.0
    drain_seconds: Seconds = 5.0
    keep_old_seconds: Seconds = 600.0
    away_seconds: Seconds = 60.0


class Waves(Struct, frozen=True, kw_only=True):
    """How a rollout goes on in waves. What goes on is rounded down, to one node at least; what must
    be kept is rounded up."""

    sizes: tuple[Share, ...] = ("1", "10%", "50%", "100%")  # canary: of all nodes, cumulative
    canary: Mapping[str, str] | None = None  # labels of the nodes of the first wave
    promote: Literal["auto", "manual"] = "auto"  # after a wave that is not the last
    max_parallel: Share = "1"  # rolling: of all nodes, at once
    min_in_service: Share | None = None  # rolling: of the nodes of each zone; None: one of all
    zone: str = "zone"  # the label that names a node's zone
    rehearse: bool = False  # the way back, on one node, before the second wave


class Check(Struct, frozen=True, kw_only=True):
    """A question about the new release in traffic, put by the controller: a program, or a request.
    `pass`, `fail`, or no verdict: then it is asked again, and in the end a person is."""

    command: tuple[str, ...] = ()  # exits with 0: pass, 1: fail, anything else: no verdict
    http: str = ""  # a URL that is asked for with GET
    status: tuple[Status, ...] = ("200-299",)  # http: pass
    body: str = ""  # http: what the answer has to hold as well
    timeout_seconds: Positive = 10.0  # for one try
    every_seconds: Positive = 5.0  # between tries without a verdict
    deadline_seconds: Positive = 60.0  # for all of them


class Policy(Struct, frozen=True, kw_only=True):
    """What a rollout does about failures: how many nodes may fail, or be away, without hurting the
    others, and what follows where more do."""

    on_failure: Literal["rollback", "pause", "stop"] = "rollback"
    max_failed_nodes: Share = "0"  # of all nodes of the rollout, those that are away included
    of_at_least: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1  # of fewer none may fail


class Freeze(Struct, frozen=True, kw_only=True):
    """A window in which nothing is deployed: each week from "Fri 16:00" until "Mon 08:00", or once
    from "2026-12-20 00:00" until "2027-01-02 00:00", by the clocks of the time zone."""

    begin: str
    until: str
    time_zone: str = "UTC"
    reason: str = ""


class Spec(Struct, frozen=True, kw_only=True):
    """One environment of one app, as `tidegate deploy` sends it."""

    app: str
    environment: str
    strategy: Literal["blue-green", "canary", "rolling"] = "blue-green"
    waves: Waves = Waves()
    # Where a slot is a group of servers: slot -> labels of its nodes.
    slots: Mapping[str, Mapping[str, str]] | None = None
    nodes: Mapping[str, str] | tuple[str, ...]  # labels that must all match, or names
    approval: bool = False  # somebody has to say yes before a deployment gets any traffic
    protected: bool = False  # whoever deploys here is asked whether it is meant
    settings: Settings
    traffic: Traffic
    pace: Pace = Pace()
    keep: Keep = Keep()
    policy: Policy = Policy()
    checks: Mapping[str, Check] = {}  # by name, after the soak
    freeze: tuple[Freeze, ...] = ()
