"""`[[environments.NAME.freeze]]` of `tidegate.toml`: when nothing is deployed there.

Called by `config_keys`, which has the schema of all else.
"""

from datetime import datetime

from tidegate_controller.calendars import FORM, moment, zone
from tidegate_controller.config_checks import At, Check, Key, string, table
from tidegate_controller.errors import UsageError

EXAMPLE = 'from = "Fri 16:00", until = "Mon 08:00"'
FREEZES_MAX = 50
YEARS = range(1970, 9999)  # of which each moment is one in every time zone


def freezes(at: At) -> object:
    """Tables, each of them one window."""
    if not isinstance(at.value, list) or len(at.value) > FREEZES_MAX:
        at.expected(f"tables such as {{ {EXAMPLE} }}, at most {FREEZES_MAX}")
        return []
    return [_freeze(at.inner(index, value)) for index, value in enumerate(at.value)]


def _freeze(at: At) -> object:
    problems = len(at.problems)
    found = table(at, FREEZE)
    if len(at.problems) > problems:
        return found
    begin, until = moment(str(found["begin"])), moment(str(found["until"]))
    if type(begin) is not type(until):
        at.clashes("from and until must both be weekdays, or both be dates")
    elif begin == until:
        at.clashes("is empty: it ends as it begins")
    elif isinstance(begin, datetime) and isinstance(until, datetime) and until < begin:
        at.clashes("is empty: it ends before it begins")
    return found


def _moment(at: At) -> object:
    text = string(at, FORM)
    if text is not None:
        try:
            found = moment(text)
        except ValueError:
            at.expected(FORM)
        else:
            if isinstance(found, datetime) and found.year not in YEARS:
                at.expected(f"a date of the years {YEARS.start} to {YEARS.stop - 1}")
    return text


def _zone(at: At) -> object:
    name = string(at, 'a time zone such as "Europe/Berlin"')
    if name is not None:
        try:
            zone(name)
        except UsageError as error:
            at.wrong(f"{error.message}; {error.hint}")
    return name


FREEZE = {
    "from": Key("begin", Check("a weekday or date, and a time", _moment), "its beginning", EXAMPLE),
    "until": Key("until", Check("the same", _moment), "its end", EXAMPLE),
    "time_zone": Key(
        "time_zone",
        Check("a time zone", _zone),
        'by whose clocks: `"Europe/Berlin"`; where these are set, the longer reading counts',
    ),
    "reason": Key(
        "reason",
        Check("a string", lambda at: string(at, "a string")),
        "why; whoever is refused is told",
    ),
}
