"""Is this an archive at all, and of which format?

Used by the command line for a file, and by `artifact_requests` for what a URL has.
"""

from tidegate_controller.errors import UsageError
from tidegate_protos import formats

HINT = f"an artifact is {formats.ACCEPTED}: tar czf release.tar.gz -C FOLDER ."


def form_of(head: bytes, where: str) -> str:
    """The format of the artifact that begins with these `formats.HEAD_BYTES`. Raises `UsageError`
    for what is none, and says what it seems to be."""
    if not (form := formats.recognise(head)):
        what = formats.describe(head) if head else "empty"
        raise UsageError(f"the artifact {where} is {what}", HINT)
    return form
