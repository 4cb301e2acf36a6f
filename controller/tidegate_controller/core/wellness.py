"""Whether a place is well, as far as anybody knows: asked by guards, floors, plans and blame.

Between what is known to be well and what is known to be unwell is what nobody knows of, as of a
node that is away. Each question says here on which side that falls: what may take traffic has to be
well, and what may keep it must not be unwell.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import place_of


def is_well(state: t.State, place: t.Place) -> bool:
    """Whether it is known to be well: it may be given traffic, and with traffic it is in service.
    What nobody knows of is not."""
    return seems_well(place_of(state, place))


def is_unwell(state: t.State, place: t.Place) -> bool:
    """Whether it is known to be down or to fail its check: it is given no traffic on the way back.
    What nobody knows of is not."""
    known = place_of(state, place)
    return known.running is False or known.healthy is False


def may_serve(state: t.State, place: t.Place) -> bool:
    """Whether to take its traffic away may take something. Also where it was down when its node
    was last asked: unlike what `is_unwell` counts, an agent may have started it again since."""
    return place_of(state, place).healthy is not False


def runs_unwell(state: t.State, place: t.Place) -> bool:
    """Whether it runs and fails its check. Unlike what is down, as what was stopped is, that says
    of a release that it does not work there."""
    known = place_of(state, place)
    return known.running is True and known.healthy is False


def runs(state: t.State, release: t.Release, place: t.Place) -> bool:
    """Whether the place is known to run the release, well, right now: it may take traffic."""
    return place_of(state, place).revision == release.revision and is_well(state, place)


def serves(state: t.State, release: t.Release, place: t.Place) -> bool:
    """Whether the place has the release and nothing is known against it: it may keep traffic."""
    return place_of(state, place).revision == release.revision and not is_unwell(state, place)


def seems_well(known: t.Known) -> bool:
    """The same of what was said of a place and is not in the state yet."""
    return known.running is not False and known.healthy is True
