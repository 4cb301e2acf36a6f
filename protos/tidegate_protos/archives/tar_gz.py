"""Read a .tar.gz, one gzip stream or several joined, each with its checksum and length verified."""

import zlib
from collections.abc import Iterator

from tidegate_protos.archives import tar
from tidegate_protos.archives.reading import CHUNK_BYTES, File, Member, Refused, Stream

GZIP_WINDOW = 31  # zlib's word for: a gzip header, with checksum and length verified


def members(file: File) -> Iterator[Member]:
    return tar.members_of(Stream(file, inflated(file)), "gz")


def inflated(file: File) -> Iterator[bytes]:
    """The decompressed bytes in pieces; memory stays bounded. Raises Refused for damage."""
    rest = file.read()
    try:
        while rest:
            stream = zlib.decompressobj(GZIP_WINDOW)
            yield from _one_stream(file, stream, rest)
            # Joined streams go on, as pigz and cat make them; zero padding is skipped.
            rest = stream.unused_data.lstrip(b"\0")
            while not rest and (raw := file.read()):
                rest = raw.lstrip(b"\0")
    except zlib.error as error:
        raise Refused(f"the archive's gzip data are damaged ({error})") from error


def _one_stream(file: File, stream: "zlib._Decompress", given: bytes) -> Iterator[bytes]:
    while not stream.eof:
        # zlib may hold output back although all its input is used, so only no output from no
        # input is the end.
        if data := stream.decompress(given, CHUNK_BYTES):
            yield data
        elif not given and not stream.eof:
            raise Refused("the archive ends early: its gzip data are truncated")
        given = stream.unconsumed_tail or (b"" if stream.eof else file.read())
