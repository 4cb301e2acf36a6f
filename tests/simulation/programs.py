"""What is deployed in the simulation: versions of an app, and how each behaves when it runs."""

import hashlib
from dataclasses import dataclass, field
from random import Random
from typing import Literal, get_args

Fate = Literal[
    "good",
    "never healthy",
    "exits at once",
    "crashes",
    "flaps",
    "turns bad",
    "slow",
    "eats memory",  # its migration does, so that the agent is killed half way through it
]
FATES: tuple[Fate, ...] = tuple(fate for fate in get_args(Fate) if fate != "good")


@dataclass(frozen=True)
class Program:
    """One version. `on`: the nodes where the fate holds, empty: on all; it is good elsewhere."""

    app: str
    version: str
    fate: Fate = "good"
    on: frozenset[str] = frozenset()
    up_seconds: float = 1.0  # from the start until it answers
    fate_seconds: float = 5.0  # from then on until it meets its fate
    stop_seconds: float = 0.5  # after SIGTERM
    size_bytes: int = 1_000_000
    scripts: frozenset[str] = frozenset()  # install.sh, migrate.sh
    script_seconds: float = 1.0
    failing: frozenset[str] = frozenset()  # scripts that fail
    refused: bool = False  # by checks, though it is healthy

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(f"{self.app} {self.version}".encode()).hexdigest()

    def fate_on(self, node: str) -> Fate:
        return self.fate if not self.on or node in self.on else "good"

    @property
    def is_good(self) -> bool:
        return self.fate == "good" and not self.failing and not self.refused


@dataclass
class Programs:
    """All that were ever built, by digest."""

    by_digest: dict[str, Program] = field(default_factory=dict)

    def add(self, program: Program) -> Program:
        self.by_digest[program.digest] = program
        return program

    def of(self, hex_digits: str) -> Program:
        return self.by_digest[f"sha256:{hex_digits}"]


def random_program(rng: Random, app: str, version: str, nodes: list[str]) -> Program:
    fate: Fate = "good" if rng.random() < 0.6 else rng.choice(FATES)
    scripts = {name for name in ("install.sh", "migrate.sh") if rng.random() < 0.25}
    if fate == "eats memory":
        scripts.add("migrate.sh")
    failing = {name for name in sorted(scripts) if rng.random() < 0.15}
    some = frozenset(rng.sample(nodes, rng.randint(1, len(nodes))))
    return Program(
        app=app,
        version=version,
        fate=fate,
        on=some if rng.random() < 0.4 else frozenset(),
        up_seconds=rng.choice([0.1, 0.5, 2.0, 6.0]),
        fate_seconds=rng.choice([0.5, 3.0, 10.0, 40.0]),
        stop_seconds=rng.choice([0.05, 0.5, 3.0, 12.0]),
        size_bytes=rng.choice([100_000, 5_000_000, 80_000_000]),
        scripts=frozenset(scripts),
        script_seconds=rng.choice([0.2, 2.0, 8.0]),
        failing=frozenset(failing),
        refused=rng.random() < 0.08,
    )
