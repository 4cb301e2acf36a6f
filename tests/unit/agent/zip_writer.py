"""Writes zip archives byte by byte, also such as no tool would: with lies, gaps and overlaps."""

import struct
import zlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Zipped:
    """One member. What its own header and the directory say can be told apart."""

    name: bytes
    data: bytes = b""
    mode: int = 0o100644
    method: int = 8
    flags: int = 0
    system: int = 3
    extra: bytes = b""
    attributes: int = 0  # those of DOS
    packed: bytes | None = None  # in place of the data as the method packs them
    packed_said: int | None = None
    size: int | None = None
    crc: int | None = None
    after: bytes = b""  # between this member and the next
    at: int | None = None  # in the directory, in place of where it is
    header: dict[str, object] = field(default_factory=dict)  # in place of the directory's word

    def fields(self) -> dict[str, object]:
        return {
            "name": self.name,
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.data) if self.crc is None else self.crc,
            "packed": len(self.body()) if self.packed_said is None else self.packed_said,
            "size": len(self.data) if self.size is None else self.size,
            "extra": self.extra,
        }

    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.data) if self.method == 8 else self.data


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def described(member: Zipped, form: str = "<4s3L") -> bytes:
    """What follows the data of a member whose header could not say it."""
    said = member.fields()
    words = (b"PK\x07\x08", said["crc"], said["packed"], said["size"])
    return struct.pack(form, *(words if form.startswith("<4s") else words[1:]))


def _common(said: dict[str, object]) -> bytes:
    sizes = (said["crc"], said["packed"], said["size"])
    return struct.pack("<4H3L", said["flags"], said["method"], 0x6000, 0x5821, *sizes)


def zip_of(
    *members: Zipped,
    before: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    disk: int = 0,
    zip64: bool = False,
) -> bytes:
    data, directory = before, b""
    for member in members:
        at = len(data) if member.at is None else member.at
        said = member.fields()
        own = said | member.header
        lengths = struct.pack("<2H", len(own["name"]), len(own["extra"]))  # type: ignore[arg-type]
        data += b"PK\x03\x04" + struct.pack("<H", 20) + _common(own) + lengths
        data += own["name"] + own["extra"] + member.body() + member.after  # type: ignore[operator]
        directory += b"PK\x01\x02" + struct.pack("<2BH", 30, member.system, 20) + _common(said)
        directory += struct.pack("<5H", len(member.name), len(member.extra), 0, 0, 0)
        directory += struct.pack("<2L", member.mode << 16 | member.attributes, at)
        directory += member.name + member.extra
    number = len(members) if count is None else count
    start = len(data)
    end = struct.pack("<4s4H2L", b"PK\x05\x06", disk, disk, number, number, len(directory), start)
    wide = b""
    if zip64:
        place = start + len(directory)
        sizes = (number, number, len(directory), start)
        wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *sizes)
        wide += struct.pack("<4sLQL", b"PK\x06\x07", 0, place, 1)
        end = struct.pack("<4s4H2L", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, *[0xFFFFFFFF] * 2)
    return data + directory + wide + end + struct.pack("<H", len(comment)) + comment
