"""What `tidegate-agent` can be told: its settings, by flag, variable or file. Used by `main`."""

import argparse
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tidegate_protos import logs
from tidegate_protos.rules import LABEL, NAME, RESERVED
from tidegate_protos.settings import Setting, SettingsError, a_file, a_folder, gather

PROGRAM = "agent"
CONTROLLER = "127.0.0.1:7420"  # where nothing else is said


def _node(word: str) -> str:
    if not NAME.fullmatch(word):
        raise ValueError(
            f"{word[:80]!r} is not a name: lower case letters, digits and . _ - (63 at most)"
        )
    if word in RESERVED:
        raise ValueError(f"{word!r} is what the controller itself is called")
    return word


def _label(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    if not LABEL.fullmatch(key) or not LABEL.fullmatch(value):
        raise ValueError(f"{word[:80]!r} is not KEY=VALUE, such as role=web")
    return key, value


def _target(word: str) -> str:
    host, _, port = word.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]"):
        raise ValueError(
            f"{word[:80]!r}: without mutual TLS only loopback is accepted, such as "
            "127.0.0.1:7420; a controller elsewhere is reached through a tunnel"
        )
    if not port.isdecimal() or not 0 < int(port[:6]) < 65536:
        raise ValueError(f"{word[:80]!r} is not HOST:PORT")
    return word


OWN = (
    Setting("node", "NAME", "This node's name; else the short name of the host.", _node),
    Setting("data", "DIR", "The folder for releases and journal.", a_folder, needed=True),
    Setting(
        "controller",
        "HOST:PORT",
        "Where the controller listens.",
        _target,
        default=CONTROLLER,
    ),
    Setting(
        "label",
        "KEY=VALUE",
        "What environments choose nodes by, such as role=web. May be repeated.",
        _label,
        many=True,
    ),
    Setting(
        "address", "HOST", "Where the balancer reaches this node's slots.", default="127.0.0.1"
    ),
    Setting(
        "backups",
        "DIR",
        "Where backups go, where apps ask for them; else `backups` in the data folder.",
        a_folder,
    ),
)
SETTINGS = (*OWN, *logs.SETTINGS)
_WITHOUT_CONTROLLER = [
    replace(setting, default="") if setting.name == "controller" else setting
    for setting in SETTINGS
]


@dataclass(frozen=True)
class Options:
    """What the agent was told, checked. `controller_from`: why it is that address, where nobody
    has said so now."""

    node: str
    data: Path
    controller: str
    controller_from: str
    labels: Mapping[str, str]
    address: str
    backups: Path | None
    logs: logs.Choices


def add_to(parser: argparse.ArgumentParser, settings: Sequence[Setting] = SETTINGS) -> None:
    """The flags. They are checked by `read`, together with what variables and files say."""
    for setting in settings:
        default = f" ({setting.default})" if setting.default else ""
        parser.add_argument(
            setting.flag,
            dest=setting.name,
            metavar=setting.metavar,
            help=f"{setting.help}{default}",
            action="append" if setting.many else "store",
        )
    parser.add_argument(
        "--settings", type=a_file, metavar="FILE", help="Read this file in place of all others."
    )


def read(
    flags: argparse.Namespace, remembered: Callable[[Path], Mapping[str, str]] = lambda _: {}
) -> Options:
    """`remembered`: of a data folder, the node and controller that its agent was started with,
    which count before what is taken where nobody has said anything. Raises `SettingsError`."""
    values = gather(PROGRAM, _WITHOUT_CONTROLLER, vars(flags), os.environ, flags.settings)
    data = cast("Path", values["data"])
    known = remembered(data)
    where = ""
    if "controller" not in values:
        where = "where its agent looks" if "controller" in known else "--controller was not given"
    return Options(
        node=str(values.get("node") or known.get("node") or _own_name()),
        data=data,
        controller=str(values.get("controller") or known.get("controller") or CONTROLLER),
        controller_from=where,
        labels=dict(cast("tuple[tuple[str, str], ...]", values.get("label", ()))),
        address=str(values["address"]),
        backups=cast("Path | None", values.get("backups")),
        logs=logs.Choices.of(values),
    )


def _own_name() -> str:
    host = socket.gethostname().partition(".")[0].lower()
    try:
        return _node(host)
    except ValueError as error:
        raise SettingsError(
            [f"this host's name will not do for a node: {error}; use --node NAME"]
        ) from error
