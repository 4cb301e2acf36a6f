"""`make simulate SEEDS=1000`: many worlds, each drawn from its seed, in as many processes as there
are cores for. `SEED=n` shows one, with its trace where it breaks something.

A twentieth of the seeds runs twice and must end in the same log, to the last hash.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import scenario
from covered import Covered
from scenario import Plan, Scenario
from world import Violated, run

TWICE = 20  # every so manieth seed
CHUNK = 5  # seeds that a process gets at once
TRACE_LINES = 120
SHRINK_RUNS = 150


@dataclass
class Outcome:
    seed: int
    violation: str = ""  # its name
    detail: str = ""
    faults: int = 0
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0
    events: int = 0
    log_hash: str = ""
    covered: Covered = field(default_factory=Covered)
    trace: list[str] = field(default_factory=list)


def play(plan: Plan, tracing: bool = False) -> Outcome:
    outcome = Outcome(plan.seed)
    began = time.process_time()
    told = Scenario(plan, outcome.covered)
    try:
        world, _ = run(plan.seed, told.story, outcome.covered, tracing)
    except Violated as violated:
        outcome.violation, outcome.detail = violated.name, str(violated)
        outcome.trace = list(getattr(violated, "__notes__", ()))
    except Exception as error:
        outcome.violation = type(error).__name__
        outcome.detail = f"the simulation itself failed: {error!r}"
    else:
        outcome.virtual_seconds, outcome.steps = world.now, world.loop.steps
        outcome.events, outcome.log_hash = world.judge.seq, world.judge.last_hash
        outcome.trace = world.trace
    outcome.faults = sum(told.injected.values())
    outcome.cpu_seconds = time.process_time() - began
    return outcome


def play_seed(seed: int) -> Outcome:
    plan = scenario.draw(seed)
    outcome = play(plan)
    if seed % TWICE == 0 and not outcome.violation:
        again = play(plan)
        outcome.cpu_seconds += again.cpu_seconds
        if again.log_hash != outcome.log_hash:
            outcome.violation = "a_seed_gives_the_same_log"
            outcome.detail = f"{outcome.log_hash[:12]} and {again.log_hash[:12]}"
    return outcome


def shrink(plan: Plan, violation: str, tell: Callable[[str], None]) -> Plan:
    """The same violation with as few faults and requests as are found in some tries."""
    runs = 0
    size = max(1, len(plan.happenings) // 2)
    while size >= 1 and runs < SHRINK_RUNS:
        smaller = False
        numbers = [happening.number for happening in plan.happenings]
        for start in range(0, len(numbers), size):
            candidate = plan.without(set(numbers[start : start + size]))
            if len(candidate.happenings) == len(plan.happenings):
                continue
            runs += 1
            if play(candidate).violation == violation:
                plan, smaller = candidate, True
            if runs >= SHRINK_RUNS:
                break
        if not smaller:
            size //= 2
    tell(f"shrunk to {len(plan.happenings)} faults and requests in {runs} runs")
    return plan


def show(seed: int, violation: str) -> None:
    """A seed that breaks something, made as small as can be, with its trace."""
    plan = shrink(scenario.draw(seed), violation, print)
    outcome = play(plan, tracing=True)
    for happening in plan.happenings:
        print(f"  {happening}")
    left_out = len(outcome.trace) - TRACE_LINES
    if left_out > 0:
        print(f"  … {left_out} lines before")
    for line in outcome.trace[-TRACE_LINES:]:
        print(f"  {line[:240]}")
    print(f"  {outcome.violation}: {outcome.detail}")
    print(f"again: make simulate SEED={seed}")


def simulate(first: int, count: int, workers: int) -> int:
    """The number of seeds that break something."""
    began = time.monotonic()
    total, failed, done = Covered(), [], 0
    cpu = virtual = 0.0
    seeds = range(first, first + count)
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for outcome in pool.imap_unordered(play_seed, seeds, CHUNK):
            done += 1
            total.add(outcome.covered)
            cpu += outcome.cpu_seconds
            virtual += outcome.virtual_seconds
            if outcome.violation:
                failed.append(outcome)
                print(f"seed {outcome.seed}: {outcome.detail}", flush=True)
            if done % 100 == 0:
                seconds = time.monotonic() - began
                print(f"{done} seeds, {len(failed)} failed, {seconds:.0f} s", flush=True)
    seconds = time.monotonic() - began
    print(f"seeds        {first} to {first + count - 1}, {len(failed)} failed")
    for line in total.report():
        print(line)
    print(
        f"time         {seconds:.0f} s, {cpu / max(done, 1):.3f} s of CPU a seed; "
        f"{virtual / 3600:.1f} hours were simulated"
    )
    failed.sort(key=lambda outcome: outcome.seed)
    shown: set[str] = set()
    for outcome in failed:
        if outcome.violation not in shown and len(shown) < 3:
            shown.add(outcome.violation)
            print(f"\nseed {outcome.seed}: {outcome.detail}")
            show(outcome.seed, outcome.violation)
    return len(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    given = parser.parse_args()
    if given.seed is None:
        return 1 if simulate(given.first, given.seeds, given.workers) else 0
    outcome = play_seed(given.seed)
    if not outcome.violation:
        print(f"seed {given.seed} breaks nothing: {outcome.faults} faults, {outcome.events} events")
        return 0
    show(given.seed, outcome.violation)
    return 1


if __name__ == "__main__":
    sys.exit(main())
