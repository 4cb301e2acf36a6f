"""What a clean-up of a node has found, and done: part of its result. See `core.chores`."""

from tidegate_controller.core.spec import Struct


class Thing(Struct, frozen=True, kw_only=True):
    """Something on a node's disk. `name`: a digest, or the path of a backup."""

    kind: str  # "release", "copy" (a slot's own tree), "download", "backup"
    name: str
    bytes: int


class Stayed(Struct, frozen=True, kw_only=True):
    """So many things that a clean-up has left, and why, in words."""

    kind: str
    why: str
    count: int
    bytes: int


class CleanedUp(Struct, frozen=True, kw_only=True):
    """What a clean-up of a node has done. `removed` names the first of them, where they are very
    many; `count` and `bytes` are of all. `made`: backups."""

    removed: tuple[Thing, ...] = ()
    count: int = 0
    bytes: int = 0
    made: tuple[Thing, ...] = ()
    stayed: tuple[Stayed, ...] = ()
