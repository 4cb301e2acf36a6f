"""Hostile and damaged archives, made byte by byte in every format that can express them.

`HOSTILE` maps a file's name to (its bytes, words that the refusal must contain), where a release
may have no more than `TIGHT`. `python tests/unit/agent/hostile_archives.py FOLDER` writes them all
as files, with the words beside each. A disk that is too small is here too.
"""

import gzip
import struct
import sys
import zlib
from pathlib import Path

from backports import zstd
from zip_writer import Zipped, deflated, described, zip_of

END = bytes(1024)
TIGHT = {"max_bytes": 1 << 20, "max_members": 50, "max_path": 1000, "max_seconds": 20.0}
# Before FOLDER SIZE SCRIPT ARGUMENTS: runs the script where FOLDER is a disk of that size.
SMALL_DISK = [
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size="$2" none "$1" && script=$3 && shift 3 && eval "$script"',
    "sh",
]
TYPES = {b"0": 0o100000, b"2": 0o120000, b"3": 0o20000, b"4": 0o60000, b"5": 0o40000, b"6": 0o10000}


class Part(bytes):
    """One member as tar has it; `zipped` is the same in a zip, or None where that has no word."""

    zipped: Zipped | None = None


def part(tar: bytes, name: bytes, data: bytes, kind: bytes, mode: int, fields: object) -> Part:
    made = Part(tar)
    if kind in TYPES and not fields:
        made.zipped = Zipped(name, data, TYPES[kind] | mode)
    return made


def header(
    name: bytes,
    size: int = 0,
    kind: bytes = b"0",
    link: bytes = b"",
    mode: int = 0o644,
    mtime: int = 1_700_000_000,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    size_field: bytes = b"",
) -> bytes:
    """One tar header with a right checksum, whatever it says."""
    made = bytearray(512)

    def put(at: int, value: bytes) -> None:
        made[at : at + len(value)] = value

    put(0, name[:100])
    put(100, b"%07o\0" % mode + b"0000000\0" * 2)
    put(124, size_field or b"%011o\0" % size)
    put(136, b"%011o\0" % mtime)
    put(156, kind)
    put(157, link[:100])
    put(257, magic)
    put(345, prefix)
    put(148, b"%06o\0 " % (sum(made) + 8 * 32))
    return bytes(made)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(
    name: bytes, data: bytes = b"", kind: bytes = b"0", mode: int = 0o644, **fields: object
) -> Part:
    tar = header(name, len(data), kind, mode=mode, **fields) + padded(data)  # type: ignore[arg-type]
    return part(tar, name, data, kind, mode, fields)


def pax(records: dict[str, bytes], kind: bytes = b"x") -> bytes:
    payload = b""
    for key, value in records.items():
        rest = b" " + key.encode() + b"=" + value + b"\n"
        length = len(rest) + 1
        while length != len(rest) + len(str(length)):
            length += 1
        payload += str(length).encode() + rest
    return member(b"PaxHeaders/x", payload, kind)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return member(b"././@LongLink", name + b"\0", kind)


def symlink(name: bytes, target: bytes) -> Part:
    tar = pax({"linkpath": target}) + header(name, 0, b"2", b"cut", 0o777)
    return part(tar, name, target, b"2", 0o777, {})


def tar_of(*parts: bytes, end: bytes = END) -> bytes:
    return b"".join(parts) + end


def archive(*parts: bytes, end: bytes = END) -> bytes:
    """A .tar.gz."""
    return gzip.compress(tar_of(*parts, end=end), 1, mtime=0)


def every(*parts: bytes, end: bytes = END) -> dict[str, bytes]:
    """The same archive in each format that has words for all of its members."""
    tar = tar_of(*parts, end=end)
    made = {".tar": tar, ".tar.gz": gzip.compress(tar, 1, mtime=0), ".tar.zst": zstd.compress(tar)}
    zipped = [part.zipped for part in parts if isinstance(part, Part) and part.zipped]
    if len(zipped) == len(parts) and end == END:
        made[".zip"] = zip_of(*zipped)
    return made


class Gzip:
    """Flushed pieces can be repeated: a long stream in no time. The checksum is missing."""

    def __init__(self, wbits: int = 31) -> None:
        self._packer = zlib.compressobj(9, zlib.DEFLATED, wbits)

    def piece(self, data: bytes) -> bytes:
        return self._packer.compress(data) + self._packer.flush(zlib.Z_FULL_FLUSH)


class Zstd:
    def piece(self, data: bytes) -> bytes:
        """A frame of its own; frames are joined as they are."""
        return zstd.compress(data)


def repeated(before: bytes, piece: bytes, times: int, form: str = ".tar.gz") -> bytes:
    packer = {".tar.gz": Gzip, ".tar.zst": Zstd}[form]()
    return packer.piece(before) + packer.piece(piece) * times


def bomb(total_bytes: int, form: str = ".tar.gz") -> bytes:
    """A file of `total_bytes` zeros in a thousandth of the size."""
    if form == ".zip":
        inside = Gzip(-15).piece(bytes(1 << 20)) * (total_bytes >> 20) + b"\3\0"
        extra = struct.pack("<2HQ", 1, 8, total_bytes)
        return zip_of(Zipped(b"bomb", packed=inside, size=0xFFFFFFFF, extra=extra))
    size = b"\x80" + total_bytes.to_bytes(11, "big")
    start = member(b"before", b"innocent") + header(b"bomb", size_field=size)
    return repeated(start, bytes(1 << 20), total_bytes >> 20, form)


def bomb_of_headers(total_bytes: int, form: str = ".tar.gz") -> bytes:
    """Extension headers without end, which never become a member."""
    one = pax({"comment": b"x" * 900_000})
    return repeated(b"", one, total_bytes // len(one), form)


def long_link_chain() -> dict[str, bytes]:
    """python/cpython#135034: directories and links so long that realpath gives up half-way."""
    parts, place = [], b""
    for letter in b"abcdefghijklmnop":
        step = bytes([letter])
        parts.append(member(place + b"d" * 240, kind=b"5", mode=0o755))
        parts.append(symlink(place + step, b"d" * 240))
        place += step + b"/"
    return every(*parts, symlink(place + b"escape", b"../" * 17), member(b"x", b"x"))


FILE = member(b"app/a.txt", b"hello")
MANY = [member(b"d/f%d" % number, b"x") for number in range(60)]
GOOD = archive(member(b"app/", kind=b"5", mode=0o755), FILE)

ESCAPES: dict[str, tuple[dict[str, bytes], str]] = {
    "parent": (every(member(b"../evil", b"x")), "'../evil' has '..' in its path"),
    "parent in the middle": (every(member(b"a/../../evil", b"x")), "has '..'"),
    "parent that stays inside": (every(member(b"a/../evil", b"x")), "has '..'"),
    "absolute": (every(member(b"/tmp/evil", b"x")), "'/tmp/evil' has an absolute path"),
    "absolute by slashes": (every(member(b"//evil", b"x")), "an absolute path"),
    "absolute by prefix": (every(member(b"evil", b"x", prefix=b"/tmp")), "absolute path"),
    "parent by prefix": (every(member(b"evil", b"x", prefix=b"..")), "has '..'"),
    "parent by pax": (every(pax({"path": b"../evil"}) + FILE), "has '..'"),
    "parent by long name": (every(long_name(b"../evil") + FILE), "has '..'"),
    "symlink out": (every(symlink(b"l", b"../evil")), "'l' is a symlink to '../evil', outside"),
    "symlink absolute": (every(symlink(b"l", b"/etc")), "'l' has an absolute target"),
    "symlink out from below": (every(FILE, symlink(b"app/l", b"../../evil")), "outside"),
    "symlink out through a name": (every(FILE, symlink(b"l", b"app/../../e")), "outside"),
    "symlink through a link": (
        every(symlink(b"a/b/up", b".."), symlink(b"l", b"a/b/up/../../e")),
        "no known directory",
    ),
    "symlink through a later link": (
        every(symlink(b"d/l", b"x/../../evil"), symlink(b"d/x", b".")),
        "no known directory",
    ),
    "write through a symlink": (
        every(symlink(b"l", b"."), member(b"l/evil", b"x")),
        "'l/evil' lies beneath 'l', which is a symlink",
    ),
    "directory through a symlink": (
        every(symlink(b"l", b"."), member(b"l/a/b/", kind=b"5")),
        "beneath 'l'",
    ),
    "write over a symlink": (every(symlink(b"l", b"x"), member(b"l", b"x")), "occurs twice"),
    "directory over a symlink": (
        every(symlink(b"l", b"x"), member(b"l/", kind=b"5")),
        "'l/' occurs twice",
    ),
    "symlink over a directory": (every(FILE, symlink(b"app", b"..")), "occurs twice"),
    "chain of long links": (long_link_chain(), "lies beneath 'a', which is a symlink"),
    "hardlink out": (every(member(b"h", kind=b"1", link=b"../evil")), "'..' in its target"),
    "hardlink absolute": (every(member(b"h", kind=b"1", link=b"/etc/passwd")), "absolute"),
    "hardlink to nothing": (every(member(b"h", kind=b"1", link=b"no")), "no file before it"),
    "hardlink to a symlink": (
        every(symlink(b"l", b"x"), member(b"h", kind=b"1", link=b"l")),
        "hardlink to 'l', which is no file before it",
    ),
    "hardlink to a directory": (
        every(FILE, member(b"h", kind=b"1", link=b"app")),
        "no file before it",
    ),
    "hardlink through a symlink": (
        every(FILE, symlink(b"l", b"app"), member(b"h", kind=b"1", link=b"l/a.txt")),
        "no file before it",
    ),
}

RULES: dict[str, tuple[dict[str, bytes], str]] = {
    "setuid": (every(member(b"su", b"x", mode=0o4755)), "'su' has a setuid"),
    "setgid": (every(member(b"sg", b"x", mode=0o2755)), "'sg' has a setuid, setgid"),
    "sticky": (every(member(b"st/", kind=b"5", mode=0o1777)), "'st/' has a setuid"),
    "character device": (every(member(b"null", kind=b"3")), "'null' is a character device"),
    "block device": (every(member(b"sda", kind=b"4")), "'sda' is a block device"),
    "fifo": (every(member(b"pipe", kind=b"6")), "'pipe' is a fifo"),
    "unknown type": (every(member(b"odd", kind=b"Z")), "'odd' is of type 'Z'"),
    "contiguous": (every(member(b"odd", b"x", b"7")), "'odd' is of type '7'"),
    "gnu sparse": (every(member(b"s", b"x", b"S")), "'s' is a sparse file"),
    "pax sparse": (every(pax({"GNU.sparse.major": b"1"}) + FILE), "is a sparse file"),
    "duplicate": (every(FILE, FILE), "'app/a.txt' occurs twice"),
    "duplicate directory": (every(*[member(b"d/", kind=b"5")] * 2), "'d/' occurs twice"),
    "duplicate otherwise spelt": (every(FILE, member(b"./app//a.txt")), "occurs twice"),
    "file over a directory": (every(FILE, member(b"app", b"x")), "'app' occurs twice"),
    "file as a directory": (every(member(b"a", b"x"), member(b"a/b", b"x")), "which is a file"),
    "the root as a file": (every(member(b".", b"x")), "the release directory itself"),
    "the root as a symlink": (every(symlink(b"./", b"x")), "ends with a slash"),
    "no name": (every(member(b"", b"x")), "has an empty path"),
    "no target": (every(symlink(b"l", b"")), "has an empty target"),
    "nul in the path": (every(pax({"path": b"a\0b"}) + FILE), "a control character"),
    "newline in the path": (every(member(b"a\nb", b"x")), r"'a\nb' has a control character"),
    "escape in the path": (every(member(b"\x1b[2J", b"x")), r"'\x1b[2J' has a control"),
    "c1 control in the path": (every(member("a\x85b".encode(), b"x")), "a control character"),
    "control in a target": (every(symlink(b"l", b"a\x07b")), "control character in its target"),
    "latin 1": (every(member(b"caf\xe9", b"x")), r"caf\\xe9' has a path that is not UTF-8"),
    "long name": (every(pax({"path": b"n" * 256}) + FILE), "a name of more than 255 bytes"),
    "long path": (every(pax({"path": b"ab/" * 400 + b"f"}) + FILE), "path of 1201 bytes, 1000"),
    "long target": (every(symlink(b"l", b"ab/" * 400)), "target of 1200 bytes"),
    "deep path": (every(pax({"path": b"d/" * 200 + b"f"}) + FILE), "more than 128 directories"),
    "file with a slash": (every(member(b"a/", b"x")), "is a file whose name ends with a slash"),
    "directory with data": (every(member(b"a/", b"x", b"5")), "is a directory with data"),
    "hardlink with data": (every(FILE, member(b"h", b"x", b"1", link=b"app/a.txt")), "with data"),
    "too many members": (every(*MANY), "more than 50 members"),
    "too many implied": (
        every(*(member(b"%d/" % i * 20 + b"f", b"") for i in range(9))),
        "more than 50 members",
    ),
    "only directories": (every(member(b"d/", kind=b"5", mode=0o755)), "holds no files"),
    "too many bytes": (every(member(b"b", bytes(1 << 20)), member(b"c", b"x")), "'c' brings the"),
    "global path": (every(pax({"path": b"all"}, b"g") + FILE), "for every member"),
    "huge extension": (every(header(b"x", 1 << 30, b"x")), "an extension header has 1073741824"),
    "negative size": (every(header(b"n", size_field=b"\xff" * 12), b"data" * 128), "damaged"),
    "odd size": (every(header(b"n", size_field=b"0x1f       \0")), "in place of a number"),
    "odd pax size": (every(pax({"size": b"1_0"}) + FILE), "a pax header has '1_0' as size"),
    "odd pax records": (
        every(member(b"x", b"99 path=a\n", b"x") + FILE),
        "pax header is damaged",
    ),
}

GOOD_TAR = tar_of(member(b"app/", kind=b"5", mode=0o755), FILE)
GOOD_ZST = zstd.compress(GOOD_TAR, options={zstd.CompressionParameter.checksum_flag: 1})
TARS: dict[str, tuple[bytes, str]] = {
    "lone": (b"just a log\n" * 500, "is a lone ."),
    "short lone": (b"just a line\n", "is a lone ."),
    "compressed nothing": (b"", "with nothing in it"),
    "tar of nothing": (tar_of(), "holds no files"),
    "no end mark": (tar_of(FILE, end=b""), "after member 'app/a.txt': it has no end mark"),
    "cut in a file": (FILE[:515], "ends early, inside member 'app/a.txt'"),
    "cut in a header": (FILE + FILE[:100], "after member 'app/a.txt'"),
    "cut in an extension": (pax({"path": b"x" * 600})[:700], "extension header"),
    "end after an extension": (tar_of(FILE, pax({"path": b"x"})), "damaged after member"),
    "bad header": (tar_of(FILE, b"x" * 512), "damaged after member 'app/a.txt'"),
    "second archive": (tar_of(FILE, END, member(b"evil", b"x")), "more data after its end mark"),
    "endless padding": (tar_of(FILE, end=bytes(4 << 20)), "more data after its end mark"),
}
PLAIN_TARS = {"lone", "short lone", "compressed nothing", "tar of nothing"}  # are no tar files

DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "an empty file"),
    "text": (b"<!DOCTYPE html>\n<p>Sign in</p>\n", "a text file (it begins '<!DOCTYPE html>"),
    "binary": (b"\x00\x01\x02\xff" * 300, "a file of an unknown kind"),
    "zeros": (bytes(10240), "nothing but zeros, or an empty tar archive"),
    "xz": (b"\xfd7zXZ\0" + bytes(500), "an xz file"),
    "bzip2": (b"BZh9" + bytes(500), "a bzip2 file"),
    "program": (b"\x7fELF" + bytes(500), "a program (ELF)"),
    "part of a zip.zip": (b"PK\x07\x08" + bytes(500), "a part of a zip archive"),
    "bad first header.tar": (b"x" + GOOD_TAR[1:], "damaged at its first header"),
    "truncated.tar.gz": (GOOD[:-20], "gzip data are truncated"),
    "truncated trailer.tar.gz": (GOOD[:-4], "gzip data are truncated"),
    "header alone.tar.gz": (GOOD[:10], "gzip data are truncated"),
    "wrong checksum.tar.gz": (GOOD[:-8] + bytes(4) + GOOD[-4:], "gzip data are damaged"),
    "garbage after.tar.gz": (GOOD + b"garbage", "gzip data are damaged"),
    "truncated.tar.zst": (GOOD_ZST[:-20], "zstd data are truncated"),
    "truncated trailer.tar.zst": (GOOD_ZST[:-2], "zstd data are truncated"),
    "header alone.tar.zst": (GOOD_ZST[:5], "zstd data are truncated"),
    "wrong checksum.tar.zst": (GOOD_ZST[:-4] + bytes(4), "zstd data are damaged"),
    "garbage after.tar.zst": (GOOD_ZST + b"garbage", "zstd data are damaged"),
    "window of 2 GiB.tar.zst": (b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(99), "more than 128 MiB"),
    "window of 256 MiB.tar.zst": (b"\x28\xb5\x2f\xfd\x00\x90" + bytes(99), "more than 128 MiB"),
}

X, LONG = Zipped(b"x", b"x" * 99), b"x" * 100_000
AFTER = described(X)
AES = Zipped(b"x", method=99, flags=1)
WIDE = struct.pack("<2HQ", 1, 8, 10)
OTHER = b"\1" + struct.pack("<L", zlib.crc32(b"x")) + b"../evil"
GOOD_ZIP = zip_of(Zipped(b"app/", mode=0o40755), Zipped(b"app/a.txt", b"hello"))

ZIPS: dict[str, tuple[bytes, str]] = {
    "backslashes": (zip_of(Zipped(b"..\\evil", b"x")), r"'..\\evil' has a backslash"),
    "drive": (zip_of(Zipped(b"C:evil", b"x")), "'C:evil' has a drive in its path"),
    "nul itself": (zip_of(Zipped(b"a\0b", b"x")), "a control character"),
    "socket": (zip_of(Zipped(b"s", mode=0o140644)), "'s' is a socket"),
    "folder of dos with data": (
        zip_of(Zipped(b"d", b"x", mode=0, system=0, attributes=16)),
        "'d' is a directory with data",
    ),
    "encrypted": (zip_of(Zipped(b"x", b"x", flags=1)), "'x' is encrypted"),
    "strongly encrypted": (zip_of(Zipped(b"x", b"x", flags=0x41)), "'x' is encrypted"),
    "encrypted directory": (zip_of(Zipped(b"x", b"x", flags=0x2000)), "'x' is encrypted"),
    "aes": (zip_of(AES), "'x' is encrypted"),
    "bzip2 inside": (zip_of(Zipped(b"x", b"x", method=12)), "'x' is packed with bzip2"),
    "unknown method": (zip_of(Zipped(b"x", b"x", method=77)), "'x' is packed with method 77"),
    "patch": (zip_of(Zipped(b"x", b"x", flags=0x20)), "'x' is packed with"),
    "same data twice": (zip_of(X, Zipped(b"x", X.data, at=0, packed=b"")), "overlaps what follows"),
    "one inside another": (
        zip_of(Zipped(b"outer", zip_of(X), method=0), Zipped(b"x", X.data, at=35)),
        "'outer' overlaps what follows it",
    ),
    "over the directory": (
        zip_of(Zipped(b"x", LONG, packed_said=50_000, packed=deflated(LONG))),
        "'x' overlaps what follows it",
    ),
    "hidden before": (zip_of(X, before=zip_of(Zipped(b"y"))), "begins with"),
    "hidden between": (zip_of(Zipped(b"x", b"x", after=b"PK\3\4hidden"), X), "10 bytes behind"),
    "hidden behind": (zip_of(X, Zipped(b"y", b"y", after=b"hidden")), "6 bytes behind member 'y'"),
    "another name in its header": (
        zip_of(Zipped(b"x", b"x", header={"name": b"y"})),
        "'x' is something else in its header than in the directory",
    ),
    "another size in its header": (
        zip_of(Zipped(b"x", b"x", header={"size": 9})),
        "something else",
    ),
    "another method in its header": (
        zip_of(Zipped(b"x", b"x", header={"method": 0})),
        "something else",
    ),
    "another sum in its header": (zip_of(Zipped(b"x", b"x", header={"crc": 9})), "something else"),
    "another name beside": (
        zip_of(Zipped(b"x", extra=struct.pack("<2H", 0x7075, len(OTHER)) + OTHER)),
        "'x' has another name too: '../evil'",
    ),
    "sizes said twice": (zip_of(Zipped(b"x", extra=WIDE + WIDE)), "its sizes or its name twice"),
    "more than it says": (zip_of(Zipped(b"x", LONG, size=10)), "more data than it says"),
    "stored, more than it says": (zip_of(Zipped(b"x", LONG, size=1, method=0)), "more data than"),
    "less than it says": (zip_of(Zipped(b"x", b"x", size=10)), "damaged: its checksum or size"),
    "wrong sum": (zip_of(Zipped(b"x", b"x", crc=1)), "'x' is damaged: its checksum or size"),
    "wrong sum of a link": (zip_of(Zipped(b"l", b"x", 0o120777, crc=1)), "'l' is damaged"),
    "link of any length": (zip_of(Zipped(b"l", LONG, 0o120777)), "'l' is a link of 100000 bytes"),
    "no deflate": (zip_of(Zipped(b"x", b"x", packed=b"\xff" * 9)), "'x' is damaged (Error -3"),
    "deflate that does not end": (
        zip_of(Zipped(b"x", b"x" * 9, packed=deflated(b"x" * 9)[:-2])),
        "'x' is damaged: its data have another length",
    ),
    "deflate that ends too soon": (
        zip_of(Zipped(b"x", b"x", packed=deflated(b"x") + LONG)),
        "'x' is damaged: its data have another length",
    ),
    "no description": (zip_of(Zipped(b"x", b"x", flags=8), X), "0 bytes behind member 'x'"),
    "wrong description": (zip_of(Zipped(b"x", b"x", flags=8, after=AFTER)), "16 bytes behind"),
    "of nothing": (zip_of(), "holds no files"),
    "truncated": (GOOD_ZIP[:-10], "ends early: it has no directory at its end"),
    "truncated early": (GOOD_ZIP[:50], "ends early: it has no directory at its end"),
    "garbage after": (GOOD_ZIP + b"garbage", "it has no directory at its end"),
    "two ends": (zip_of(X, comment=zip_of()), "more than one end"),
    "part of several": (zip_of(X, disk=1), "one part of several"),
    "another length said": (
        zip_of(X)[:-10] + struct.pack("<L", 7) + zip_of(X)[-6:],
        "its directory is not where its end says",
    ),
    "too many said": (zip_of(X, count=2), "damaged: its directory is not one"),
    "too few said": (zip_of(X, X, count=1), "its directory has another length"),
    "very many said": (zip_of(X, count=60_000), "more than 50 members"),
    "no directory": (zip_of(X).replace(b"PK\1\2", b"PK\1\3"), "its directory is not one"),
    "no header": (b"PK\3\4" + zip_of(Zipped(b"x", at=2))[4:], "begins with 2 bytes"),
    "zip64 end elsewhere": (
        zip_of(X, zip64=True).replace(b"PK\6\6", b"PK\6\5"),
        "its zip64 end is not where",
    ),
    "two ends that differ": (
        zip_of(X, zip64=True)[:-12] + struct.pack("<HLLH", 5, 0xFFFFFFFF, 0xFFFFFFFF, 0),
        "its two ends say different things",
    ),
}


def corpus() -> dict[str, tuple[bytes, str]]:
    made = {
        name + form: (data, words)
        for name, (forms, words) in {**ESCAPES, **RULES}.items()
        for form, data in forms.items()
    }
    for name, (data, words) in TARS.items():
        made[f"{name}.tar.gz"] = gzip.compress(data, 1, mtime=0), words
        made[f"{name}.tar.zst"] = zstd.compress(data), words
        if name not in PLAIN_TARS:
            made[f"{name}.tar"] = data, words
    for form in (".tar.gz", ".tar.zst", ".zip"):
        words = "member 'bomb' brings the release above the limit"
        made[f"bomb of 10 GiB{form}"] = bomb(10 << 30, form), words
    return {**made, **DAMAGED, **{f"{name}.zip": case for name, case in ZIPS.items()}}


HOSTILE = corpus()


def write_all(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (data, words) in HOSTILE.items():
        file = folder / name.replace(" ", "-").replace(",", "")
        file.write_bytes(data)
        file.with_name(f"{file.name}.why").write_text(words + "\n")
    print(f"{len(HOSTILE)} archives, each with the words that refuse it in FILE.why: {folder}")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
