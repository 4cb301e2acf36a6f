"""`tidegate.toml`, key by key: what each refuses, and what it says then."""

from pathlib import Path

import pytest
from config_samples import SMALLEST, assert_said, cases, changed, problems, read
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate_controller.config_checks import PLACEHOLDERS, At, template
from tidegate_controller.config_health import HEALTH
from tidegate_controller.config_keys import HOOKS, RETENTION, ROLLOUT
from tidegate_controller.config_service import SERVICE
from tidegate_controller.config_traffic import TRAFFIC
from tidegate_protos.rules import render

NODES = '{ role = "web" }'
COMMAND = '["./serve", "--port", "{port}"]'


# --- Names, types, environments ------------------------------------------------------------------

BAD_NAMES = ["", "A", "-a", ".a", "../../x", "a/b", "a b", "ä", "a" * 64, "a#", "a+", "a*"]
BAD_NAMES += ["a\\n", "a\\u0000", "\\u001b[31m", "{app}", "a\\u202e"]


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_names_match_one_strict_pattern(tmp_path: Path, bad: str) -> None:
    (said,) = problems(tmp_path, changed('"shop"', f'"{bad}"'))
    assert_said(said, "1: app: must …")
    assert said.isprintable()
    (said,) = problems(tmp_path, changed(NODES, f'[\n"web-1",\n"{bad}"]'))
    assert_said(said, "6: [environments.production] nodes[1]: must …")
    assert said.isprintable()
    (said,) = problems(tmp_path, changed("environments.production", f'environments."{bad}"'))
    assert_said(said, "3: [environments.…")
    assert said.isprintable()


@pytest.mark.parametrize("good", ["0", "a" * 63, "a.b_c-9", "web-1.example"])
def test_names_that_match_are_taken(tmp_path: Path, good: str) -> None:
    assert read(tmp_path, changed('"shop"', f'"{good}"')).app == good


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1", "the number 1"),
        ("1.5", "the number 1.5"),
        ("nan", "the number nan"),
        ("0x" + "f" * 5000, "a huge number"),
        ("true", "true"),
        ("[]", "an empty array"),
        ("['a']", "an array"),
        ("{}", "an empty table"),
        ("{ a = 1 }", "a table"),
        ("''", "an empty string"),
        ("'A'", 'the string "A"'),
        ("'\u202e'", 'the string "\\u202e"'),
        (f"'{'A' * 500}'", f'the string "{"A" * 59}…'),
        ("2026-11-24", "the date or time 2026-11-24"),
        ("2026-11-24 10:00:00Z", "the date or time 2026-11-24 10:00:00+00:00"),
    ],
    ids=lambda value: value[:30],
)
def test_a_wrong_type_says_what_was_found(tmp_path: Path, value: str, found: str) -> None:
    (said,) = problems(tmp_path, changed('"shop"', value))
    assert_said(said, "1: app: must be a name (…")
    assert said.endswith(f"; found {found}")


WRONG_NODES = """
"web"          => nodes: must be labels such as { role = "web" } or node names such as ["web-1", …
{}             => nodes: must be labels such as { role = "web" } or node names such as ["web-1", …
[]             => nodes: must be labels such as { role = "web" } or node names such as ["web-1", …
{ role = 1 }   => nodes.role: must be a label such as role = "web", both sides 1 to 63 of A-Z, a-…
{ role = '' }  => nodes.role: must be a label such as role = "web", both sides 1 to 63 of A-Z, a-…
{ role = '*' } => nodes.role: must be a label such as role = "web", both sides 1 to 63 of A-Z, a-…
{ '' = 'a' }   => nodes."": must be a label such as role = "web", both sides 1 to 63 of A-Z, a-z,…
{ 'a=b' = 'c' } => nodes."a=b": must be a label such as role = "web", both sides 1 to 63 of A-Z, …
{ a = "\\t" }  => nodes.a: must not hold control characters; found U+0009
["a", 1]       => nodes[1]: must be a name (1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with…
["a", "b", "a"] => nodes[2]: "a" is listed twice
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG_NODES))
def test_wrong_nodes_are_refused(tmp_path: Path, written: str, expected: str) -> None:
    (said,) = problems(tmp_path, changed(NODES, written))
    assert_said(said, f"4: [environments.production] {expected}")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            NODES,
            f'{NODES}\nstrategy = "shadow"',
            "5: [environments.production] strategy: not yet: this version knows: blue-green, …",
        ),
        (
            "[environments.production]\nnodes",
            "environments",
            "3: [environments.role]: must be a table with the keys nodes, strategy, approval, …",
        ),
        (
            "[environments.production]\nnodes = { ",
            "[environments]\nx = { ",
            "4: [environments.x] role: unknown key; known here: nodes, strategy, approval, …",
        ),
        ("[environments.production]\n", "[[environments.production]]\n", "3: [environments.prod…"),
        (f"[environments.production]\nnodes = {NODES}", "environments = 1", "3: [environments]:…"),
        (
            f"[environments.production]\nnodes = {NODES}",
            "[environments]",
            "3: [environments]: must be at least one table such as [environments.production]; "
            "found an empty table",
        ),
    ],
)
def test_wrong_environments_are_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    said, *_ = problems(tmp_path, changed(old, new))
    assert_said(said, expected)


# --- Service -------------------------------------------------------------------------------------

WRONG_SERVICE = r"""
manager = 'docker'      => 7: manager: not yet: this version knows: process, systemd; found the st…
manager = 1             => 7: manager: not yet: this version knows: process, systemd; found the nu…
manager = []            => 7: manager: not yet: this version knows: process, systemd; found an emp…
user = ''               => 7: user: must be the name of a user on the nodes such as "www-data"; fo…
user = 'a b'            => 7: user: must be the name of a user on the nodes such as "www-data"; fo…
user = '-a'             => 7: user: must be the name of a user on the nodes such as "www-data"; fo…
user = 'a:b'            => 7: user: must be the name of a user on the nodes such as "www-data"; fo…
user = 'a/b'            => 7: user: must be the name of a user on the nodes such as "www-data"; fo…
user = "a\u0000"        => 7: user: must not hold control characters; found U+0000
user = 0                => 7: user: must be the name of a user on the nodes such as "www-data"; fo…
environment_file = 'a'  => 7: environment_file: must be the path of a file on the node, in full, s…
environment_file = ''   => 7: environment_file: must be the path of a file on the node, in full, s…
environment_file = '~/a' => 7: environment_file: must be the path of a file on the node, in full, …
environment_file = []   => 7: environment_file: must be the path of a file on the node, in full, s…
environment = []        => 7: environment: must be a table of strings such as { LOG_LEVEL = "info"…
environment.A = 1       => 7: environment.A: must be a string such as "info"; found the number 1
environment.'A=B' = 'x' => 7: environment."A=B": must be a variable's name: letters, digits, '_', …
environment.1A = 'x'    => 7: environment.1A: must be a variable's name: letters, digits, '_', …
environment.'' = 'x'    => 7: environment."": must be a variable's name: letters, digits, '_', …
environment.PORT = '5' => 7: environment.PORT: is set by Tidegate itself; which port it is: …
environment.TIDEGATE_SLOT = 'x' => 7: environment.TIDEGATE_SLOT: names that begin with TIDEGATE_ …
environment.A = "a\nb"  => 7: environment.A: must not hold control characters; found U+000A
environment.A = "\u009b" => 7: environment.A: must not hold control characters; found U+009B
ports = 8001            => 7: ports: must be a table with the keys blue, green; found the number 8…
ports = {}              => 7: ports.blue: missing; for example blue = 8001
ports = { blue = 1 }    => 7: ports.green: missing; for example green = 8002
ports = { bleu = 1, green = 2 } => 7: ports.bleu: unknown key; did you mean "blue"?
ports = { blue = 1, green = 2, red = 3 } => 7: ports.red: unknown key; known here: blue, green
ports = { blue = 0, green = 2 } => 7: ports.blue: must be a whole number from 1 to 65535, such as…
ports = { blue = 1, green = 65536 } => 7: ports.green: must be a whole number from 1 to 65535, …
ports = { blue = 1, green = true }  => 7: ports.green: must be a whole number from 1 to 65535, …
ports = { blue = 1, green = 1.0 }   => 7: ports.green: must be a whole number from 1 to 65535, …
ports = { blue = 1, green = '2' }   => 7: ports.green: must be a whole number from 1 to 65535, …
ports = { blue = 9, green = 9 }     => 7: ports: blue and green must be two different ports: …
↵ports.blue = 9↵ports.green = -9    => 9: ports.green: must be a whole number from 1 to 65535, …
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG_SERVICE))
def test_a_wrong_service_is_refused(tmp_path: Path, written: str, expected: str) -> None:
    said, *_ = problems(tmp_path, changed("[service]", f"[service]\n{written}"))
    assert_said(said.replace(" [service]", ""), expected)


WRONG_COMMANDS = r"""
"./serve"      => 7: command: must be an array of strings such as ["./serve", "--port", "{port}"]…
[]             => 7: command: must be an array of strings such as ["./serve", "--port", "{port}"]…
[""]           => 7: command[0]: must be a string such as "{port}"; found an empty string
['a', 1]       => 7: command[1]: must be a string such as "{port}"; found the number 1
[↵'a', # x↵↵['b']] => 10: command[1]: must be a string such as "{port}"; found an array
["a", "b\u0000"]   => 7: command[1]: must not hold control characters; found U+0000
["a\u007f"]    => 7: command[0]: must not hold control characters; found U+007F
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG_COMMANDS))
def test_a_wrong_command_is_refused(tmp_path: Path, written: str, expected: str) -> None:
    (said,) = problems(tmp_path, changed(COMMAND, written))
    assert_said(said.replace(" [service]", ""), expected)


# --- Hooks, retention, artifact ------------------------------------------------------------------

WRONG_SMALL_TABLES = """
hooks = true                     => [hooks]: must be a table with the keys install, install_timeou…
hooks.install = 1                => [hooks] install: must be true or false; found the number 1
hooks.install_timeout = "0s"     => [hooks] install_timeout: must be from 1s to 30d; found the str…
hooks.migrate = true             => [hooks] migrate: must be "once", "every-node" or "never"; foun…
hooks.migrate = "twice"          => [hooks] migrate: must be "once", "every-node" or "never"; foun…
hooks.migrate_timeout = 60       => [hooks] migrate_timeout: must be a duration: whole numbers wit…
failures.max_failed_nodes = -1   => [failures] max_failed_nodes: must be a number of nodes or a sh…
failures.max_failed_nodes = 1e4  => [failures] max_failed_nodes: must be a number of nodes or a sh…
failures.max_failed_nodes = "9 %" => [failures] max_failed_nodes: must be a number of nodes or a s…
failures.max_failed_nodes = "101%" => [failures] max_failed_nodes: must be at least 0 and at most …
failures.on_failure = "ignore"   => [failures] on_failure: must be "rollback", "pause" or "stop"; …
failures.of_at_least = 0         => [failures] of_at_least: must be a whole number from 1 to 10000…
checks = 1                       => [checks]: must be tables such as [checks.smoke] with http = "h…
checks.x = {}                    => [checks] x: needs one of http and command; for example http = …
checks.x = {http = "http://a/", command = ["b"]} => [checks] x: has both; needs one of http and co…
checks.x.http = "shop/"          => [checks] x.http: must be a URL such as https://shop.example/re…
checks.x.command = ["./smoke"]   => [checks] x.command[0]: must be a program's name, or its whole …
checks.x.command = []            => [checks] x.command: must be an array of strings such as ["/opt…
checks."Ä".http = "http://a/"    => [checks] "Ä": must be a name (1 to 63 of a-z, 0-9, '.', '_' an…
retention.releases = -1          => [retention] releases: must be a whole number from 0 to 1000, s…
retention.releases = 1001        => [retention] releases: must be a whole number from 0 to 1000, s…
retention.releases = nan         => [retention] releases: must be a whole number from 0 to 1000, s…
retention.releases = 1e999       => [retention] releases: must be a whole number from 0 to 1000, s…
retention.releases = "5"         => [retention] releases: must be a whole number from 0 to 1000, s…
retention.age = "5 parsecs"      => [retention] age: must be a duration: whole numbers with units …
retention.age = "0s"             => [retention] age: must be from 1m to 3650d; found the string "0…
retention.age = "9999d"          => [retention] age: must be from 1m to 3650d; found the string "9…
artifact.strip_components = -1   => [artifact] strip_components: must be a whole number from 0 to …
artifact.strip_components = 10   => [artifact] strip_components: must be a whole number from 0 to …
artifact.strip_components = true => [artifact] strip_components: must be a whole number from 0 to …
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG_SMALL_TABLES))
def test_a_wrong_hook_or_number_of_what_stays_is_refused(
    tmp_path: Path, written: str, expected: str
) -> None:
    (said,) = problems(tmp_path, f"{written}\n{SMALLEST}")
    assert_said(said, f"1: {expected}")


@pytest.mark.parametrize("bad", ['"yes"', "1", "[]"])
def test_an_environment_is_protected_or_not(tmp_path: Path, bad: str) -> None:
    (said,) = problems(tmp_path, changed(NODES, f"{NODES}\nprotected = {bad}"))
    assert_said(said, "5: [environments.production] protected: must be true or false; found …")


# --- Durations and placeholders ------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["5", "-1", "2.5", "nan", "1e999", '"5"', '"5 parsecs"', '""', "[]"]
)
def test_what_is_no_duration_is_told_the_form(tmp_path: Path, bad: str) -> None:
    (said,) = problems(tmp_path, f"{SMALLEST}[rollout]\nsoak = {bad}\n")
    assert_said(
        said, "16: [rollout] soak: must be a duration: whole numbers with units (d, h, m, …"
    )
    assert 'such as "250ms", "10s" or "1h30m"; found ' in said


KEYS = {
    "health": HEALTH,
    "hooks": HOOKS,
    "retention": RETENTION,
    "rollout": ROLLOUT,
    "service": SERVICE,
    "traffic": TRAFFIC,
}


@pytest.mark.parametrize("name", KEYS)
def test_every_duration_is_bounded(tmp_path: Path, name: str) -> None:
    text = SMALLEST if f"[{name}]" in SMALLEST else f"{SMALLEST}[{name}]\n"
    durations = [key for key, known in KEYS[name].items() if known.field.endswith("_seconds")]
    assert durations
    for key in durations:
        long = changed(f"[{name}]\n", f'[{name}]\n{key} = "{"9" * 12}d"\n', text)
        said, *_ = problems(tmp_path, long)
        assert f"[{name}] {key}: must be from " in said
        assert said.endswith(f'd; found the string "{"9" * 12}d"') or name == "traffic"


WRONG_PLACEHOLDERS = """
{prt}         => unknown placeholder {prt}; known: {port} {slot} {app} {environment} {version} {no…
{}            => unknown placeholder {}; known: {port}…
{0}           => unknown placeholder {0}; known: {port}…
{PORT}        => unknown placeholder {PORT}; known: {port}…
{port.__class__} => unknown placeholder {port.__class__}; known: {port}…
{port!r}      => unknown placeholder {port!r}; known: {port}…
{port:>99999999} => unknown placeholder {port:>99999999}; known: {port}…
{port[0]}     => unknown placeholder {port[0]}; known: {port}…
{ port }      => unknown placeholder { port }; known: {port}…
{port         => unbalanced {; write {{ for the character, or use {port}…
port}         => unbalanced }; write }} for the character, or use {port}…
{{{port}}     => unbalanced }; write }} for the character, or use {port}…
{'a':1}       => unknown placeholder {'a':1}; known: {port}…
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG_PLACEHOLDERS))
def test_a_wrong_placeholder_names_the_known_ones_wherever_it_stands(
    tmp_path: Path, written: str, expected: str
) -> None:
    for label, wrong in {
        "7: [service] command[2]": changed('"{port}"]', f'"{written}"]'),
        "7: [service] environment.A": changed(
            "[service]", f'[service]\nenvironment.A = "{written}"'
        ),
        "10: [health] http": changed("127.0.0.1:{port}/health", f"a/{written}"),
    }.items():
        said, *_ = problems(tmp_path, wrong)
        assert_said(said, f"{label}: {expected}")


@given(st.lists(st.sampled_from(["{", "}", "{port}", "{slot}", "x", "{nope}"])).map("".join))
@example("{{{port}}}")
@example("{{port}}")
def test_placeholders_balance_exactly_where_str_format_says_so(text: str) -> None:
    at = At(text, ("x",), [])
    template(at, may_be_empty=True)
    try:
        text.format(**dict.fromkeys(PLACEHOLDERS, ""))
    except (KeyError, ValueError, IndexError):
        assert at.problems
    else:
        assert not at.problems


@given(st.text("{}portxs ").filter(bool))
def test_the_agent_fills_in_whatever_the_configuration_lets_through(text: str) -> None:
    at = At(text, ("x",), [])
    template(at)
    values = {placeholder: f"<{placeholder}>" for placeholder in PLACEHOLDERS}
    if not at.problems:
        assert render(text, values) == text.format(**values)
