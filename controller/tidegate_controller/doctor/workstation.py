"""What whoever deploys needs on their own machine."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tidegate_controller import config
from tidegate_controller.errors import UsageError
from tidegate_protos.findings import Finding

CONFIG = Path("tidegate.toml")
COMPLETION = ("tidegate completion", "_TIDEGATE_COMPLETE")  # as it is typed, and as it is printed
STARTUP = {
    "bash": (".bashrc", ".bash_profile", ".local/share/bash-completion/completions/tidegate"),
    "zsh": (".zshrc", ".zprofile"),
    "fish": (".config/fish/config.fish", ".config/fish/completions/tidegate.fish"),
}


def look(path: Path | None) -> Iterator[Finding]:
    """`path`: the `tidegate.toml` to check; None: the one in this folder, if there is one."""
    yield Finding("ok", f"tidegate {version('tidegate')} on Python {platform.python_version()}")
    yield _config(path)
    yield from _completion(os.environ.get("SHELL", ""), Path(os.path.expanduser("~")))


def _config(path: Path | None) -> Finding:
    if path is None and not CONFIG.exists():
        return Finding("ok", f"there is no {CONFIG} in this folder to look at")
    try:
        found = config.load(path or CONFIG)
    except UsageError as error:
        return Finding("fail", error.message, error.hint)
    environments = ", ".join(found.environments)
    return Finding("ok", f"{found.path} says how {found.app} is deployed to {environments}")


def _completion(shell_path: str, home: Path) -> Iterator[Finding]:
    """A hint, for shells that can complete; nothing fails without it."""
    shell = Path(shell_path).name
    if shell not in STARTUP:
        return
    if any(_mentions(home / name) for name in STARTUP[shell]):
        yield Finding("ok", f"{shell} completes the words of tidegate")
        return
    command = f"tidegate completion {shell}"
    line = f"{command} | source" if shell == "fish" else f'eval "$({command})"'
    yield Finding(
        "ok",
        f"{shell} could complete the words of tidegate",
        f"write into ~/{STARTUP[shell][0]}: {line}",
    )


def _mentions(file: Path) -> bool:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return False
    return any(words in text for words in COMPLETION)
