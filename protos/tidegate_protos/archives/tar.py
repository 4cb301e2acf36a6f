"""Read a tar archive strictly: members in order, for contents.py to judge.

Not tarfile, which ends quietly at a damaged header or a missing end, and so takes half an archive
for a whole one. Here whatever is not understood is refused: nothing is skipped, nothing guessed.
Memory stays bounded whatever the archive says. Also used by tar_gz.py and tar_zst.py.
"""

from collections.abc import Iterator

from tidegate_protos.archives.reading import (
    CHUNK_BYTES,
    DIRECTORY,
    FILE,
    HARDLINK,
    SYMLINK,
    File,
    Member,
    Refused,
    Stream,
    shown,
)
from tidegate_protos.formats import is_tar_header

BLOCK = 512
MAX_EXTENSION_BYTES = 1 << 20  # a pax or GNU long-name header
MAX_PADDING_BYTES = 2 << 20  # zeros after the end mark; tar pads to records of at most 1 MiB
KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"1": HARDLINK,
    b"2": SYMLINK,
    b"3": "a character device",
    b"4": "a block device",
    b"5": DIRECTORY,
    b"6": "a fifo",
    b"S": "a sparse file",
}


def members(file: File) -> Iterator[Member]:
    """Of a .tar without compression."""
    return members_of(Stream(file, iter(file.read, b"")), "")


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


def members_of(source: Stream, packed: str) -> Iterator[Member]:
    """Of a stream, which `packed` names for messages, such as "gz"; empty: a plain archive."""
    records: dict[str, bytes] = {}  # what pax and GNU headers say of the member that follows
    previous = ""
    while len(block := source.exactly(BLOCK)) == BLOCK and any(block):
        if not is_tar_header(block):
            break
        letter, size = block[156:157], number(block[124:136])
        if letter in b"xgLK":
            _extend(records, letter, size, source)
            previous = previous or "(an extension header)"
            continue
        yield (member := _member(block, letter, size, records, source))
        source.exactly(-member.size % BLOCK)
        previous, records = shown(member.name), {}
    _check_end(source, block, previous, records, packed)


def _member(
    block: bytes, letter: bytes, size: int, records: dict[str, bytes], source: Stream
) -> Member:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    name = records.get("path", name)
    kind = KINDS.get(letter, f"of type {shown(letter)}")
    if any(key.startswith("GNU.sparse") for key in records):
        kind = KINDS[b"S"]
    elif letter == b"\0" and name.endswith(b"/"):
        kind = DIRECTORY  # as before POSIX
    return Member(
        name,
        kind,
        source,
        size=pax_number(records, "size", size),
        link=records.get("linkpath", block[157:257].partition(b"\0")[0]),
        mode=number(block[100:108]),
        mtime=pax_number(records, "mtime", number(block[136:148])),
    )


def _extend(records: dict[str, bytes], letter: bytes, size: int, source: Stream) -> None:
    if size > MAX_EXTENSION_BYTES:
        raise Refused(f"an extension header has {size} bytes, {MAX_EXTENSION_BYTES} are allowed")
    payload = source.exactly(size)
    source.exactly(-size % BLOCK)
    if len(payload) < size:
        raise Refused("the archive ends early, inside an extension header")
    if letter == b"L":
        records.setdefault("path", payload.rstrip(b"\0"))
    elif letter == b"K":
        records.setdefault("linkpath", payload.rstrip(b"\0"))
    elif letter == b"x":
        records.update(pax_records(payload))
    elif {"path", "linkpath", "size"} & pax_records(payload).keys():
        raise Refused("a global pax header sets a path, link or size for every member")


def _check_end(
    source: Stream, block: bytes, previous: str, records: dict[str, bytes], packed: str
) -> None:
    """The archive ends with zeros and nothing else: never quietly at damage or a second archive."""
    if packed and not previous and (not block or any(block)):
        what = f"a lone .{packed}: no tar archive" if block else f"a .{packed} with nothing"
        raise Refused(f"the archive is {what} in it")
    where = f"after member {previous}" if previous else "at its first header"
    if len(block) < BLOCK:
        raise Refused(f"the archive ends early, {where}: it has no end mark")
    if any(block) or records:
        raise Refused(f"the archive is damaged {where}")
    left = MAX_PADDING_BYTES
    while piece := source.piece(CHUNK_BYTES):
        left -= len(piece)
        if left < 0 or bytes(piece).strip(b"\0"):
            raise Refused("the archive has more data after its end mark")
