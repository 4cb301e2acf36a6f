"""`tidegate config`: look at a `tidegate.toml` without asking a controller."""

from pathlib import Path

import click

from tidegate_controller import config as files
from tidegate_controller.cli.deploy import config_option, environment_option
from tidegate_controller.cli.terminal import json_option, print_json, say
from tidegate_controller.config_spelled import spelled
from tidegate_controller.core.spec import Spec
from tidegate_controller.documents import Document


class ConfigView(Document, kw_only=True):
    """`environments`: as the controller is sent them; all times in seconds."""

    file: str
    app: str
    environments: dict[str, Spec]


@click.group()
def config() -> None:
    """Configuration: is tidegate.toml right, and what counts?"""


@config.command("check")
@config_option
@environment_option
@json_option
def config_check(config_path: Path, environment: str | None, as_json: bool) -> None:
    """Say all that is wrong with the file, or what counts.

    If nothing is wrong it prints a whole tidegate.toml that says the same, with every default, for
    each environment.

    \b
    Example:
      tidegate config check -e production
    """
    found = files.load(config_path)
    specs = dict(found.specs)
    if environment is not None:
        specs = {environment: found.environment(environment)}
    if as_json:
        print_json(ConfigView(file=str(config_path), app=found.app, environments=specs))
    else:
        counts = spelled(found.app, specs).rstrip()
        say(f"# {config_path} is right. What counts, defaults included:\n\n{counts}")
