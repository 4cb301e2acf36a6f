"""The reference page of `tidegate.toml`, made of the schema: docs/reference/configuration.md.

`make reference` writes it, `tests/unit/test_config_reference.py` sees that it is current.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import msgspec

from tidegate_controller.config_checks import Key, Keys
from tidegate_controller.config_freeze import FREEZE
from tidegate_controller.config_gates import CHECK
from tidegate_controller.config_health import HEALTH, PROBES, WAITS
from tidegate_controller.config_keys import (
    ARTIFACT,
    ENVIRONMENT,
    FAILURES,
    FRAME,
    HOOKS,
    RETENTION,
    ROLLOUT,
    SECTIONS,
)
from tidegate_controller.config_service import SERVICE
from tidegate_controller.config_traffic import ADAPTERS, NEEDED, TRAFFIC
from tidegate_controller.config_waves import STRATEGY_KEYS, WAVES
from tidegate_controller.core.spec import (
    Check,
    Freeze,
    Health,
    Hooks,
    Keep,
    Pace,
    Policy,
    Probe,
    Service,
    Settings,
    Spec,
    Struct,
    Traffic,
    Waves,
)
from tidegate_controller.units import spell_duration
from tidegate_protos.rules import PLACEHOLDERS

HEAD = f"""\
<!-- `make reference` writes this page; what is changed here by hand is lost. -->

# tidegate.toml

The file lies beside the app. `tidegate init` writes a first one;
[examples/hello/tidegate.toml](../../examples/hello/tidegate.toml) is a commented one.
`tidegate config check` says all that is wrong with it, or prints what counts for each environment,
defaults included. A key that is not known is an error.

Durations are strings of whole numbers with units, largest first: `"250ms"`, `"10s"`, `"1h30m"`;
the units are `d`, `h`, `m`, `s` and `ms`.

In `command` and `environment` of `[service]`, and in all texts of `[health]`, these words are
filled in on the node, for each slot anew:
{" ".join(f"`{{{word}}}`" for word in PLACEHOLDERS)}. A brace itself is written twice.
"""
ENVIRONMENTS = """\
Any of the tables below may be said otherwise for one environment. Tables are merged key by key;
arrays and single values replace what is said for all. Another service manager, kind of health check
or adapter replaces the former with its options.

```toml
[environments.staging]
nodes = ["staging-1"]

[environments.staging.service]
environment = { LOG_LEVEL = "debug" }   # beside the other variables

[environments.staging.rollout]
soak = "1s"
```
"""
ADAPTER_MEANINGS = {
    "caddy": """\
Caddy on the controller's machine, through small files that it reads anew for every request.
`tidegate traffic caddyfile` prints its configuration.""",
    "exec": """\
A program of your own, for a balancer that Tidegate does not know: [what it is asked, and has to
answer](traffic-exec.md).""",
    "none": """\
A person moves the traffic. The rollout says what is to be done and waits until somebody answers
with `tidegate rollout continue`, `retry` or `abort`; or it goes on at once.""",
}
COLUMNS = "| key | value | default | meaning |\n|---|---|---|---|\n"


def reference() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *_sections()])


def rows(keys: Keys, struct: type[Struct], needed: Iterable[str] = ()) -> list[tuple[str, ...]]:
    """Name, value, default and meaning of each key; `needed` beside those that always are."""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    return [
        (
            name,
            key.check.form,
            "required" if name in needed else _default(key, fields.get(key.field)),
            key.meaning,
        )
        for name, key in keys.items()
    ]


def probe_rows() -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each kind of health check with the rows of its keys."""
    structs = {struct.__struct_config__.tag: struct for struct in get_args(Probe)}
    for kind, fields in PROBES.items():
        own = {kind: kind, **fields}
        keys = {name: HEALTH[name]._replace(field=field) for name, field in own.items()}
        yield kind, rows(keys, structs[kind], [kind])


def adapter_rows() -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each adapter with the rows of its keys."""
    for adapter, names in ADAPTERS.items():
        yield adapter, rows({name: TRAFFIC[name] for name in names}, Traffic, NEEDED)


def strategy_rows() -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each strategy with the rows of its keys; often none."""
    for strategy, names in STRATEGY_KEYS.items():
        yield strategy, rows({name: WAVES[name] for name in names}, Waves)


def section_rows() -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each section of one kind with the rows of its keys."""
    keys: Mapping[str, tuple[Keys, type[Struct]]] = {
        "service": (SERVICE, Service),
        "hooks": (HOOKS, Hooks),
        "rollout": (ROLLOUT, Pace),
        "failures": (FAILURES, Policy),
        "checks": (CHECK, Check),
        "retention": (RETENTION, Keep),
        "artifact": (ARTIFACT, Settings),
    }
    for section, (own, struct) in keys.items():
        yield section, rows(own, struct)


def _sections() -> Iterator[str]:
    yield _table(rows({"app": FRAME["app"]}, Spec))
    yield f"## `[environments.NAME]`\n\n{FRAME['environments'].meaning}\n"
    yield _table(rows({k: key for k, key in ENVIRONMENT.items() if k not in WAVES}, Spec))
    yield f"### Each `[[environments.NAME.freeze]]`\n\n{_table(rows(FREEZE, Freeze))}"
    for strategy, found in strategy_rows():
        if found:
            yield f"### With the strategy `{strategy}`\n\n{_table(found)}"
    yield ENVIRONMENTS
    small = dict(section_rows())
    for section, key in SECTIONS.items():
        yield f"## `[{section}]`\n\n{key.meaning}\n"
        if section == "health":
            for kind, found in probe_rows():
                yield f"### With `{kind}`\n\n{_table(found)}"
            yield f"### With every kind\n\n{_table(rows(WAITS, Health))}"
        elif section == "traffic":
            yield _table(rows({"adapter": TRAFFIC["adapter"]}, Traffic))
            for adapter, found in adapter_rows():
                meaning = ADAPTER_MEANINGS[adapter]
                yield f"### With `{adapter}`\n\n{meaning}\n\n{_table(found)}"
        else:
            yield _table(small[section])


def _table(found: list[tuple[str, ...]]) -> str:
    lines = [f"| `{name}` | {' | '.join(cells)} |" for name, *cells in found]
    return COLUMNS + "\n".join(lines) + "\n"


def _default(key: Key, field: Any) -> str:
    """Of a field of a msgspec struct, as the file would have it."""
    if key.absent:
        return key.absent
    if field is None or field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    if field.name.endswith("_seconds"):
        value = spell_duration(value)
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    print(reference(), end="")
