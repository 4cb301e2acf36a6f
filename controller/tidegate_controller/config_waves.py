"""The keys of an environment that say how a strategy goes on. Called by `config_keys`.

Each belongs to one strategy or more; those of another are an error.
"""

import itertools
from collections.abc import Mapping
from typing import get_args, get_type_hints

from tidegate_controller.config_checks import (
    At,
    Check,
    Key,
    boolean,
    choice,
    nodes,
    string,
)
from tidegate_controller.config_shares import SHARE, share
from tidegate_controller.core.spec import Waves
from tidegate_controller.core.types import SLOTS
from tidegate_protos.rules import LABEL

ALL = "100%"


def clashing(at: At) -> None:
    """Say of an environment's table which keys do not go together."""
    if not isinstance(at.value, dict):
        return
    strategy = at.value.get("strategy", "blue-green")
    for key in (key for key in at.value if isinstance(strategy, str) and key in WAVES):
        owners = [owner for owner, keys in STRATEGY_KEYS.items() if key in keys]
        if strategy in STRATEGY_KEYS and strategy not in owners:
            at.inner(key).clashes(f"belongs to {' and '.join(owners)}; this strategy is {strategy}")
    if strategy == "rolling":
        _contradicting(at)


def _contradicting(at: At) -> None:
    """Shares that leave less than `min_in_service`, however many nodes there are."""
    assert isinstance(at.value, dict)
    most, least = (str(at.value.get(key, "")) for key in ("max_parallel", "min_in_service"))
    if not (SHARE.fullmatch(most) and SHARE.fullmatch(least)):
        return
    if most.endswith("%") and least.endswith("%") and _number(most) + _number(least) > 100:
        at.inner("min_in_service").clashes(
            f"{least} cannot be kept while {most} are treated at once (max_parallel): together "
            "they must be 100% at most"
        )


def _number(share: str) -> int:
    return int(share.rstrip("%"))


def grouped(environment: Mapping[str, object]) -> dict[str, object]:
    """What `table` made of an environment, with the fields of `Waves` as such."""
    own = set(Waves.__struct_fields__)
    waves = {field: value for field, value in environment.items() if field in own}
    return {k: v for k, v in environment.items() if k not in own} | {"waves": waves}


# --- Single values -------------------------------------------------------------------------------


def _sizes(at: At) -> object:
    example = '["1", "10%", "50%", "100%"]'
    if not isinstance(at.value, list) or not at.value:
        at.expected(f"an array such as {example}, not empty")
        return None
    problems = len(at.problems)
    one = share()
    sizes = [str(one(at.inner(index, item)) or "") for index, item in enumerate(at.value)]
    if len(at.problems) > problems:
        return sizes
    for index, (before, size) in enumerate(itertools.pairwise(sizes), 1):
        alike = before.endswith("%") == size.endswith("%")
        if alike and int(size.rstrip("%")) <= int(before.rstrip("%")):
            at.inner(index).wrong(
                f"each wave counts those before it, so it must be more than {before}; found {size}"
            )
        elif before.endswith("%") and not size.endswith("%"):
            at.inner(index).wrong(f"must be a share such as 50%, as {before} is before it")
    if sizes[-1] != ALL:
        at.wrong(f'must end with "{ALL}": else the release never comes to all; found {sizes[-1]}')
    return sizes


def _slots(at: At) -> object:
    example = '{ blue = { group = "blue" }, green = { group = "green" } }'
    if not isinstance(at.value, dict) or set(at.value) != set(SLOTS):
        at.expected(f"the labels of both groups, such as {example}")
        return None
    blue, green = (_labels(at.inner(slot, at.value[slot])) for slot in SLOTS)
    if isinstance(blue, dict) and isinstance(green, dict):
        both = blue.items() & green.items()
        if len(both) in (len(blue), len(green)):
            at.wrong("a node may be of one group only, and by these labels it can be of both")
    return at.value


def _label(at: At) -> object:
    text = string(at, 'the name of a label such as "zone"')
    if text is not None and not LABEL.fullmatch(text):
        at.expected('the name of a label such as "zone"')
    return text


def _labels(at: At) -> object:
    if not isinstance(at.value, dict) or not at.value:
        at.expected('labels such as { canary = "yes" }, not empty')
        return None
    return nodes(at)


# --- The schema ----------------------------------------------------------------------------------

WAVES = {
    "slots": Key(
        "slots",
        Check("a table of two tables of labels", _slots),
        'the nodes of either group, by labels: `{ blue = { group = "blue" }, green = { group = '
        '"green" } }`',
        absent="two slots on each node",
    ),
    "waves": Key(
        "sizes",
        Check("an array of numbers or shares", _sizes),
        "so many of all nodes have the release after each wave; a share is rounded down, to one "
        "node at least",
    ),
    "canary": Key(
        "canary",
        Check("a table of labels", _labels),
        "the nodes of the first wave: those with all of these labels",
        absent="as many as `waves` says",
    ),
    "max_parallel": Key(
        "max_parallel",
        share(),
        "so many of all nodes are treated at once; a share is rounded down, to one node at least",
    ),
    "min_in_service": Key(
        "min_in_service",
        share(least=0, most=99),
        "so many nodes of each zone stay in service; a share is rounded up",
        absent="one node of all",
    ),
    "zone": Key(
        "zone",
        Check("a label's name", _label),
        "the label that says in which zone a node is; without it all are in one",
    ),
    "rehearse": Key(
        "rehearse",
        boolean,
        "after the first wave one of its nodes goes back to the old release, and to the new one "
        "again; an undo in place begins with one node",
    ),
    "promote": Key(
        "promote",
        choice(get_args(get_type_hints(Waves)["promote"])),
        '`"auto"`: the next wave comes when this one has passed; `"manual"`: when somebody says so',
    ),
}
STRATEGY_KEYS: Mapping[str, tuple[str, ...]] = {
    "blue-green": ("slots",),
    "canary": ("waves", "canary", "rehearse", "promote"),
    "rolling": ("max_parallel", "min_in_service", "zone", "rehearse", "promote"),
}
