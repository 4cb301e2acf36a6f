"""Hostile and damaged .tar.gz archives, made byte by byte, and a disk that is too small.

`HOSTILE` maps a name to (archive bytes, words the refusal must contain). To look at one:
`python hostile_archives.py NAME > it.tar.gz`.
"""

import gzip
import sys
import zlib

END = bytes(1024)
# Before FOLDER SIZE SCRIPT ARGUMENTS: runs the script where FOLDER is a disk of that size.
SMALL_DISK = [
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size="$2" none "$1" && script=$3 && shift 3 && eval "$script"',
    "sh",
]


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
    block = bytearray(512)

    def put(at: int, value: bytes) -> None:
        block[at : at + len(value)] = value

    put(0, name[:100])
    put(100, b"%07o\0" % mode + b"0000000\0" * 2)
    put(124, size_field or b"%011o\0" % size)
    put(136, b"%011o\0" % mtime)
    put(156, kind)
    put(157, link[:100])
    put(257, magic)
    put(345, prefix)
    put(148, b"%06o\0 " % (sum(block) + 8 * 32))
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", kind: bytes = b"0", **fields: object) -> bytes:
    return header(name, len(data), kind, **fields) + padded(data)  # type: ignore[arg-type]


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


def symlink(name: bytes, target: bytes) -> bytes:
    return pax({"linkpath": target}) + header(name, 0, b"2", b"cut", 0o777)


def archive(*parts: bytes, end: bytes = END) -> bytes:
    return gzip.compress(b"".join(parts) + end, 1, mtime=0)


def repeated(before: bytes, piece: bytes, times: int) -> bytes:
    """gzip of `before` and `times` pieces, in no time; its checksum at the end is missing."""
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    return packed + (packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)) * times


def bomb(total_bytes: int) -> bytes:
    """A file of `total_bytes` zeros in a thousandth of the size."""
    size = b"\x80" + total_bytes.to_bytes(11, "big")
    start = member(b"before", b"innocent") + header(b"bomb", size_field=size)
    return repeated(start, bytes(1 << 20), total_bytes >> 20)


def bomb_of_headers(total_bytes: int) -> bytes:
    """Extension headers without end, which never become a member."""
    one = pax({"comment": b"x" * 900_000})
    return repeated(b"", one, total_bytes // len(one))


def long_link_chain() -> bytes:
    """python/cpython#135034: directories and links so long that realpath gives up half-way."""
    parts, place = [], b""
    for letter in b"abcdefghijklmnop":
        step = bytes([letter])
        parts.append(member(place + b"d" * 240, kind=b"5", mode=0o755, prefix=b""))
        parts.append(symlink(place + step, b"d" * 240))
        place += step + b"/"
    return archive(*parts, symlink(place + b"escape", b"../" * 17), member(b"x", b"x"))


FILE = member(b"app/a.txt", b"hello")
MANY = [member(b"d/f%d" % number, b"x") for number in range(60)]
GOOD = archive(member(b"app/", kind=b"5", mode=0o755), FILE)

ESCAPES: dict[str, tuple[bytes, str]] = {
    "parent": (archive(member(b"../evil", b"x")), "'../evil' has '..' in its path"),
    "parent in the middle": (archive(member(b"a/../../evil", b"x")), "has '..'"),
    "parent that stays inside": (archive(member(b"a/../evil", b"x")), "has '..'"),
    "absolute": (archive(member(b"/tmp/evil", b"x")), "'/tmp/evil' has an absolute path"),
    "absolute by slashes": (archive(member(b"//evil", b"x")), "an absolute path"),
    "absolute by prefix": (archive(member(b"evil", b"x", prefix=b"/tmp")), "absolute path"),
    "parent by prefix": (archive(member(b"evil", b"x", prefix=b"..")), "has '..'"),
    "parent by pax": (archive(pax({"path": b"../evil"}) + FILE), "has '..'"),
    "parent by long name": (archive(long_name(b"../evil") + FILE), "has '..'"),
    "symlink out": (archive(symlink(b"l", b"../evil")), "'l' is a symlink to '../evil', outside"),
    "symlink absolute": (archive(symlink(b"l", b"/etc")), "'l' has an absolute target"),
    "symlink out from below": (archive(FILE, symlink(b"app/l", b"../../evil")), "outside"),
    "symlink out through a name": (archive(FILE, symlink(b"l", b"app/../../e")), "outside"),
    "symlink through a link": (
        archive(symlink(b"a/b/up", b".."), symlink(b"l", b"a/b/up/../../e")),
        "no known directory",
    ),
    "symlink through a later link": (
        archive(symlink(b"d/l", b"x/../../evil"), symlink(b"d/x", b".")),
        "no known directory",
    ),
    "write through a symlink": (
        archive(symlink(b"l", b"."), member(b"l/evil", b"x")),
        "'l/evil' lies beneath 'l', which is a symlink",
    ),
    "directory through a symlink": (
        archive(symlink(b"l", b"."), member(b"l/a/b/", kind=b"5")),
        "beneath 'l'",
    ),
    "write over a symlink": (archive(symlink(b"l", b"x"), member(b"l", b"x")), "occurs twice"),
    "directory over a symlink": (
        archive(symlink(b"l", b"x"), member(b"l/", kind=b"5")),
        "'l/' occurs twice",
    ),
    "symlink over a directory": (archive(FILE, symlink(b"app", b"..")), "occurs twice"),
    "chain of long links": (long_link_chain(), "lies beneath 'a', which is a symlink"),
    "hardlink out": (archive(member(b"h", kind=b"1", link=b"../evil")), "'..' in its target"),
    "hardlink absolute": (archive(member(b"h", kind=b"1", link=b"/etc/passwd")), "absolute"),
    "hardlink to nothing": (archive(member(b"h", kind=b"1", link=b"no")), "no file before it"),
    "hardlink to a symlink": (
        archive(symlink(b"l", b"x"), member(b"h", kind=b"1", link=b"l")),
        "hardlink to 'l', which is no file before it",
    ),
    "hardlink to a directory": (
        archive(FILE, member(b"h", kind=b"1", link=b"app")),
        "no file before it",
    ),
    "hardlink through a symlink": (
        archive(FILE, symlink(b"l", b"app"), member(b"h", kind=b"1", link=b"l/a.txt")),
        "no file before it",
    ),
}

RULES: dict[str, tuple[bytes, str]] = {
    "setuid": (archive(member(b"su", b"x", mode=0o4755)), "'su' has a setuid"),
    "setgid": (archive(member(b"sg", b"x", mode=0o2755)), "'sg' has a setuid, setgid"),
    "sticky": (archive(member(b"st/", kind=b"5", mode=0o1777)), "'st/' has a setuid"),
    "character device": (archive(header(b"null", kind=b"3")), "'null' is a character device"),
    "block device": (archive(header(b"sda", kind=b"4")), "'sda' is a block device"),
    "fifo": (archive(header(b"pipe", kind=b"6")), "'pipe' is a fifo"),
    "unknown type": (archive(header(b"odd", kind=b"Z")), "'odd' is of type 'Z'"),
    "contiguous": (archive(member(b"odd", b"x", b"7")), "'odd' is of type '7'"),
    "gnu sparse": (archive(member(b"s", b"x", b"S")), "'s' is a sparse file"),
    "pax sparse": (archive(pax({"GNU.sparse.major": b"1"}) + FILE), "is a sparse file"),
    "duplicate": (archive(FILE, FILE), "'app/a.txt' occurs twice"),
    "duplicate directory": (archive(*[member(b"d/", kind=b"5")] * 2), "'d/' occurs twice"),
    "duplicate otherwise spelt": (archive(FILE, member(b"./app//a.txt")), "occurs twice"),
    "file over a directory": (archive(FILE, member(b"app", b"x")), "'app' occurs twice"),
    "file as a directory": (archive(member(b"a", b"x"), member(b"a/b", b"x")), "which is a file"),
    "the root as a file": (archive(member(b".", b"x")), "the release directory itself"),
    "the root as a symlink": (archive(symlink(b"./", b"x")), "ends with a slash"),
    "no name": (archive(member(b"", b"x")), "has an empty path"),
    "no target": (archive(header(b"l", kind=b"2")), "has an empty target"),
    "nul in the path": (archive(pax({"path": b"a\0b"}) + FILE), "a control character"),
    "newline in the path": (archive(member(b"a\nb", b"x")), r"'a\nb' has a control character"),
    "escape in the path": (archive(member(b"\x1b[2J", b"x")), r"'\x1b[2J' has a control"),
    "c1 control in the path": (archive(member("a\x85b".encode(), b"x")), "a control character"),
    "control in a target": (archive(symlink(b"l", b"a\x07b")), "control character in its target"),
    "latin 1": (archive(member(b"caf\xe9", b"x")), r"caf\\xe9' has a path that is not UTF-8"),
    "long name": (archive(pax({"path": b"n" * 256}) + FILE), "a name of more than 255 bytes"),
    "long path": (archive(pax({"path": b"ab/" * 400 + b"f"}) + FILE), "path of 1201 bytes, 1000"),
    "long target": (archive(symlink(b"l", b"ab/" * 400)), "target of 1200 bytes"),
    "deep path": (archive(pax({"path": b"d/" * 200 + b"f"}) + FILE), "more than 128 directories"),
    "file with a slash": (archive(member(b"a/", b"x")), "is a file whose name ends with a slash"),
    "directory with data": (archive(member(b"a/", b"x", b"5")), "is a directory with data"),
    "hardlink with data": (archive(FILE, member(b"h", b"x", b"1", link=b"app/a.txt")), "with data"),
    "too many members": (archive(*MANY), "more than 50 members"),
    "too many implied": (
        archive(*(member(b"%d/" % i * 20 + b"f", b"") for i in range(9))),
        "more than 50 members",
    ),
    "only directories": (archive(member(b"d/", kind=b"5", mode=0o755)), "holds no files"),
    "too many bytes": (archive(member(b"b", bytes(1 << 20)), member(b"c", b"x")), "'c' brings the"),
    "global path": (archive(pax({"path": b"all"}, b"g") + FILE), "for every member"),
    "huge extension": (archive(header(b"x", 1 << 30, b"x")), "an extension header has 1073741824"),
    "negative size": (archive(header(b"n", size_field=b"\xff" * 12), b"data" * 128), "damaged"),
    "odd size": (archive(header(b"n", size_field=b"0x1f       \0")), "in place of a number"),
    "odd pax size": (archive(pax({"size": b"1_0"}) + FILE), "a pax header has '1_0' as size"),
    "odd pax records": (
        archive(member(b"x", b"99 path=a\n", b"x") + FILE),
        "pax header is damaged",
    ),
}

DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "an empty file"),
    "text": (b"<!DOCTYPE html>\n<p>Sign in</p>\n", "a text file (it begins '<!DOCTYPE html>"),
    "binary": (b"\x00\x01\x02\xff" * 300, "a file of an unknown kind"),
    "zip": (b"PK\x03\x04" + bytes(500), "a zip archive"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(500), "a zstd file"),
    "plain tar": (FILE + END, "a tar archive without gzip"),
    "lone gzip": (gzip.compress(b"just a log\n" * 500), "no tar archive in it (a lone .gz)"),
    "short lone gzip": (gzip.compress(b"just a line\n"), "no tar archive in it (a lone .gz)"),
    "gzip of nothing": (gzip.compress(b""), "a gzip file with nothing in it"),
    "tar of nothing": (archive(), "holds no files"),
    "truncated gzip": (GOOD[:-20], "gzip data are truncated"),
    "truncated trailer": (GOOD[:-4], "gzip data are truncated"),
    "gzip header alone": (GOOD[:10], "gzip data are truncated"),
    "wrong checksum": (GOOD[:-8] + bytes(4) + GOOD[-4:], "gzip data are damaged"),
    "garbage after": (GOOD + b"garbage", "gzip data are damaged"),
    "no end mark": (archive(FILE, end=b""), "after member 'app/a.txt': it has no end mark"),
    "cut in a file": (archive(FILE[:515], end=b""), "ends early, inside member 'app/a.txt'"),
    "cut in a header": (archive(FILE, FILE[:100], end=b""), "after member 'app/a.txt'"),
    "cut in an extension": (archive(pax({"path": b"x" * 600})[:700], end=b""), "extension header"),
    "end after an extension": (archive(FILE, pax({"path": b"x"})), "damaged after member"),
    "bad header": (archive(FILE, b"x" * 512), "damaged after member 'app/a.txt'"),
    "second archive": (archive(FILE, END, member(b"evil", b"x")), "more data after its end mark"),
    "endless padding": (archive(FILE, end=bytes(4 << 20)), "more data after its end mark"),
}

HOSTILE = {**ESCAPES, **RULES, **DAMAGED}

if __name__ == "__main__":
    sys.stdout.buffer.write(HOSTILE[sys.argv[1]][0])
