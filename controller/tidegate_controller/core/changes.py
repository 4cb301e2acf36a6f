"""Copies of immutable values with something otherwise."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from tidegate_controller.core import types as t

REQUESTS_KEPT = 20  # whose repetition is recognised
RELEASES_KEPT = 20  # releases that a stream remembers, of the committed and of the undone

K = TypeVar("K")
V = TypeVar("V")
replace = msgspec.structs.replace


def put(mapping: Mapping[K, V], key: K, value: V) -> dict[K, V]:
    return {**mapping, key: value}


def without(mapping: Mapping[K, V], *keys: K) -> dict[K, V]:
    left_out = set(keys)
    return {key: value for key, value in mapping.items() if key not in left_out}


def remembered(state: t.State, request_id: str, rollout: str) -> Mapping[str, str]:
    """`State.requests` with one more: the last so many are recognised when they are repeated.
    `request_id`: empty where nobody has asked for it."""
    if not request_id:
        return state.requests
    known = {**state.requests, request_id: rollout}
    return dict(list(known.items())[-REQUESTS_KEPT:])


def in_rollout(state: t.State, **changes: object) -> t.State:
    """The state with its rollout changed; as it is where there is none."""
    if state.rollout is None:
        return state
    return replace(state, rollout=replace(state.rollout, **changes))


def forget_health(state: t.State, keep: Callable[[str], bool]) -> t.State:
    """Nodes that cannot be asked: what was known of their health is not known any more."""
    places = {
        place: known if keep(place.node) else replace(known, healthy=None)
        for place, known in state.places.items()
    }
    return replace(state, places=places)
