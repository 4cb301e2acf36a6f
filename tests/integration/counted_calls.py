"""Let a certain call of a thread or process be the one that strace is told to do something to.

strace counts the calls of each of them by itself. Whose turn it is makes as many of the wanted name
as are missing, with arguments that the kernel refuses. Used by agent_lives.py, and by the process
that unpacks, which has only the standard library.
"""

import ctypes

MARK = "counted calls of "


def enter(role: str, wanted: tuple[str, str, int]) -> None:
    """Say in the trace who this is; `wanted` is a role, a name of a call, and how many of them."""
    library = ctypes.CDLL(None)
    library.unlink(f"{MARK}{role}".encode())
    if wanted[0] == role:
        refused = [ctypes.c_long(-1)] * 6  # neither a descriptor nor an address
        for _ in range(wanted[2]):
            getattr(library, wanted[1])(*refused)
