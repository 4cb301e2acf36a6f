"""A spec in the words of the file again.

With every default it is what `tidegate config check` shows; what is otherwise than in another, what
`--plan` does. The first is a whole `tidegate.toml`: read by `config`, it gives the same specs.
"""

import json
import re
from collections.abc import Iterable, Mapping

import msgspec

from tidegate_controller.config_checks import Keys
from tidegate_controller.config_freeze import FREEZE
from tidegate_controller.config_gates import CHECK
from tidegate_controller.config_health import PROBES, WAITS
from tidegate_controller.config_keys import (
    ARTIFACT,
    ENVIRONMENT,
    FAILURES,
    HOOKS,
    RETENTION,
    ROLLOUT,
)
from tidegate_controller.config_service import keys_of
from tidegate_controller.config_traffic import ADAPTERS, TRAFFIC
from tidegate_controller.config_waves import STRATEGY_KEYS, WAVES
from tidegate_controller.core.spec import Health, Settings, Spec, Struct, Waves
from tidegate_controller.units import spell_duration

NOT_GIVEN = "not given"


class Duration(str):
    """One as people write it; between words it needs no quotes."""

    __slots__ = ()


def spelled(app: str, specs: Mapping[str, Spec]) -> str:
    """All environments of an app, each with everything that counts for it."""
    lines = [f"app = {toml(app)}"]
    for environment, spec in specs.items():
        place = f"environments.{bare(environment)}"
        lines += ["", f"[{place}]", *_lines(_environment(spec))]
        for section, found in _sections(spec):
            lines += ["", f"[{place}.{section}]", *found] if found else []
    return "\n".join(lines) + "\n"


def _environment(spec: Spec) -> dict[str, object]:
    whole = {name: key for name, key in ENVIRONMENT.items() if name not in WAVES}
    own = {name: WAVES[name] for name in STRATEGY_KEYS[spec.strategy]}
    of_waves = {n: key for n, key in own.items() if key.field in Waves.__struct_fields__}
    of_spec = {name: key for name, key in own.items() if name not in of_waves}
    freezes = [_given(freeze, FREEZE) for freeze in spec.freeze]
    given = _given(spec, whole) | {"freeze": freezes}
    return given | _given(spec, of_spec) | _given(spec.waves, of_waves)


def _sections(spec: Spec) -> Iterable[tuple[str, list[str]]]:
    settings = spec.settings
    yield "service", _lines(_given(settings.service, keys_of(settings.service.manager)))
    yield "health", _lines(_probe(settings.health) | _given(settings.health, WAITS))
    yield "hooks", _lines(_given(settings.hooks, HOOKS))
    yield "rollout", _lines(_given(spec.pace, ROLLOUT))
    yield "failures", _lines(_given(spec.policy, FAILURES))
    for name, check in spec.checks.items():
        keys = {k: key for k, key in CHECK.items() if check.http or k not in ("status", "body")}
        given = _given(check, keys)
        yield f"checks.{bare(name)}", _lines({k: v for k, v in given.items() if v != ()})
    yield "retention", _lines(_given(spec.keep, RETENTION))
    yield "artifact", _lines(_given(settings, ARTIFACT))
    own = ("adapter", *ADAPTERS[spec.traffic.adapter])
    traffic = msgspec.structs.replace(
        spec.traffic,  # what was filled in is not to be filled in again
        directory=_escaped(spec.traffic.directory),
        command=tuple(map(_escaped, spec.traffic.command)),
    )
    yield "traffic", _lines(_given(traffic, {key: TRAFFIC[key] for key in own}))


def differences(before: Settings, after: Settings) -> list[str]:
    """What is otherwise, a line a key, in the words of the file; of tables, each key by itself."""
    return _otherwise(_by_key(_of_settings(before)), _by_key(_of_settings(after)))


def differences_beside(before: Spec, after: Spec) -> list[str]:
    """The same of what no slot runs with: pace of a rollout, retention, traffic."""
    return _otherwise(_by_key(_beside_settings(before)), _by_key(_beside_settings(after)))


def _otherwise(was: Mapping[str, str], is_now: Mapping[str, str]) -> list[str]:
    return [
        f"{key}: {was.get(key, NOT_GIVEN)} -> {is_now.get(key, NOT_GIVEN)}"
        for key in dict.fromkeys((*was, *is_now))
        if was.get(key) != is_now.get(key)
    ]


def _of_settings(settings: Settings) -> dict[str, dict[str, object]]:
    return {
        "service": _given(settings.service, keys_of(settings.service.manager)),
        "health": _probe(settings.health) | _given(settings.health, WAITS),
        "hooks": _given(settings.hooks, HOOKS),
        "artifact": _given(settings, ARTIFACT),
    }


def _beside_settings(spec: Spec) -> dict[str, dict[str, object]]:
    own = ("adapter", *ADAPTERS[spec.traffic.adapter])
    return {
        "rollout": _given(spec.pace, ROLLOUT),
        "retention": _given(spec.keep, RETENTION),
        "traffic": _given(spec.traffic, {key: TRAFFIC[key] for key in own}),
    }


def _by_key(sections: Mapping[str, dict[str, object]]) -> dict[str, str]:
    """Every setting under its whole name, such as `service.environment.MODE`."""
    found: dict[str, str] = {}
    for section, values in sections.items():
        for name, value in values.items():
            table = value if isinstance(value, Mapping) else {"": value}
            found |= {
                ".".join([section, name, *([bare(key)] if key else [])]): (
                    each if isinstance(each, Duration) else toml(each)
                )
                for key, each in table.items()
            }
    return found


def _lines(values: Mapping[str, object]) -> list[str]:
    return [f"{name} = {toml(value)}" for name, value in values.items()]


def _given(struct: Struct, keys: Keys) -> dict[str, object]:
    """What is not given, and has no default either, is left out."""
    values = ((name, key.field, getattr(struct, key.field)) for name, key in keys.items())
    return {
        name: Duration(spell_duration(value)) if field.endswith("_seconds") else value
        for name, field, value in values
        if value is not None and value != ""
    }


def _probe(health: Health) -> dict[str, object]:
    kind = str(health.probe.__struct_config__.tag)
    if not PROBES[kind]:
        return {kind: True}
    values = ((key, getattr(health.probe, field)) for key, field in PROBES[kind].items())
    return {key: value for key, value in values if value != ""}


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{bare(key)} = {toml(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def bare(key: str) -> str:
    """A key as it may stand before `=` or in a table's head."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml(key)
