"""Reports to the controller, with bounds: no sentence and no output, whatever wrote it, is longer
than the controller takes. Used by whoever reports.
"""

from tidegate_agent.errors import Blame
from tidegate_protos.v1 import agent_pb2 as pb

ERROR_CHARACTERS = 2000
DETAIL_CHARACTERS = 500
OUTPUT_CHARACTERS = 8000
BLAMES: dict[Blame, pb.Blame] = {
    "unclear": pb.BLAME_UNSPECIFIED,
    "release": pb.BLAME_RELEASE,
    "environment": pb.BLAME_ENVIRONMENT,
}


def clipped(text: str, characters: int) -> str:
    """The beginning of a text that is too long, and how much was left out."""
    if len(text) <= characters:
        return text
    return f"{text[:characters]} … ({len(text) - characters} more characters)"


def clipped_front(text: str, characters: int) -> str:
    """The end of an output that is too long."""
    return text if len(text) <= characters else f"… {text[-characters:]}"


def finished(
    command_id: str,
    outcome: pb.Outcome,
    error: str,
    *,
    output_tail: str = "",
    slot: pb.SlotState | None = None,
    blame: Blame = "unclear",
    cleaned: pb.CleanedUp | None = None,
) -> pb.Finished:
    return pb.Finished(
        command_id=command_id,
        outcome=outcome,
        error=clipped(error, ERROR_CHARACTERS),
        output_tail=clipped_front(output_tail, OUTPUT_CHARACTERS),
        slot=slot,
        blame=BLAMES[blame],
        cleaned=cleaned,
    )
