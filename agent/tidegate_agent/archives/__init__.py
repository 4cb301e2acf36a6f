"""Readers of archives: one module a format, each with `members(file)`. Used by unpack.py.

To add one: a module beside these, a line in `FORMATS`, its first bytes in
`tidegate_protos.formats`, and the hostile archives of the tests written in it.
"""

from collections.abc import Callable, Iterator

from tidegate_agent.archives import tar, tar_gz, tar_zst, zip_archive
from tidegate_agent.archives.reading import File, Member
from tidegate_protos import formats

FORMATS: dict[str, Callable[[File], Iterator[Member]]] = {
    formats.TAR: tar.members,
    formats.TAR_GZ: tar_gz.members,
    formats.TAR_ZST: tar_zst.members,
    formats.ZIP: zip_archive.members,
}
