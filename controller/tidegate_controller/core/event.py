"""The base of all events; see `core.events`."""

from tidegate_controller.core.spec import Struct


class Event(Struct, frozen=True, kw_only=True, tag=True):
    """Base of all events; the tag is the class's name and the `kind` column of the log."""
