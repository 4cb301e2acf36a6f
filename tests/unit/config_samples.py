"""A file that is right, ways to make it wrong, and what is then said: for the tests of `config`."""

from pathlib import Path

import pytest

from tidegate_controller.config import Config, load
from tidegate_controller.errors import UsageError

SMALLEST = """\
app = "shop"

[environments.production]
nodes = { role = "web" }

[service]
command = ["./serve", "--port", "{port}"]

[health]
http = "http://127.0.0.1:{port}/health"

[traffic]
adapter = "caddy"
directory = "/srv/upstreams"
"""


def changed(old: str, new: str, text: str = SMALLEST) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def read(directory: Path, text: str) -> Config:
    file = directory / "tidegate.toml"
    file.write_text(text)
    return load(file)


def problems(directory: Path, text: str | bytes) -> list[str]:
    """What `load` says of this text, line by line, without the name of the file."""
    file = directory / "tidegate.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as raised:
        load(file)
    assert raised.value.exit_code == 2
    lines = raised.value.message.splitlines()
    return [line.removeprefix(f"{file}:").removeprefix(" ") for line in lines]


def cases(table: str) -> list[tuple[str, str]]:
    """Lines of `what is written => what is said`; ↵ is a new line, … whatever may follow."""
    pairs = [line.split("=>") for line in table.strip().splitlines()]
    return [(left.strip().replace("↵", "\n"), right.strip()) for left, right in pairs]


def assert_said(said: str, expected: str) -> None:
    start = expected.removesuffix("…")
    assert said.startswith(start) if expected.endswith("…") else said == expected, said
