"""A release like that of a real app: 2,200 files, 38 MB, 10 MB packed. The same at each run.

Most of it is text that packs well, some is as good as random (images, fonts); sizes are spread as
in a folder of dependencies: many small files, few large ones.
"""

import gzip
import hashlib
import io
import itertools
import math
import random
import tarfile
from pathlib import Path

SEED = 20261125
MEAN_BYTES = 16_400  # of a file
LARGEST_BYTES = 600_000
SPREAD = 1.3  # sigma of the logarithm of sizes
RANDOM_SHARE = 0.06  # of the bytes that do not pack
FOLDERS = 260
WORDS = 4000
PHRASES = 1150  # of four words, the frequent ones more often
MTIME = 1_700_000_000
PACK_LEVEL = 6


class Content:
    """The files of all versions; each version differs by one small file."""

    def __init__(self, files: int) -> None:
        luck = random.Random(SEED)  # noqa: S311 - the same at each run
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = [
            "".join(luck.choices(letters, k=luck.randint(2, 11))) + luck.choice(" ;(.\n")
            for _ in range(WORDS)
        ]
        often = list(itertools.accumulate(1 / rank for rank in range(1, WORDS + 1)))
        phrases = ["".join(luck.choices(words, cum_weights=often, k=4)) for _ in range(PHRASES)]
        folders = _folders(luck, max(1, files * FOLDERS // 2200))
        mu = _mu()
        found: dict[str, bytes] = {}
        sizes = random.Random(SEED)  # noqa: S311
        for number in range(files):
            size = min(LARGEST_BYTES, int(sizes.lognormvariate(mu, SPREAD)))
            name = f"{luck.choice(folders)}/file-{number}.js"
            if luck.random() < RANDOM_SHARE:
                found[name] = luck.randbytes(size)
            else:
                text = "".join(luck.choices(phrases, k=size // 16 + 1))
                found[name] = text.encode()[:size]
        self.files = dict(sorted(found.items()))  # folder by folder, as tar takes them

    @property
    def unpacked_bytes(self) -> int:
        return sum(map(len, self.files.values()))

    def pack(self, version: str, folder: Path) -> Path:
        """This version as a .tar.gz in `folder`."""
        archive = folder / f"release-{version}.tar.gz"
        with (
            archive.open("wb") as file,
            gzip.GzipFile("", "wb", PACK_LEVEL, file, mtime=MTIME) as packed,
            tarfile.open(fileobj=packed, mode="w|") as tar,
        ):
            for name, data in self.of(version).items():
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.mode = len(data), MTIME, 0o644
                tar.addfile(member, io.BytesIO(data))
        return archive

    def of(self, version: str) -> dict[str, bytes]:
        return {"VERSION": version.encode(), **self.files}

    def digest(self, version: str) -> str:
        """Of names and content of all files, as `digest_of_tree` finds it on disk."""
        return _digest(
            {name: hashlib.sha256(data).digest() for name, data in self.of(version).items()}
        )


def digest_of_tree(folder: Path) -> str:
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return _digest(found)


def _digest(of_files: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, digest in sorted(of_files.items()):
        whole.update(name.encode() + b"\0" + digest)
    return whole.hexdigest()


def _folders(luck: random.Random, number: int) -> list[str]:
    folders = ["app"]
    while len(folders) < number:
        parent = luck.choice(folders)
        if parent.count("/") < 5:
            folders.append(f"{parent}/part-{len(folders)}")
    return folders


def _mu() -> float:
    """Of the logarithm of sizes, so that the mean is what is wanted."""
    return math.log(MEAN_BYTES) - SPREAD**2 / 2
