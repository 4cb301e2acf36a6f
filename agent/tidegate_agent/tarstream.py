"""Read a .tar.gz strictly: members in order, as the archive has them, for unpack.py to judge.

Not tarfile, which ends quietly at a damaged header or a missing end, and so takes half an archive
for a whole one. Here whatever is not understood is refused: nothing is skipped, nothing guessed.
Memory stays bounded whatever the archive says. Only the standard library, and little of it.
"""

import os
import time
import zlib
from collections.abc import Iterator

BLOCK = 512
CHUNK_BYTES = 256 * 1024
MAX_EXTENSION_BYTES = 1 << 20  # a pax or GNU long-name header
MAX_PADDING_BYTES = 2 << 20  # zeros after the end mark; tar pads to records of at most 1 MiB
GZIP_WINDOW = 31  # zlib's word for: a gzip header, with checksum and length verified
MAGIC = {
    b"PK": "a zip archive",
    b"\xfd7zXZ": "an xz file",
    b"BZh": "a bzip2 file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\x7fELF": "a program (ELF)",
}


class Refused(Exception):
    """The archive breaks a rule; the text is the sentence for the operator."""


def shown(name: str | bytes) -> str:
    """A name from the archive, safe to print: escaped, quoted, cut."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return repr(text if len(text) <= 200 else text[:200] + "…")


class Gunzip:
    """The decompressed bytes of an open gzip file, in order, verified, never past the deadline."""

    def __init__(self, archive_fd: int, max_seconds: float) -> None:
        self._fd = archive_fd
        self._max_seconds = max_seconds
        self._deadline = time.monotonic() + max_seconds
        self._gzip = zlib.decompressobj(GZIP_WINDOW)
        self._input = b""
        self._output = memoryview(b"")

    def piece(self, limit: int) -> memoryview:
        """Between 1 and `limit` bytes; none at the end of a complete gzip file."""
        if not self._output:
            self._output = memoryview(self._inflate())
        piece, self._output = self._output[:limit], self._output[limit:]
        return piece

    def exactly(self, count: int) -> bytes:
        """`count` bytes, or fewer where the data end."""
        data = bytes(self.piece(count)) if count else b""
        while len(data) < count and (more := self.piece(count - len(data))):
            data += more
        return data

    def _inflate(self) -> bytes:
        try:
            while not self._gzip.eof or self._next_stream():
                if time.monotonic() > self._deadline:
                    raise Refused(f"unpacking took more than {self._max_seconds:g} seconds")
                given = self._gzip.unconsumed_tail or self._input or self._read()
                self._input = b""
                # zlib may hold output back although all its input is used, so only no output
                # from no input is the end.
                if data := self._gzip.decompress(given, CHUNK_BYTES):
                    return data
                if not given and not self._gzip.eof:
                    raise Refused("the archive ends early: its gzip data are truncated")
            return b""
        except zlib.error as error:
            raise Refused(f"the archive's gzip data are damaged ({error})") from error

    def _next_stream(self) -> bool:
        """Go on where gzip streams are joined (as pigz and cat do); zero padding is skipped."""
        rest = self._gzip.unused_data.lstrip(b"\0")
        while not rest:
            if not (raw := self._read()):
                return False
            rest = raw.lstrip(b"\0")
        self._gzip, self._input = zlib.decompressobj(GZIP_WINDOW), rest
        return True

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, 64 * 1024)
        except OSError as error:
            raise Refused(f"the archive cannot be read: {error.strerror}") from error


class Member:
    """One header, as the archive has it: names are raw bytes that nobody has checked yet."""

    __slots__ = ("kind", "link", "mode", "mtime", "name", "size")

    def __init__(
        self, name: bytes, link: bytes, kind: bytes, mode: int, size: int, mtime: int
    ) -> None:
        self.name, self.link, self.kind = name, link, kind
        self.mode, self.size, self.mtime = mode, size, mtime


def number(field: bytes) -> int:
    """A tar number: octal digits, or base 256 after a byte 0x80; negative ones (0xff) are 0."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else 0
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise Refused(f"a tar header has {shown(field)} in place of a number")
    return int(digits or b"0", 8)


def pax_records(payload: bytes) -> dict[str, bytes]:
    """The "LENGTH KEY=VALUE\\n" records of a pax header."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(payload):
        digits = payload[at : at + 20].partition(b" ")[0]
        end = at + int(digits) if digits.isdigit() else at
        key, equals, value = payload[at + len(digits) + 1 : end - 1].partition(b"=")
        if not (key and equals and end <= len(payload) and payload[end - 1] == ord("\n")):
            raise Refused("a pax header is damaged")
        records[key.decode("utf-8", "backslashreplace")] = value
        at = end
    return records


def pax_number(records: dict[str, bytes], key: str, otherwise: int) -> int:
    whole = records.get(key, b"").partition(b".")[0]
    if key not in records or whole.startswith(b"-"):
        return 0 if key in records else otherwise
    if not whole.isdigit() or len(whole) > 18:
        raise Refused(f"a pax header has {shown(records[key])} as {key}")
    return int(whole)


def is_header(block: bytes) -> bool:
    try:
        return number(block[148:156]) == sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")
    except Refused:
        return False


def members(source: Gunzip) -> Iterator[Member]:
    """Each member in order. Its data must have been read before the next one is asked for."""
    records: dict[str, bytes] = {}  # what pax and GNU headers say of the member that follows
    previous = ""
    while len(block := source.exactly(BLOCK)) == BLOCK and any(block):
        if not is_header(block):
            break
        kind, size = block[156:157], number(block[124:136])
        if kind in b"xgLK":
            _extend(records, kind, size, source)
            previous = previous or "(an extension header)"
            continue
        name = block[:100].partition(b"\0")[0]
        if block[257:263] == b"ustar\0" and block[345]:
            name = block[345:500].partition(b"\0")[0] + b"/" + name
        name = records.get("path", name)
        if any(key.startswith("GNU.sparse") for key in records):
            kind = b"S"
        size = pax_number(records, "size", size)
        yield Member(
            name,
            records.get("linkpath", block[157:257].partition(b"\0")[0]),
            kind,
            number(block[100:108]),
            size,
            pax_number(records, "mtime", number(block[136:148])),
        )
        source.exactly(-size % BLOCK)
        previous, records = shown(name), {}
    _check_end(source, block, previous, records)


def _extend(records: dict[str, bytes], kind: bytes, size: int, source: Gunzip) -> None:
    if size > MAX_EXTENSION_BYTES:
        raise Refused(f"an extension header has {size} bytes, {MAX_EXTENSION_BYTES} are allowed")
    payload = source.exactly(size)
    source.exactly(-size % BLOCK)
    if len(payload) < size:
        raise Refused("the archive ends early, inside an extension header")
    if kind == b"L":
        records.setdefault("path", payload.rstrip(b"\0"))
    elif kind == b"K":
        records.setdefault("linkpath", payload.rstrip(b"\0"))
    elif kind == b"x":
        records.update(pax_records(payload))
    elif {"path", "linkpath", "size"} & pax_records(payload).keys():
        raise Refused("a global pax header sets a path, link or size for every member")


def _check_end(source: Gunzip, block: bytes, previous: str, records: dict[str, bytes]) -> None:
    """The archive ends with zeros and nothing else: never quietly at damage or a second archive."""
    if not previous and (not block or any(block)):
        what = "no tar archive in it (a lone .gz)" if block else "nothing in it"
        raise Refused(f"the artifact is a gzip file with {what}; a .tar.gz archive is needed")
    if len(block) < BLOCK:
        raise Refused(f"the archive ends early, after member {previous}: it has no end mark")
    if any(block) or records:
        raise Refused(f"the archive is damaged after member {previous}")
    left = MAX_PADDING_BYTES
    while piece := source.piece(CHUNK_BYTES):
        left -= len(piece)
        if left < 0 or bytes(piece).strip(b"\0"):
            raise Refused("the archive has more data after its end mark")


def describe(head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "a tar archive without gzip"
    for magic, what in MAGIC.items():
        if head.startswith(magic):
            return what
    text = head.decode("utf-8", "ignore")  # a character may be cut at the end
    if all(c.isprintable() or c.isspace() for c in text) and len(text.encode()) > len(head) - 4:
        return f"a text file (it begins {text[:30]!r})"
    return "a file of an unknown kind"
