"""A look at a balancer while no rollout moves it: whether requests go where they were moved to.

Called for deployments (`deploy_requests`, `turns`), for decisions after a restore
(`reconcile_requests`), and for `tidegate doctor` (`views`).
"""

import asyncio
import logging
from collections.abc import Mapping

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import misrouted, place_of
from tidegate_controller.core.listed import first_few
from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import Refused, TrafficError
from tidegate_controller.outside import WORLD, Outside
from tidegate_controller.traffic import balancer_of
from tidegate_controller.traffic.listening import refuse_silence

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
# Whoever asks waits for a look, and before it perhaps for nodes to come back: both together are to
# be shorter than the command line waits for an answer.
LOOK_SECONDS_MAX = 40.0
PLACES_TOLD = 3


async def balancer_trouble(state: t.State, outside: Outside = WORLD) -> TrafficError | None:
    """Why requests do not go where they were moved to, or not to where that is now, with the mend;
    None where they do, or where nobody can say: no traffic was moved yet, or a rollout is about
    to."""
    return await _otherwise(state, None, outside) or address_trouble(state)


def address_trouble(state: t.State) -> TrafficError | None:
    """What can be told without a look at the balancer: that places have other addresses by now."""
    places = misrouted(state)
    if not places:
        return None
    moved = (
        f"{place} has the address {place_of(state, place).address} now, and its traffic was moved "
        f"to {state.routed.get(place)}"
        for place in places
    )
    return TrafficError(
        first_few(moved, PLACES_TOLD, "; "),
        "traffic follows by deploying the same release again",
        redeploy=True,
    )


async def _otherwise(
    state: t.State, planned: Traffic | None, outside: Outside
) -> TrafficError | None:
    """What the balancer has otherwise than the last move left it. `planned`: how the same balancer
    is described from now on, such as with more lanes."""
    traffic = state.traffic
    if traffic is None or not state.settled or state.weights is None or state.rollout is not None:
        return None
    if planned is not None and balancer_of(planned) == balancer_of(traffic):
        traffic = planned
    weights = {state.routed[place]: share for place, share in state.settled.items() if share}
    seconds = _look_seconds(traffic)
    try:
        async with asyncio.timeout(seconds):
            await outside.traffic(traffic).verify(weights)
            await refuse_silence(traffic.listen)
    except TrafficError as error:
        return error
    except TimeoutError:
        return TrafficError(
            f"the balancer did not answer within {seconds:.0f} s",
            "see what keeps it; deploying the same release again says more",
            redeploy=True,
        )
    except Exception as error:  # whoever asks about all apps is told of the others all the same
        log.exception("%s: the balancer could not be looked at", state.stream)
        return TrafficError(
            f"the balancer could not be looked at: {type(error).__name__}: {error}",
            "the controller's own messages say where",
        )
    return None


async def balancer_says(
    state: t.State, planned: Traffic, outside: Outside
) -> Mapping[str, int] | None:
    """For a deployment: None where traffic is as it was left, as far as anybody can say. Where it
    is not, or the balancer does not answer, it goes nowhere that counts: so there is something to
    be done, and Preflight says what stands in the way. Of other addresses the plan knows itself,
    and has them prove themselves before they get traffic."""
    return None if await _otherwise(state, planned, outside) is None else {}


async def read_balancer(state: t.State, outside: Outside) -> dict[str, int] | None:
    """Address -> share, as the balancer itself says; None where there is none to be asked. Raises
    `Refused` where nobody knows."""
    traffic = state.traffic
    if traffic is None:
        return None
    seconds = _look_seconds(traffic)
    try:
        async with asyncio.timeout(seconds):
            says = await outside.traffic(traffic).state()
    except TimeoutError as error:
        raise Refused(
            f"the balancer did not answer within {seconds:.0f} s, so nobody knows where traffic "
            "goes",
            "see what keeps it, then decide again",
        ) from error
    except TrafficError as error:
        raise Refused(f"nobody knows where traffic goes: {error.message}", error.hint) from error
    return None if says is None else dict(says)


def _look_seconds(traffic: Traffic) -> float:
    return min(LOOK_SECONDS + traffic.work_seconds, LOOK_SECONDS_MAX)
