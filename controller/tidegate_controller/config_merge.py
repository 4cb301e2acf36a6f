"""What counts for one environment of a `tidegate.toml`: its own tables over those for all.

Tables are merged key by key; arrays and single values replace what stood there. Another service
manager, kind of health check or adapter replaces the former with its options. Called by `config`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate_controller.config_health import without_other_kind
from tidegate_controller.config_keys import SECTIONS
from tidegate_controller.config_service import without_other_manager
from tidegate_controller.config_traffic import without_other_adapter
from tidegate_controller.toml_lines import KeyPath

KINDS = {
    "service": without_other_manager,
    "health": without_other_kind,
    "traffic": without_other_adapter,
}


@dataclass
class Merged:
    """The sections as they count. `origins`: where in the file a part of them stands that does not
    stand where the path says, such as in a table for all."""

    sections: dict[str, object] = field(default_factory=dict)
    origins: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> KeyPath:
        """Where in the file stands what stands at `path` in the sections."""
        for length in range(len(path), 0, -1):
            if (found := self.origins.get(path[:length])) is not None:
                return found + path[length:]
        return path


def merged(document: Mapping[str, object], environment: str | None = None) -> Merged:
    """The sections for the environment; without one those for all."""
    result = Merged({name: document[name] for name in SECTIONS if name in document})
    environments = document.get("environments")
    if environment is None or not isinstance(environments, dict):
        return result
    own = environments[environment]
    for name in SECTIONS:
        if name in own:
            place: KeyPath = ("environments", environment, name)
            base = result.sections.get(name)
            if name in KINDS and isinstance(base, dict) and isinstance(own[name], dict):
                base = KINDS[name](base, own[name])
            result.sections[name] = _over(base, own[name], (name,), place, result.origins)
    return result


def _over(
    base: object, own: object, path: KeyPath, place: KeyPath, origins: dict[KeyPath, KeyPath]
) -> object:
    """`own`, which stands at `place`, over `base`, which stands at `path`."""
    if not isinstance(own, dict) or not isinstance(base, dict):
        origins[path] = place
        return own
    result = dict(base)
    for key, value in own.items():
        result[key] = _over(base.get(key), value, (*path, key), (*place, key), origins)
    return result
