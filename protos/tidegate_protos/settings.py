"""The settings of the daemons: each is a flag, a variable and a key of a file, by one table.

Used by `tidegate-agent run` and `tidegate controller run`, and by what looks at the same settings
(`doctor`). A flag counts before a variable, a variable before a file, a later file before an
earlier one; whoever has a setting has the whole of it, so lists are not added up.

    --log-level debug       TIDEGATE_AGENT_LOG_LEVEL=debug       log_level = "debug"

Files are `/etc/tidegate/PROGRAM.toml` and `/etc/tidegate/conf.d/*.toml`, in which each program has
a table of its own; then the same beneath `$XDG_CONFIG_HOME/tidegate`, for users.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("agent", "controller")
SYSTEM_FOLDER = Path("/etc/tidegate")

_SHOWN_CHARS = 80

Words = str | Sequence[str]  # of one setting, before they are checked


class SettingsError(Exception):
    """Everything that is wrong with what was set, each with the place where it was."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Setting:
    """`name` is the key in a file; flag and variable follow from it. `check` turns a word into the
    value or raises ValueError with the reason. `many`: a flag that may be repeated, a list or a
    table of texts in a file, words between commas in a variable. `default`: a word like any other;
    empty where there is none. `needed`: somebody has to set it."""

    name: str
    metavar: str
    help: str
    check: Callable[[str], object] = str
    many: bool = False
    default: str = ""
    needed: bool = False
    variable: str = ""  # where it has another than `name` gives

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    def variable_of(self, program: str) -> str:
        return self.variable or f"TIDEGATE_{program}_{self.name}".upper()


def gather(
    program: str,
    settings: Sequence[Setting],
    flags: Mapping[str, Words | None],
    environ: Mapping[str, str],
    file: Path | None = None,
) -> dict[str, object]:
    """Name -> value, a tuple for `many`; what nobody has set and has no default is not there.

    `flags`: by name, None or empty where one was not given. `file`: read this one in place of
    all others. Raises `SettingsError` with all problems at once.
    """
    problems: list[str] = []
    given: dict[str, tuple[str, Words]] = {
        setting.name: ("the default", setting.default) for setting in settings if setting.default
    }
    for each in [file] if file is not None else files(program, environ):
        given |= _of_file(each, program, settings, problems)
    for setting in settings:
        variable = setting.variable_of(program)
        if word := environ.get(variable):
            words = [part.strip() for part in word.split(",")] if setting.many else word
            given[setting.name] = (variable, words)
        if flag := flags.get(setting.name):
            given[setting.name] = (setting.flag, flag)
    values = {}
    for setting in settings:
        if setting.name in given:
            place, words = given[setting.name]
            values[setting.name] = _checked(setting, place, words, problems)
        elif setting.needed:
            problems.append(
                f"{setting.flag} is missing: type {setting.flag} {setting.metavar}, set "
                f"{setting.variable_of(program)}, or write {setting.name} into "
                f"{SYSTEM_FOLDER}/{program}.toml"
            )
    if problems:
        raise SettingsError(problems)
    return values


def files(program: str, environ: Mapping[str, str]) -> list[Path]:
    """Those that are there, in the order in which they count."""
    folders = [SYSTEM_FOLDER]
    home = environ.get("HOME")
    if own := environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"):
        folders.append(Path(own) / "tidegate")
    found: list[Path] = []
    for folder in folders:
        main = folder / f"{program}.toml"
        found += [main] if _may_exist(main) else []
        found += sorted((folder / "conf.d").glob("*.toml"))
    return found


def _may_exist(file: Path) -> bool:
    """Also where it cannot be seen: reading it says why, and nobody's setting is passed over."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def nearest(word: str, known: Collection[str]) -> str:
    """What to type in place of a word that is not known."""
    close = difflib.get_close_matches(word, known, 1, 0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _of_file(
    file: Path, program: str, settings: Sequence[Setting], problems: list[str]
) -> dict[str, tuple[str, Words]]:
    table = _table(file, program, problems)
    known = {setting.name: setting for setting in settings}
    given: dict[str, tuple[str, Words]] = {}
    for key, value in table.items():
        place = f"{file}: {key}"
        if key not in known:
            problems.append(f"{file}: unknown key {key[:_SHOWN_CHARS]!r}; {nearest(key, known)}")
        elif (words := _words(value, many=known[key].many)) is None:
            form = "a text, a list of texts or a table of texts" if known[key].many else "a text"
            problems.append(f"{place}: must be {form}")
        else:
            given[key] = (place, words)
    return given


def _table(file: Path, program: str, problems: list[str]) -> dict[str, object]:
    """What the file says to the program; in `conf.d` each has a table, elsewhere all is its own."""
    try:
        table: dict[str, object] = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}")
        return {}
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{file}: is not TOML: {error}")
        return {}
    if file.parent.name != "conf.d":
        return table
    own: dict[str, object] = {}
    for name, part in table.items():
        if name not in PROGRAMS or not isinstance(part, dict):
            tables = ", ".join(f"[{each}]" for each in PROGRAMS)
            problems.append(
                f"{file}: unknown table {name[:_SHOWN_CHARS]!r}; {nearest(name, PROGRAMS)} Files "
                f"here hold {tables}"
            )
        elif name == program:
            own = part
    return own


def _words(value: object, *, many: bool) -> Words | None:
    """The words that a TOML value stands for; None for one that is of no use here."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not many:
        return None
    if isinstance(value, dict):
        value = [f"{key}={each}" if isinstance(each, str) else None for key, each in value.items()]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None


def _checked(setting: Setting, place: str, words: Words, problems: list[str]) -> object:
    listed = [words] if isinstance(words, str) else list(words)
    values = list(_values(setting, place, listed, problems))
    return tuple(values) if setting.many else (values[-1] if values else None)


def _values(
    setting: Setting, place: str, words: Sequence[str], problems: list[str]
) -> Iterator[object]:
    for word in words:
        try:
            yield setting.check(word)
        except ValueError as error:
            problems.append(f"{place}: {error}")


def a_file(word: str) -> Path:
    """The path of a file, absolute. Raises ValueError for a folder."""
    path = Path(os.path.expanduser(word)).absolute()
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder")
    return path


def a_folder(word: str) -> Path:
    """The path of a folder that may be yet to be made, absolute. Raises ValueError for a file."""
    path = Path(os.path.expanduser(word)).absolute()
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"{path} is a file")
    return path


def a_choice(*known: str) -> Callable[[str], str]:
    """One of these words."""

    def check(word: str) -> str:
        if word not in known:
            raise ValueError(f"{word[:_SHOWN_CHARS]!r} is not known; {nearest(word, known)}")
        return word

    return check


def a_number(low: int, high: int) -> Callable[[str], int]:
    """A whole number within these bounds."""

    def check(word: str) -> int:
        if not (word.isascii() and word.isdecimal() and low <= int(word[:19]) <= high):
            raise ValueError(f"{word[:_SHOWN_CHARS]!r} is no number from {low} to {high}")
        return int(word)

    return check
