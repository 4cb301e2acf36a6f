"""What `tidegate-agent` can be told: its settings, by flag, variable or file. Used by `main`."""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tidegate_protos import logs
from tidegate_protos.rules import LABEL, NAME, RESERVED
from tidegate_protos.settings import Setting, SettingsError, a_file, a_folder, gather

PROGRAM = "agent"


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
        default="127.0.0.1:7420",
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
)
SETTINGS = (*OWN, *logs.SETTINGS)


@dataclass(frozen=True)
class Options:
    """What the agent was told, checked."""

    node: str
    data: Path
    controller: str
    labels: Mapping[str, str]
    address: str
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


def read(flags: argparse.Namespace) -> Options:
    """Raises `SettingsError`."""
    values = gather(PROGRAM, SETTINGS, vars(flags), os.environ, flags.settings)
    return Options(
        node=str(values.get("node") or _own_name()),
        data=cast("Path", values["data"]),
        controller=str(values["controller"]),
        labels=dict(cast("tuple[tuple[str, str], ...]", values.get("label", ()))),
        address=str(values["address"]),
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
