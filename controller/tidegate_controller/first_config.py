"""A first `tidegate.toml`, with comments: what `tidegate init` writes.

The functions that end in `_of` make of what a person types what the file holds; they raise
`UsageError`.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from tidegate_controller.config_checks import At, Key
from tidegate_controller.config_health import KINDS
from tidegate_controller.config_keys import ENVIRONMENT, FRAME
from tidegate_controller.config_service import SERVICE
from tidegate_controller.config_spelled import bare, toml
from tidegate_controller.config_traffic import LISTEN, TRAFFIC
from tidegate_controller.errors import UsageError

COMMENT_COLUMN = 36
LINE_CHARS = 100

_ASSIGNED = re.compile(r"\A(?:[A-Za-z_][A-Za-z0-9_]*=\S*\s+)*")  # variables before a command
_COMPOUND = re.compile(r"[;&|\n]")  # several commands in one line
_HEALTH: dict[str, tuple[str, str | bool]] = {
    "tcp": ("tcp", "127.0.0.1:{port}"),
    "grpc": ("grpc", "127.0.0.1:{port}"),
    "unit": ("unit", True),
}
_HEALTH_MEANINGS = {
    "http": "asked on the node itself; 2xx is healthy",
    "tcp": "healthy when it accepts a connection; http = says more",
    "grpc": "healthy when its grpc.health.v1 says SERVING",
    "unit": "healthy as long as it runs; http = says more",
}


@dataclass(frozen=True)
class Answers:
    """What differs from app to app, as the file holds it."""

    app: str
    environment: str
    nodes: dict[str, str] | list[str]
    command: list[str]
    ports: dict[str, int] | None
    health: tuple[str, str | bool]  # kind and value
    adapter: str
    traffic_command: list[str]


def app_of(text: str) -> str:
    return str(_checked(FRAME["app"], text))


def environment_of(text: str) -> str:
    return app_of(text)  # of the same form


def nodes_of(text: str) -> dict[str, str] | list[str]:
    """`role=web,zone=a` or `web-1,web-2`."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    labels = [word.partition("=") for word in words if "=" in word]
    if labels and len(labels) < len(words):
        raise UsageError("labels and names cannot be mixed; write role=web, or web-1,web-2")
    nodes = {label.strip(): value.strip() for label, _, value in labels} or words
    _checked(ENVIRONMENT["nodes"], nodes)
    return nodes


def command_of(text: str) -> list[str]:
    """An argument list; where the text needs a shell, with one."""
    words = _words(text)
    if _needs_shell(text):
        line = text.replace("{port}", "$PORT").replace("{", "{{").replace("}", "}}")
        if not _COMPOUND.search(_without_quoted(text)):
            # The shell gives way to the app, so that signals reach that.
            line = _ASSIGNED.sub(lambda found: f"{found[0]}exec ", line)
        words = ["sh", "-c", line]
    _checked(SERVICE["command"], words)
    return words


def ports_of(text: str) -> dict[str, int] | None:
    """`any`, or two numbers such as `8001,8002`."""
    if text.strip() == "any":
        return None
    numbers = re.fullmatch(r"\s*([0-9]{1,5})\s*,\s*([0-9]{1,5})\s*", text)
    if not numbers:
        raise UsageError("must be any, or two ports such as 8001,8002")
    ports = {"blue": int(numbers[1]), "green": int(numbers[2])}
    _checked(SERVICE["ports"], ports)
    return ports


def health_of(text: str) -> tuple[str, str | bool]:
    """A path, a URL, or the word for another kind of check."""
    if text in _HEALTH:
        return _HEALTH[text]
    url = f"http://127.0.0.1:{{port}}{text}" if text.startswith("/") else text
    if "://" not in url:
        raise UsageError(f"must be a path such as /health, a URL, {', '.join(_HEALTH)}")
    _checked(KINDS["http"], url)
    return "http", url


def adapter_of(text: str) -> str:
    return str(_checked(TRAFFIC["adapter"], text))


def traffic_command_of(text: str) -> list[str]:
    words = _words(text)
    _checked(TRAFFIC["command"], words)
    return words


def _needs_shell(text: str) -> bool:
    expands = re.sub(r"'[^']*'|\\.", "", text)
    return bool(
        re.match(r"[A-Za-z_][A-Za-z0-9_]*=", text)
        or re.search(r"[$`]", expands)
        or re.search(r"[()<>*?\n]|\s~/", _without_quoted(text))
        or _COMPOUND.search(_without_quoted(text))
    )


def _without_quoted(text: str) -> str:
    return re.sub(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.""", "", text)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"cannot be taken apart into words: {error}") from None


def _checked(key: Key, value: object) -> object:
    at = At(value, (key.field,), [])
    key.check(at)
    if at.problems:
        raise UsageError(at.problems[0].said)
    return value


# --- The text ------------------------------------------------------------------------------------

HEAD = """\
# How Tidegate deploys this app. Durations are whole numbers with units: "250ms", "3s", "1h30m".
# What counts, with all defaults: tidegate config check
"""


def first_config(answers: Answers) -> str:
    """The whole file. A line that begins with `# ` and a key may be taken into use as it is."""
    kind, value = answers.health
    ports = toml(answers.ports or {"blue": 8001, "green": 8002})
    secrets = toml(f"/etc/{answers.app}/env")
    return HEAD + "".join(
        _line(code, comment)
        for code, comment in [
            ("", ""),
            (
                f"app = {toml(answers.app)}",
                "its name in every command",
            ),
            ("", ""),
            (
                f"[environments.{bare(answers.environment)}]",
                "one table for each set of servers: staging, production, ...",
            ),
            (f"nodes = {toml(answers.nodes)}", _nodes_meaning(answers.nodes)),
            (
                '# strategy = "canary"',
                'a few nodes first; "rolling": one release at a time on a node',
            ),
            ("# protected = true", "whoever deploys here is asked whether it is meant"),
            ("", ""),
            ("[service]", "how the app runs on a node"),
            (
                f"command = {toml(answers.command)}",
                "in the release's folder; {port} is a free one, and in the variable PORT",
            ),
            (
                f"{'' if answers.ports else '# '}ports = {ports}",
                "where they must be known; else the agent picks",
            ),
            ('# environment = { LOG_LEVEL = "info" }', "variables for the app; no secrets here"),
            (f"# environment_file = {secrets}", "variables in a file on the node: for secrets"),
            ('# user = "www-data"', "whom it runs as, if not as the agent"),
            ("", ""),
            ("[health]", "when a release counts as healthy on a node"),
            (f"{kind} = {toml(value)}", _HEALTH_MEANINGS[kind]),
            ('every = "2s"', "how often it is asked, also long after the rollout"),
            ('healthy_after = "5s"', "it must stay healthy this long before it gets traffic"),
            ('deadline = "1m"', "not healthy by then: the rollout is undone"),
            ("", ""),
            ("[rollout]", "how long to wait, and for what"),
            ('soak = "10s"', "with traffic on the new release, before it counts as good"),
            ('drain = "5s"', "for requests in flight, before the old release is stopped"),
            ('keep_old_for = "10m"', "the old release runs on this long: rollback is then instant"),
            ("", ""),
            ("[traffic]", "what sends requests to the nodes"),
            *_traffic(answers),
        ]
    )


def _nodes_meaning(nodes: dict[str, str] | list[str]) -> str:
    if isinstance(nodes, list):
        return 'by name; labels such as { role = "web" } do as well'
    many = "these labels" if len(nodes) > 1 else "this label"
    return f"every node with {many}; a list of names does as well"


def _traffic(answers: Answers) -> Iterable[tuple[str, str]]:
    yield f"adapter = {toml(answers.adapter)}", ""
    if answers.adapter == "caddy":
        yield (
            'directory = "traffic"',
            "the lanes that Caddy reads; seen from this file, so write it in full (/srv/...)\n"
            "where deploys come from changing folders, as in CI",
        )
        yield (
            f"listen = {toml(LISTEN)}",
            "where Caddy takes requests: rollouts look whether it does",
        )
        yield "lanes = 20", "Caddy's upstreams; at least two for each node shares evenly"
    elif answers.adapter == "exec":
        yield (
            f"command = {toml(answers.traffic_command)}",
            "is asked to `check N`, `read` and `write`; a program with a / is seen from this\n"
            "file, but it runs in the folder /, so files among its words are written in full",
        )
        yield 'timeout = "10s"', "for one run of it"
    else:
        yield 'manual = "wait"', 'until you say that traffic was switched; "warn" goes on at once'


def _line(code: str, comment: str) -> str:
    if not comment:
        return f"{code}\n"
    if "\n" in comment:
        lines = "".join(f"# {line}\n" for line in comment.splitlines())
        return f"{lines}{code}\n"
    room = max(COMMENT_COLUMN, -(-(len(code) + 2) // 4) * 4)
    if room + len(comment) + 2 > LINE_CHARS:
        return f"# {comment}\n{code}\n"
    return f"{code:<{room}}# {comment}\n"
