"""A spec as TOML again, with every default: what `tidegate config check` shows.

It is a whole `tidegate.toml`: read by `config`, it gives the same specs.
"""

import json
import re
from collections.abc import Iterable, Mapping

import msgspec

from tidegate_controller.config_checks import Keys
from tidegate_controller.config_health import PROBES, WAITS
from tidegate_controller.config_keys import (
    ARTIFACT,
    ENVIRONMENT,
    HOOKS,
    RETENTION,
    ROLLOUT,
)
from tidegate_controller.config_service import keys_of
from tidegate_controller.config_traffic import ADAPTERS, TRAFFIC
from tidegate_controller.core.spec import Health, Spec, Struct
from tidegate_controller.units import spell_duration


def spelled(app: str, specs: Mapping[str, Spec]) -> str:
    """All environments of an app, each with everything that counts for it."""
    lines = [f"app = {toml(app)}"]
    for environment, spec in specs.items():
        place = f"environments.{bare(environment)}"
        lines += ["", f"[{place}]", *_lines(spec, ENVIRONMENT)]
        for section, found in _sections(spec):
            lines += ["", f"[{place}.{section}]", *found] if found else []
    return "\n".join(lines) + "\n"


def _sections(spec: Spec) -> Iterable[tuple[str, list[str]]]:
    settings = spec.settings
    yield "service", _lines(settings.service, keys_of(settings.service.manager))
    yield "health", [*_probe(settings.health), *_lines(settings.health, WAITS)]
    yield "hooks", _lines(settings.hooks, HOOKS)
    yield "rollout", _lines(spec.pace, ROLLOUT)
    yield "retention", _lines(spec.keep, RETENTION)
    yield "artifact", _lines(settings, ARTIFACT)
    own = ("adapter", *ADAPTERS[spec.traffic.adapter])
    traffic = msgspec.structs.replace(
        spec.traffic,  # what was filled in is not to be filled in again
        directory=_escaped(spec.traffic.directory),
        command=tuple(map(_escaped, spec.traffic.command)),
    )
    yield "traffic", _lines(traffic, {key: TRAFFIC[key] for key in own})


def _lines(struct: Struct, keys: Keys) -> list[str]:
    """What is not given, and has no default either, is left out."""
    values = ((name, key.field, getattr(struct, key.field)) for name, key in keys.items())
    return [
        f"{name} = {toml(spell_duration(value) if field.endswith('_seconds') else value)}"
        for name, field, value in values
        if value is not None and value != ""
    ]


def _probe(health: Health) -> list[str]:
    kind = str(health.probe.__struct_config__.tag)
    if not PROBES[kind]:
        return [f"{kind} = true"]
    values = ((key, getattr(health.probe, field)) for key, field in PROBES[kind].items())
    return [f"{key} = {toml(value)}" for key, value in values if value != ""]


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
