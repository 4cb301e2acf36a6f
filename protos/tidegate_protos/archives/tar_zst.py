"""Read a .tar.zst, one zstd frame or several joined.

The library is imported when the first such archive is read: the others need none.
"""

import sys
from collections.abc import Iterator

from tidegate_protos.archives import tar
from tidegate_protos.archives.reading import CHUNK_BYTES, File, Member, Refused, Stream

# What `zstd -d` allows unasked, and `zstd --ultra -22` makes; a longer one needs as much memory.
MAX_WINDOW_LOG = 27


def members(file: File) -> Iterator[Member]:
    return tar.members_of(Stream(file, decompressed(file)), "zst")


def decompressed(file: File) -> Iterator[bytes]:
    """The decompressed bytes in pieces; memory is bounded by the window. Raises Refused."""
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - most archives are none
    else:
        from backports import zstd  # noqa: PLC0415
    options = {int(zstd.DecompressionParameter.window_log_max): MAX_WINDOW_LOG}
    rest = file.read()
    try:
        while rest:
            frame = zstd.ZstdDecompressor(options=options)
            while not frame.eof:
                if data := frame.decompress(rest, CHUNK_BYTES):
                    yield data
                rest = file.read() if frame.needs_input else b""
                if frame.needs_input and not rest:
                    raise Refused("the archive ends early: its zstd data are truncated")
            rest = frame.unused_data or file.read()
    except zstd.ZstdError as error:
        if "too much memory" in str(error):
            raise Refused(
                f"the archive needs a zstd window of more than {1 << MAX_WINDOW_LOG >> 20} MiB; "
                "pack it without --long"
            ) from error
        raise Refused(f"the archive's zstd data are damaged ({error})") from error
