"""The formats of an artifact, told by a file's first bytes, and what else a file may be, in words.

Used by the agent, which unpacks, and by the command line, which looks before anything is sent.
Imports nothing: the agent's unpacking process pays for each import.
"""

HEAD_BYTES = 512  # of a file are enough to tell
TAR, TAR_GZ, TAR_ZST, ZIP = ".tar", ".tar.gz", ".tar.zst", ".zip"
ACCEPTED = "a .tar.gz, .tar.zst, .tar or .zip"

_FORMATS = {
    b"\x1f\x8b": TAR_GZ,
    b"\x28\xb5\x2f\xfd": TAR_ZST,
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,  # one without members
    **{bytes([low]) + b"\x2a\x4d\x18": TAR_ZST for low in range(0x50, 0x60)},  # as pzstd begins
}
_OTHERS = {
    b"PK": "a part of a zip archive",
    b"\xfd7zXZ": "an xz file",
    b"BZh": "a bzip2 file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"LZIP": "an lzip file",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"!<arch>\n": "an ar archive, as a .deb is",
    b"\xed\xab\xee\xdb": "an rpm package",
    b"070701": "a cpio archive",
    b"\x7fELF": "a program (ELF)",
}


def recognise(head: bytes) -> str:
    """The format of a file that begins with these bytes; empty for none that is accepted."""
    for magic, form in _FORMATS.items():
        if head.startswith(magic):
            return form
    return TAR if head[257:262] == b"ustar" or is_tar_header(head) else ""


def is_tar_header(block: bytes) -> bool:
    """Whether 512 bytes have the checksum of a tar header, of any age and dialect."""
    digits = block[148:156].strip(b" \0")
    if len(block) != HEAD_BYTES or not digits or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")


def describe(head: bytes) -> str:
    """What a file that is no artifact seems to be, such as "a text file (it begins …)"."""
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            return what
    if not any(head):
        return "nothing but zeros, or an empty tar archive"
    text = head.decode("utf-8", "ignore")  # a character may be cut at the end
    if all(c.isprintable() or c.isspace() for c in text) and len(text.encode()) > len(head) - 4:
        return f"a text file (it begins {text[:30]!r})"
    return "a file of an unknown kind"
