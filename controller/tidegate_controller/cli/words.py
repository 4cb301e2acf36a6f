"""The words of a command that have a form, looked at before anything is sent.

Whoever mistypes one is told so whether a controller answers or not. Each is the `callback` of a
click option or argument.
"""

import re
from collections.abc import Callable

import click

from tidegate_controller.config_checks import NAME_FORM, VERSION_FORM
from tidegate_protos.rules import DIGEST, NAME, VERSION

ROLLOUT = re.compile(r"r[1-9][0-9]{0,17}")
NUMBER = re.compile(r"[1-9][0-9]{0,17}")  # of one
_SHOWN_CHARS = 80

Callback = Callable[[click.Context, click.Parameter, str | None], str | None]


def _of_form(pattern: re.Pattern[str], what: str) -> Callback:
    def checked(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and not pattern.fullmatch(value):
            raise click.BadParameter(f"{value[:_SHOWN_CHARS]!r} is not {what}")
        return value

    return checked


a_name = _of_form(NAME, f"a name: {NAME_FORM}")
a_version = _of_form(VERSION, f"a version: {VERSION_FORM}")
a_release = _of_form(
    re.compile(f"{VERSION.pattern}|{DIGEST.pattern}"), f"a version, {VERSION_FORM}, or a digest"
)
_rollout = _of_form(ROLLOUT, "a rollout such as r12; see: tidegate rollout list")


def a_rollout(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Its number alone will do."""
    if value is not None and NUMBER.fullmatch(value):
        value = f"r{value}"
    return _rollout(context, parameter, value)
