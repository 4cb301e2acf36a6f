"""What an archive may hold: the rules for members, the same for every format and on both sides.

The agent's unpacking process asks before it writes a member (its tree.py); the command line looks
through a whole archive before anything is sent. Nothing is written here. Only built-in things are
used, since each deployment pays for the start of that process.
"""

from tidegate_protos.archives import FORMATS
from tidegate_protos.archives.reading import (
    DIRECTORY,
    FILE,
    HARDLINK,
    SYMLINK,
    File,
    Member,
    Refused,
    shown,
)

MAX_DEPTH = 128
MAX_NAME_BYTES = 255
IMPLIED = "implied"  # a directory that no member names
KINDS = (FILE, HARDLINK, SYMLINK, DIRECTORY)


class Limits:
    """What one release may take: bytes of all its files, members and implied directories together,
    bytes of one path, seconds to read it all."""

    def __init__(
        self,
        max_bytes: int = 8 << 30,
        max_members: int = 200_000,
        max_path: int = 1024,
        max_seconds: float = 600.0,
    ) -> None:
        self.max_bytes, self.max_members = max_bytes, max_members
        self.max_path, self.max_seconds = max_path, max_seconds


class Contents:
    """What has come so far, and the rules for what may follow."""

    def __init__(self, limits: Limits) -> None:
        self.bytes = self.files = 0
        self.kinds = {"": IMPLIED}  # path -> what is there; closed under "parent of"
        self._limits = limits
        self._links_reach = MAX_DEPTH  # how many of the folders around all of it no link leaves

    def check(self, member: Member) -> tuple[str, str, str]:
        """Its kind, its normalized path, and where it leads if it is a link. Raises Refused, which
        names the member."""
        if len(self.kinds) > self._limits.max_members:  # which has the root, and what is implied
            raise Refused(f"the archive has more than {self._limits.max_members} members")
        try:
            return self._checked(member)
        except Refused as refusal:
            raise Refused(f"member {shown(member.name)} {refusal}") from None

    def add(self, kind: str, path: str, size: int) -> None:
        """A member that has passed, with the directories that it implies."""
        above = path.rpartition("/")[0]
        while above not in self.kinds:
            self.kinds[above] = IMPLIED
            above = above.rpartition("/")[0]
        self.kinds[path] = kind
        self.files += kind != DIRECTORY
        self.bytes += size

    def finish(self) -> None:
        """All members have come. Raises Refused."""
        if not self.files:
            raise Refused("the archive holds no files")

    def folders(self) -> list[str]:
        """The names of the folders around everything, from the outside to the inside.

        A release may do without these: nothing lies beside any, and no link leads out of the last.
        """
        inside: dict[str, list[str]] = {}
        for path in self.kinds:
            if path:
                inside.setdefault(path.rpartition("/")[0], []).append(path)
        names: list[str] = []
        at = ""
        while len(names) < self._links_reach and len(within := inside.get(at, [])) == 1:
            at = within[0]
            if self.kinds[at] not in (IMPLIED, DIRECTORY):
                break
            names.append(at.rpartition("/")[2])
        return names

    def _checked(self, member: Member) -> tuple[str, str, str]:
        kind = member.kind
        if kind not in KINDS:
            raise Refused(f"is {kind}")
        if member.mode & 0o7000:
            raise Refused(f"has a setuid, setgid or sticky bit (mode {member.mode & 0o7777:o})")
        if kind != DIRECTORY and member.name.endswith(b"/"):
            raise Refused(f"is a {kind} whose name ends with a slash")
        if kind != FILE and member.size:
            raise Refused(f"is a {kind} with data")
        if self.bytes + member.size > self._limits.max_bytes:
            raise Refused(f"brings the release above the limit of {self._limits.max_bytes} bytes")
        path = self._relative(member.name, "path")
        known = self.kinds.get(path)
        if known and (known, kind) != (IMPLIED, DIRECTORY):
            twice = path or kind == DIRECTORY
            raise Refused("occurs twice" if twice else "stands for the release directory itself")
        above = path
        while known is None:
            above = above.rpartition("/")[0]
            known = self.kinds.get(above)
        if known not in (IMPLIED, DIRECTORY):
            raise Refused(f"lies beneath {shown(above)}, which is a {known}")
        if kind == SYMLINK:
            return kind, path, self._symlink_target(path, member.link)
        if kind == HARDLINK:
            link = self._relative(member.link, "target")
            if self.kinds.get(link) not in (FILE, HARDLINK):
                raise Refused(f"is a hardlink to {shown(link)}, which is no file before it")
            return kind, path, link
        return kind, path, ""

    def _text(self, raw: bytes, what: str) -> str:
        if len(raw) > self._limits.max_path:
            raise Refused(f"has a {what} of {len(raw)} bytes, {self._limits.max_path} are allowed")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise Refused(f"has a {what} that is not UTF-8") from None
        if not text.isprintable() and any(c < " " or "\x7f" <= c < "\xa0" for c in text):
            raise Refused(f"has a control character in its {what}")
        if not text or text.startswith("/"):
            raise Refused(f"has an {'absolute' if text else 'empty'} {what}")
        if len(raw) > MAX_NAME_BYTES and any(
            len(part.encode()) > MAX_NAME_BYTES for part in text.split("/")
        ):
            raise Refused(f"has a name of more than {MAX_NAME_BYTES} bytes in its {what}")
        return text

    def _relative(self, raw: bytes, what: str) -> str:
        parts = [part for part in self._text(raw, what).split("/") if part not in ("", ".")]
        if ".." in parts:
            raise Refused(f"has '..' in its {what}")
        if len(parts) > MAX_DEPTH:
            raise Refused(f"has a {what} more than {MAX_DEPTH} directories deep")
        return "/".join(parts)

    def _symlink_target(self, path: str, raw: bytes) -> str:
        """The target, if the kernel can never follow it out of the release.

        `..` may follow only a directory that is known to be real (the link's own, or one that has
        come before): what is not there yet may become a link and lead elsewhere. So every link
        stays inside whatever comes later, and so do chains of them.
        """
        target = self._text(raw, "target")
        here, real = path.split("/")[:-1], True
        for part in target.split("/"):
            if part in ("", "."):
                continue
            if part != "..":
                here.append(part)
                place = "/".join(here)
                real = self.kinds.get(place) in (IMPLIED, DIRECTORY) or path.startswith(place + "/")
            elif not real:
                raise Refused(f"is a symlink to {shown(target)}: '..' after no known directory")
            elif not here:
                raise Refused(f"is a symlink to {shown(target)}, outside the release")
            else:
                here.pop()
                self._links_reach = min(self._links_reach, len(here))
        return target


def look_through(fd: int, form: str, limits: Limits) -> None:
    """Read an archive to its end, every checksum included. Raises Refused where an agent with
    these limits would refuse it."""
    contents = Contents(limits)
    for member in FORMATS[form](File(fd, limits.max_seconds, limits.max_members)):
        kind, path, _ = contents.check(member)
        for _ in member.pieces():
            continue
        contents.add(kind, path, member.size)
    contents.finish()
