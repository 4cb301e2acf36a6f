"""`[health]` of `tidegate.toml`: kinds of checks, their options, what is said of what is wrong."""

from pathlib import Path

import msgspec
import pytest
from config_samples import assert_said, cases, changed, problems, read

from tidegate_controller.config_health import HEALTH, KINDS, OPTIONS, PROBES, WAITS
from tidegate_controller.core.spec import (
    ExecProbe,
    GrpcProbe,
    Health,
    HttpProbe,
    Probe,
    Spec,
    Struct,
    TcpProbe,
    UnitProbe,
)

HTTP = 'http = "http://127.0.0.1:{port}/health"'
STRUCTS: dict[str, type[Struct]] = {
    "http": HttpProbe,
    "tcp": TcpProbe,
    "exec": ExecProbe,
    "grpc": GrpcProbe,
    "unit": UnitProbe,
}


def health(directory: Path, written: str) -> Health:
    return read(directory, changed(HTTP, written)).environment().settings.health


# --- What is right -------------------------------------------------------------------------------

RIGHT: dict[str, Probe] = {
    HTTP: HttpProbe(url="http://127.0.0.1:{port}/health"),
    """http = "https://localhost:{port}/"
status = [200, "300-399", "404"]
body = "version {version} is {{ok}}"
headers = { Host = "shop.example", X-Slot = "{slot}", X-Empty = "" }
ca_file = "/etc/ssl/{app}.pem" """: HttpProbe(
        url="https://localhost:{port}/",
        status=("200", "300-399", "404"),
        body="version {version} is {{ok}}",
        headers={"Host": "shop.example", "X-Slot": "{slot}", "X-Empty": ""},
        ca_file="/etc/ssl/{app}.pem",
    ),
    'http = "https://a:{port}/"\ninsecure = true': HttpProbe(
        url="https://a:{port}/", insecure=True
    ),
    'http = "http://a:{port}/"\ninsecure = false': HttpProbe(url="http://a:{port}/"),
    'tcp = "127.0.0.1:{port}"': TcpProbe(address="127.0.0.1:{port}"),
    'tcp = "[::1]:{port}"': TcpProbe(address="[::1]:{port}"),
    'tcp = "{slot}.{node}:80"': TcpProbe(address="{slot}.{node}:80"),
    'exec = ["./check", "{port}", ""]': ExecProbe(command=("./check", "{port}", "")),
    'grpc = "localhost:{port}"': GrpcProbe(address="localhost:{port}"),
    """grpc = "localhost:{port}"
grpc_service = "shop.Cart"
tls = true
ca_file = "/etc/ca.pem" """: GrpcProbe(
        address="localhost:{port}", service="shop.Cart", tls=True, ca_file="/etc/ca.pem"
    ),
    "unit = true": UnitProbe(),
}


@pytest.mark.parametrize("written", RIGHT)
def test_each_kind_of_check_becomes_its_probe(tmp_path: Path, written: str) -> None:
    assert health(tmp_path, written) == Health(probe=RIGHT[written])


def test_how_often_and_how_long_goes_with_every_kind(tmp_path: Path) -> None:
    waits = """every = "1s"
timeout = "3s"
failures = 4
start_grace = "10s"
healthy_after = "5s"
deadline = "16s"
"""
    assert health(tmp_path, f"unit = true\n{waits}") == Health(
        probe=UnitProbe(),
        every_seconds=1.0,
        timeout_seconds=3.0,
        failures=4,
        start_grace_seconds=10.0,
        healthy_after_seconds=5.0,
        deadline_seconds=16.0,
    )


@pytest.mark.parametrize("written", RIGHT)
def test_a_check_survives_the_way_through_the_log(tmp_path: Path, written: str) -> None:
    spec = read(tmp_path, changed(HTTP, written)).environment()
    assert msgspec.json.decode(msgspec.json.encode(spec), type=Spec) == spec


@pytest.mark.parametrize("kind", STRUCTS)
def test_the_keys_of_a_kind_fill_the_fields_of_its_probe(kind: str) -> None:
    struct = STRUCTS[kind]
    assert struct.__struct_config__.tag == kind
    assert set(PROBES[kind].values()) == set(struct.__struct_fields__)
    needed = {field.name for field in msgspec.structs.fields(struct) if field.required}
    assert {PROBES[kind][kind]} if kind != "unit" else set() == needed


def test_the_keys_are_those_of_the_probes_and_of_what_goes_with_every_kind() -> None:
    assert set(STRUCTS) == set(KINDS) == set(PROBES)
    of_probes = {key for keys in PROBES.values() for key in keys} | {"unit"}
    assert set(KINDS) | set(OPTIONS) == of_probes
    assert {key.field for key in WAITS.values()} | {"probe"} == set(Health.__struct_fields__)
    assert list(HEALTH) == [*KINDS, *OPTIONS, *WAITS]


# --- Which kind ----------------------------------------------------------------------------------


def test_a_file_without_a_check_says_which_there_are(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, changed(HTTP, 'every = "1s"'))
    assert said == (
        "9: [health]: does not say how to ask; give one of http, tcp, exec, grpc, unit, "
        'for example http = "http://127.0.0.1:{port}/health"'
    )


def test_of_several_checks_all_but_the_first_are_named(tmp_path: Path) -> None:
    written = f'unit = true\n{HTTP}\ntcp = "127.0.0.1:{{port}}"'
    assert problems(tmp_path, changed(HTTP, written)) == [
        "10: [health] unit: a second check beside http; give one of http, tcp, exec, grpc, unit",
        "12: [health] tcp: a second check beside http; give one of http, tcp, exec, grpc, unit",
    ]


FOREIGN = """
tcp = "a:{port}"↵status = [200]    => 11: status: belongs to http; this check is tcp
unit = true↵body = "ok"            => 11: body: belongs to http; this check is unit
exec = ["a"]↵headers = {}          => 11: headers: belongs to http; this check is exec
grpc = "a:{port}"↵insecure = true  => 11: insecure: belongs to http; this check is grpc
http = "http://a:{port}/"↵tls = true => 11: tls: belongs to grpc; this check is http
http = "http://a:{port}/"↵grpc_service = "a" => 11: grpc_service: belongs to grpc; this check is h…
tcp = "a:{port}"↵ca_file = "/a"    => 11: ca_file: belongs to http and grpc; this check is tcp
http = "http://a:{port}/"↵ca_file = "/a"  => 11: ca_file: is for https:// only
http = "http://a:{port}/"↵insecure = true => 11: insecure: is for https:// only
grpc = "a:{port}"↵ca_file = "/a"   => 11: ca_file: is for tls = true only
grpc = "a:{port}"↵tls = false↵ca_file = "/a" => 12: ca_file: is for tls = true only
http = "https://a:{port}/"↵insecure = true↵ca_file = "/a" => 12: ca_file: has no use beside insecu…
"""


@pytest.mark.parametrize(("written", "expected"), cases(FOREIGN))
def test_an_option_without_a_use_says_where_it_belongs(
    tmp_path: Path, written: str, expected: str
) -> None:
    (said,) = problems(tmp_path, changed(HTTP, written))
    assert_said(said.replace(" [health]", ""), expected)


# --- Addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "127.0.0.1:80/x",
        "ftp://a/",
        "HTTP://a/",
        "http://",
        "http:///x",
        "http://a:0/",
        "http://a b/",
        "http://a:99999/",
        "http://a:port/",
        "http://[::1/",
        "http://{port",
        "http://a:{prt}/",
        "http://a\\t/",
        "http://ä:{port}/",
        "file:///etc",
    ],
)
def test_the_health_url_must_be_one(tmp_path: Path, bad: str) -> None:
    (said,) = problems(tmp_path, changed("http://127.0.0.1:{port}/health", bad))
    assert_said(said, "10: [health] http: …")


def test_the_health_url_holds_no_password_and_none_is_repeated(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, changed("http://127.0.0.1", "http://me:hunter2@127.0.0.1"))
    assert said == (
        "10: [health] http: must hold no user name and no password: it is stored in the event log"
    )


@pytest.mark.parametrize(
    "good", ["http://[::1]:{port}/", "https://{node}:{port}/{{}}", "http://a?x={slot}"]
)
def test_a_health_url_may_hold_placeholders_anywhere(tmp_path: Path, good: str) -> None:
    assert health(tmp_path, f'http = "{good}"').probe == HttpProbe(url=good)


@pytest.mark.parametrize("kind", ["tcp", "grpc"])
@pytest.mark.parametrize(
    "bad",
    ["", "{port}", ":{port}", "a b:{port}", "a:{port}/x", "http://a:{port}", "a:0", "a:{slot}x"],
)
def test_an_address_must_be_one(tmp_path: Path, kind: str, bad: str) -> None:
    (said,) = problems(tmp_path, changed(HTTP, f'{kind} = "{bad}"'))
    assert_said(said, f'10: [health] {kind}: must be "HOST:PORT" such as "127.0.0.1:{{port}}"; …')


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        ('http = "http://127.0.0.1:8080/health"', 'http = "http://127.0.0.1:{port}/health"'),
        ('http = "http://127.0.0.1/?a=b"', 'http = "http://127.0.0.1:{port}/?a=b"'),
        ('http = "https://[::1]:8080"', 'http = "https://[::1]:{port}"'),
        ('http = "http://{node}/{{port}}"', 'http = "http://{node}:{port}/{{port}}"'),
        ('tcp = "127.0.0.1:8080"', 'tcp = "127.0.0.1:{port}"'),
        ('grpc = "[::1]:8080"', 'grpc = "[::1]:{port}"'),
    ],
)
def test_an_address_that_is_the_same_for_both_slots_is_refused_with_its_mend(
    tmp_path: Path, written: str, mended: str
) -> None:
    (said,) = problems(tmp_path, changed(HTTP, written))
    key = written.partition(" ")[0]
    assert said == (
        f"10: [health] {key}: names neither {{port}} nor {{slot}}, so it would ask the other slot, "
        f"or the balancer, as well; write {mended}"
    )
    assert health(tmp_path, mended)


# --- Options and waits ---------------------------------------------------------------------------

WRONG = r"""
status = []           => status: must be an array of statuses such as [200, "300-399"], not empty; …
status = 200          => status: must be an array of statuses such as [200, "300-399"], not empty; …
status = ["2xx"]      => status[0]: must be a status such as 200, or a range such as "200-299", fr…
status = [200, 99]    => status[1]: must be a status such as 200, or a range such as "200-299", fr…
status = [600]        => status[0]: must be a status such as 200, or a range such as "200-299", fr…
status = ["299-200"]  => status[0]: must be a status such as 200, or a range such as "200-299", fr…
status = [true]       => status[0]: must be a status such as 200, or a range such as "200-299", fr…
status = [200.0]      => status[0]: must be a status such as 200, or a range such as "200-299", fr…
body = ""             => body: must be a string such as "ok"; found an empty string
body = 1              => body: must be a string such as "ok"; found the number 1
body = '{"ok":true}'  => body: unknown placeholder {"ok":true}; known: {port} {slot} {app} {enviro…
headers = []          => headers: must be a table of strings such as { Host = "shop.example" }; fo…
headers.X = 1         => headers.X: must be a string such as "shop.example"; found the number 1
headers."a b" = "1"   => headers."a b": must be a header's name: letters, digits and - are usual,…
headers."" = "1"      => headers."": must be a header's name: letters, digits and - are usual, no…
headers.X = "a\nb"    => headers.X: must not hold control characters; found U+000A
headers.X = "é"       => headers.X: must be ASCII, as headers are; found the string "é"
headers.Connection = "close" => headers.Connection: is set by Tidegate itself
headers = { X = "1", x = "2" } => headers.x: is given twice, apart from upper and lower case
insecure = true       => insecure: is for https:// only
failures = 0          => failures: must be a whole number from 1 to 100, such as 3; found the numb…
failures = 101        => failures: must be a whole number from 1 to 100, such as 3; found the numb…
every = '49ms'        => every: must be from 50ms to 30d; found the string "49ms"
every = 2             => every: must be a duration: whole numbers with units (d, h, m, s, ms), …
timeout = '0s'        => timeout: must be from 1ms to 30d; found the string "0s"
start_grace = '31d'   => start_grace: must be from 0s to 30d; found the string "31d"
deadline = '31d'      => deadline: must be from 100ms to 30d; found the string "31d"
deadline = '5s'       => deadline: healthy_after (5s) must be shorter than deadline (5s)
healthy_after = '5m'  => healthy_after: healthy_after (5m) must be shorter than deadline (5m)
deadline = '4s'↵healthy_after = '1h' => healthy_after: healthy_after (1h) must be shorter than dead…
start_grace = '5m'    => start_grace: start_grace (5m) and healthy_after (5s) together must be sho…
deadline = '10s'↵start_grace = '5s' => start_grace: start_grace (5s) and healthy_after (5s) togethe…
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG))
def test_a_wrong_health_check_is_refused(tmp_path: Path, written: str, expected: str) -> None:
    (said,) = problems(tmp_path, changed("[health]", f"[health]\n{written}"))
    assert_said(said.partition(" [health] ")[2], expected)


WRONG_KINDS = """
unit = false          => unit: must be true; leave it out where another check is meant; found false
unit = "shop.service" => unit: must be true; leave it out where another check is meant; found the s…
exec = "./check"      => exec: must be an array of strings such as ["./check", "--port", "{port}"]…
exec = [""]           => exec[0]: must be a string such as "{port}"; found an empty string
exec = ["a", "{x}"]   => exec[1]: unknown placeholder {x}; known: {port}…
tcp = 8001            => tcp: must be "HOST:PORT" such as "127.0.0.1:{port}"; found the number 8001
grpc = "a:{port}"↵grpc_service = "" => grpc_service: must be the name of a service such as "shop.Ca…
grpc = "a:{port}"↵tls = 1           => tls: must be true or false; found the number 1
grpc = "a:{port}"↵tls = true↵ca_file = "ca.pem" => ca_file: must be the path of a file on the node…
http = "https://a:{port}"↵insecure = "yes"      => insecure: must be true or false; found the stri…
http = "https://a:{port}"↵ca_file = ""          => ca_file: must be the path of a file on the node…
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG_KINDS))
def test_a_kind_with_a_wrong_value_is_refused(tmp_path: Path, written: str, expected: str) -> None:
    (said,) = problems(tmp_path, changed(HTTP, written))
    assert_said(said.partition(" [health] ")[2], expected)


def test_what_is_wrong_in_several_places_is_said_at_once(tmp_path: Path) -> None:
    written = 'http = "http://a:1/"\nstatus = ["2xx"]\ntls = true\nevry = "1s"\nevery = "1"'
    said = [
        line.partition(": ")[2].partition(":")[0]
        for line in problems(tmp_path, changed(HTTP, written))
    ]
    assert said == [f"[health] {key}" for key in ("http", "status[0]", "tls", "evry", "every")]


def test_a_health_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, "health = 1\n" + changed(f"[health]\n{HTTP}", ""))
    assert_said(said, "1: [health]: must be a table with the keys http, tcp, exec, grpc, unit, …")
