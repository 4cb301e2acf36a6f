"""A look at a balancer while no rollout moves it: whether requests go where they were moved to.

Called for a deployment of what is active already (`requests`) and for `tidegate doctor`
(`operator_service`).
"""

import asyncio

from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import TrafficError
from tidegate_controller.traffic import ADAPTERS, balancer_of
from tidegate_controller.traffic.listening import refuse_silence

LOOK_SECONDS = 10.0


async def balancer_trouble(state: t.State, planned: Traffic | None = None) -> TrafficError | None:
    """What is otherwise than the last move left it, with its mend; None where nothing is, or where
    nobody can say: no traffic was moved yet, or a rollout is about to. `planned`: how the same
    balancer is described from now on, such as with more lanes."""
    traffic = state.traffic
    if traffic is None or not state.settled or state.weights is None or state.rollout is not None:
        return None
    if planned is not None and balancer_of(planned) == balancer_of(traffic):
        traffic = planned
    weights = {state.routed[place]: share for place, share in state.settled.items() if share}
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await ADAPTERS[traffic.adapter](traffic).verify(weights)
            await refuse_silence(traffic.listen)
    except TrafficError as error:
        return error
    except TimeoutError:
        return TrafficError(
            f"the balancer did not answer within {LOOK_SECONDS:.0f} s",
            "see what keeps it; `tidegate deploy` of the same release says more",
        )
    return None
