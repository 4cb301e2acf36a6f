"""The check of values that are a number of nodes or a share of them. Called by `config_keys` and
`config_waves`."""

import re
from functools import partial

from tidegate_controller.config_checks import At, Check

SHARE = re.compile(r"(0|[1-9][0-9]{0,5})%?")
FORM = 'a number of nodes or a share of them such as 3 or "25%"'


def share(*, least: int = 1, most: int = 100) -> Check:
    """`least` and `most`: of a share in per cent; a number has to be the least as well."""
    return Check(FORM, partial(_share, least=least, most=most))


def _share(at: At, *, least: int, most: int) -> str | None:
    """A number as TOML has numbers, or a string -> a string."""
    text = str(at.value) if type(at.value) is int else at.value
    if not isinstance(text, str) or not SHARE.fullmatch(text):
        at.expected(FORM)
        return None
    number = int(text.rstrip("%"))
    if number < least or (text.endswith("%") and number > most):
        at.expected(f'at least {least} and at most "{most}%"')
    return text
