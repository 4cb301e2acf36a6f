"""Readers of archives: one module a format, each with `members(file)`; `contents` has the rules.

Used by the agent, which unpacks, and by the command line, which looks before anything is sent: what
one of them refuses the other refuses too.

To add a format: a module beside these, a line in `FORMATS`, its first bytes in
`tidegate_protos.formats`, and the hostile archives of the tests written in it.
"""

from collections.abc import Callable, Iterator

from tidegate_protos import formats
from tidegate_protos.archives import tar, tar_gz, tar_zst, zip_archive
from tidegate_protos.archives.reading import File, Member

FORMATS: dict[str, Callable[[File], Iterator[Member]]] = {
    formats.TAR: tar.members,
    formats.TAR_GZ: tar_gz.members,
    formats.TAR_ZST: tar_zst.members,
    formats.ZIP: zip_archive.members,
}
