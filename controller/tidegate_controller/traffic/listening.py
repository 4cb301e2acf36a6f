"""Whether anybody accepts connections where the balancer should: files alone do not tell.

Called around a move (`effects`) and by `balancer_look`, with `listen` of `[traffic]`.
"""

import asyncio

from tidegate_controller.addresses import split_address
from tidegate_controller.errors import TrafficError

PATIENCE_SECONDS = 3.0  # a balancer that is being restarted is back by then
CONNECT_SECONDS = 2.0
PAUSE_SECONDS = 0.1


async def refuse_silence(listen: str) -> None:
    """Raise `TrafficError` unless a connection to HOST:PORT is accepted, at once or soon. Nothing
    is asked on it: what is answered is up to the app. Empty: nobody has said where to look."""
    if not listen:
        return
    host, port = split_address(listen, "listen")
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE_SECONDS
    while True:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(host or "127.0.0.1", port)
            writer.close()
            return
        except (OSError, TimeoutError) as error:
            if loop.time() >= give_up:
                raise TrafficError(
                    f"no balancer accepts connections at {listen}, where requests come in: "
                    f"{_why(error)}",
                    "start it there, or correct `listen` under [traffic] and deploy again",
                ) from error
        await asyncio.sleep(PAUSE_SECONDS)


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return "no answer" if isinstance(error, TimeoutError) else str(error)
