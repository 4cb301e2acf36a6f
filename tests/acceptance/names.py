"""Whose a name on a desk is: two tests that take the same one would disturb each other."""

import os
from contextlib import suppress
from pathlib import Path


class Names:
    """`folder` is one for all workers of a run: what two tests take shows also where each has
    another desk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def claim(self, name: str, owner: str = "") -> None:
        """For the test that runs, or for `owner`; fails where it is another's."""
        owner = owner or os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        written = self.folder / f".{os.getpid()}"
        written.write_text(owner)
        with suppress(FileExistsError):
            os.link(written, self.folder / name)  # whole or not at all, whoever reads it meanwhile
        written.unlink()
        former = (self.folder / name).read_text()
        assert former == owner, f"{name} is a name of {former}; choose another"
