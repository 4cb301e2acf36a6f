"""Read a .zip strictly: members in the order of their data, for contents.py to judge.

Not zipfile: here the whole file must be accounted for. Members lie one after the other from the
first byte on, then comes the directory, then the end; what the directory says of a member is what
its own header says. So no two members share data, none is hidden from other readers, and memory
stays bounded. Names are UTF-8 whatever their flag says, since zip on Linux writes them so.
"""

import stat
import struct
import time
import zlib
from collections.abc import Iterator
from itertools import pairwise

from tidegate_protos.archives.reading import (
    CHUNK_BYTES,
    DIRECTORY,
    FILE,
    READ_BYTES,
    SYMLINK,
    File,
    Member,
    Refused,
    Stream,
    shown,
)

END, END64, LOCATOR64, ENTRY, LOCAL, DESCRIPTOR = (
    *(b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02", b"PK\x03\x04", b"PK\x07\x08"),
)
END_FORM = struct.Struct("<4s4H2LH")
END64_FORM = struct.Struct("<4sQ2H2L4Q")
LOCATOR64_FORM = struct.Struct("<4sLQL")
ENTRY_FORM = struct.Struct("<4s2B5H3L5H2L")
LOCAL_FORM = struct.Struct("<4s5H3L2H")
COMMENT_BYTES = 0xFFFF
IN_ZIP64 = 0xFFFFFFFF
ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
PATCHED = 1 << 5
DESCRIBED_AFTER = 1 << 3  # checksum and sizes follow the data
UNIX, DARWIN = 3, 19
DOS_FOLDER = 0x10
STORED, DEFLATED = 0, 8
METHODS = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 98: "ppmd", 99: "AES"}
ZIP64, UNIX_TIME, OTHER_NAME = 0x0001, 0x5455, 0x7075  # extra fields
MAX_LINK_BYTES = 4096
KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
}


class Entry:
    """What the directory says of one member."""

    def __init__(self, fields: tuple[int, ...], name: bytes, extra: dict[int, bytes]) -> None:
        _, self.system, _, self.flags, self.method, clock, date, self.crc, *sizes = fields
        self.packed, self.size, _, _, _, _, _, self.attributes, self.offset = sizes
        self.name, self.extra, self.dos_time = name, extra, (date, clock)
        wide = extra.get(ZIP64, b"")
        for field in ("size", "packed", "offset"):  # in this order, and only those that overflow
            if getattr(self, field) == IN_ZIP64:
                setattr(self, field, int.from_bytes(wide[:8], "little"))
                wide = wide[8:]

    @property
    def kind(self) -> str:
        is_folder = self.name.endswith(b"/") or bool(self.attributes & DOS_FOLDER)
        if form := stat.S_IFMT(self.unix_mode):
            return KINDS.get(form, f"of type {form:o}")
        return DIRECTORY if is_folder else FILE

    @property
    def unix_mode(self) -> int:
        return self.attributes >> 16 if self.system in (UNIX, DARWIN) else 0

    @property
    def mode(self) -> int:
        return stat.S_IMODE(self.unix_mode) if self.unix_mode else 0o644

    @property
    def mtime(self) -> int:
        """Seconds since 1970. DOS times have no zone: they are read in that of the node."""
        field = self.extra.get(UNIX_TIME, b"")
        if len(field) >= 5 and field[0] & 1:
            return max(0, int.from_bytes(field[1:5], "little", signed=True))
        date, clock = self.dos_time
        day = (1980 + (date >> 9), date >> 5 & 15, date & 31)
        try:
            hour = (clock >> 11, clock >> 5 & 63, (clock & 31) * 2)
            return max(0, int(time.mktime((*day, *hour, 0, 0, -1))))
        except (OverflowError, ValueError):
            return 0


def members(file: File) -> Iterator[Member]:
    count, start, end = _directory(file)
    if count > file.max_members:
        raise Refused(f"the archive has more than {file.max_members} members")
    places = [*sorted(_places(file, count, start, end)), (start, end)]
    if (first := places[0][0]) != 0:
        raise Refused(f"the archive begins with {first} bytes of no member")
    for (_, place), (end_at, _) in pairwise(places):
        entry, _ = _entry(file, place)
        data_at = _local_header(file, entry)
        _check_ends(file, entry, data_at + entry.packed, end_at)
        _check_rules(entry)
        yield (member := _member(file, entry, data_at))
        if member.data.piece(1):  # its checksum is looked at where it ends
            raise Refused(f"member {shown(entry.name)} has more data than it says")


# --- The directory -------------------------------------------------------------------------------


def _directory(file: File) -> tuple[int, int, int]:
    """How many members the directory has, where it begins, and where it ends."""
    size = file.size
    tail_at = max(0, size - END_FORM.size - COMMENT_BYTES)
    tail = file.at(tail_at, size - tail_at)
    found = []
    at = tail.find(END)
    while at >= 0:
        if at + END_FORM.size <= len(tail):
            fields = END_FORM.unpack_from(tail, at)
            if at + END_FORM.size + fields[-1] == len(tail):
                found.append((tail_at + at, fields))
        at = tail.find(END, at + 1)
    if not found:
        raise Refused("the archive is damaged or ends early: it has no directory at its end")
    if len(found) > 1:
        raise Refused("the archive has more than one end")
    end, (_, disk, first_disk, here, count, length, start, _) = found[0]
    wide = file.at(max(0, end - LOCATOR64_FORM.size), LOCATOR64_FORM.size)
    if wide.startswith(LOCATOR64) and len(wide) == LOCATOR64_FORM.size:
        short = (disk, first_disk, here, count, length, start)
        end, *long = _end64(file, end, wide)
        if any(a not in (b, IN_ZIP64, 0xFFFF) for a, b in zip(short, long, strict=True)):
            raise Refused("the archive is damaged: its two ends say different things")
        disk, first_disk, here, count, length, start = long
    if disk or first_disk or here != count:
        raise Refused("the archive is one part of several")
    if start + length != end:
        raise Refused("the archive is damaged: its directory is not where its end says")
    return count, start, end


def _end64(file: File, end: int, wide: bytes) -> tuple[int, int, int, int, int, int, int]:
    _, _, place, _ = LOCATOR64_FORM.unpack(wide)
    record = file.at(place, END64_FORM.size)
    is_there = len(record) == END64_FORM.size and record.startswith(END64)
    if not is_there or place + END64_FORM.size != end - LOCATOR64_FORM.size:
        raise Refused("the archive is damaged: its zip64 end is not where it says")
    _, _, _, _, disk, first_disk, here, count, length, start = END64_FORM.unpack(record)
    return place, disk, first_disk, here, count, length, start


def _places(file: File, count: int, start: int, end: int) -> list[tuple[int, int]]:
    """Of each member: where its header is, and its entry in the directory."""
    places, at = [], start
    for _ in range(count):
        entry, after = _entry(file, at)
        places.append((entry.offset, at))
        at = after
    if at != end:
        raise Refused("the archive is damaged: its directory has another length than it says")
    return places


def _entry(file: File, at: int) -> tuple[Entry, int]:
    """The directory's entry at this place, and where the next one begins."""
    block = file.at(at, ENTRY_FORM.size)
    if len(block) < ENTRY_FORM.size or not block.startswith(ENTRY):
        raise Refused("the archive is damaged: its directory is not one")
    fields = ENTRY_FORM.unpack(block)
    name_bytes, extra_bytes, comment_bytes = fields[11:14]
    rest = file.at(at + len(block), name_bytes + extra_bytes)
    entry = Entry(fields[1:], rest[:name_bytes], _extra(rest[name_bytes:]))
    return entry, at + len(block) + name_bytes + extra_bytes + comment_bytes


def _extra(data: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    while len(data) >= 4:
        tag, length = struct.unpack_from("<2H", data)
        if tag in fields and tag in (ZIP64, OTHER_NAME):
            raise Refused("a member says its sizes or its name twice")
        fields[tag] = data[4 : 4 + length]
        data = data[4 + length :]
    return fields


# --- One member ----------------------------------------------------------------------------------


def _local_header(file: File, entry: Entry) -> int:
    """Where the member's data begin. Raises Refused unless its own header says what the
    directory says."""
    block = file.at(entry.offset, LOCAL_FORM.size)
    name = shown(entry.name)
    if len(block) < LOCAL_FORM.size or not block.startswith(LOCAL):
        raise Refused(f"the archive is damaged: member {name} is not where the directory says")
    _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = LOCAL_FORM.unpack(block)
    rest = file.at(entry.offset + len(block), name_bytes + extra_bytes)
    wide = _extra(rest[name_bytes:]).get(ZIP64, b"")
    if size == IN_ZIP64:
        size, wide = int.from_bytes(wide[:8], "little"), wide[8:]
    if packed == IN_ZIP64:
        packed = int.from_bytes(wide[:8], "little")
    says = (rest[:name_bytes], flags & ENCRYPTED, method)
    agrees = says == (entry.name, entry.flags & ENCRYPTED, entry.method)
    known = (entry.crc, entry.packed, entry.size)
    if not agrees or (not entry.flags & DESCRIBED_AFTER and (crc, packed, size) != known):
        raise Refused(f"member {name} is something else in its header than in the directory")
    data_at: int = entry.offset + len(block) + name_bytes + extra_bytes
    return data_at


def _check_ends(file: File, entry: Entry, end: int, next_at: int) -> None:
    """Between the end of the data and what follows lies nothing but what describes them."""
    name, gap = shown(entry.name), next_at - end
    if gap < 0:
        raise Refused(f"member {name} overlaps what follows it")
    described = [b""]
    if entry.flags & DESCRIBED_AFTER:
        sums = (entry.crc, entry.packed, entry.size)
        described = [struct.pack("<L2Q", *sums)]
        if max(sums) <= IN_ZIP64:
            described.append(struct.pack("<3L", *sums))
        described += [DESCRIPTOR + form for form in described]
    if gap > len(DESCRIPTOR) + 20 or file.at(end, gap) not in described:
        raise Refused(f"{gap} bytes behind member {name} do not belong to it")


def _check_rules(entry: Entry) -> None:
    """Those that only a zip archive can break."""
    name, other = shown(entry.name), entry.extra.get(OTHER_NAME)
    if entry.flags & ENCRYPTED:
        raise Refused(f"member {name} is encrypted")
    if entry.flags & PATCHED or entry.method not in (STORED, DEFLATED):
        how = METHODS.get(entry.method, f"method {entry.method}")
        raise Refused(f"member {name} is packed with {how}; deflate is known here")
    if b"\\" in entry.name:
        raise Refused(f"member {name} has a backslash in its path")
    if entry.name[:1].isalpha() and entry.name[1:2] == b":":
        raise Refused(f"member {name} has a drive in its path")
    if other is not None and other[5:] != entry.name:
        raise Refused(f"member {name} has another name too: {shown(other[5:])}")


def _member(file: File, entry: Entry, data_at: int) -> Member:
    data = Stream(file, _content(file, entry, data_at))
    size, link = entry.size, b""
    if entry.kind == SYMLINK:
        if size > MAX_LINK_BYTES:
            name = shown(entry.name)
            raise Refused(f"member {name} is a link of {size} bytes, {MAX_LINK_BYTES} are allowed")
        link, size = data.exactly(size), 0
    return Member(
        entry.name, entry.kind, data, size=size, link=link, mode=entry.mode, mtime=entry.mtime
    )


def _content(file: File, entry: Entry, data_at: int) -> Iterator[bytes]:
    """The member's bytes in pieces; raises Refused at the end unless they are what it says."""
    crc = size = 0
    for piece in _unpacked(file, entry, data_at):
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        yield piece
    if (crc, size) != (entry.crc, entry.size):
        raise Refused(f"member {shown(entry.name)} is damaged: its checksum or size is another")


def _unpacked(file: File, entry: Entry, at: int) -> Iterator[bytes]:
    end = at + entry.packed
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    while at < end:
        if not (given := file.at(at, min(READ_BYTES, end - at))):
            raise Refused(f"the archive ends early, inside member {shown(entry.name)}")
        at += len(given)
        if entry.method == STORED:
            yield given
        else:
            yield from _inflated(stream, given, entry)
            if stream.eof:
                break
    ends_well = stream.eof and not stream.unused_data and at == end
    if entry.method == DEFLATED and not ends_well:
        raise Refused(f"member {shown(entry.name)} is damaged: its data have another length")


def _inflated(stream: "zlib._Decompress", given: bytes, entry: Entry) -> Iterator[bytes]:
    try:
        while data := stream.decompress(given, CHUNK_BYTES):
            yield data
            given = stream.unconsumed_tail
    except zlib.error as error:
        raise Refused(f"member {shown(entry.name)} is damaged ({error})") from error
