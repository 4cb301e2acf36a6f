#!/usr/bin/env python3
"""`tidegate demo` so many times in a row, and what became of all its requests.

    .venv/bin/python bench/demo_loop.py --times 10

Exits with 1 if a request failed or a rollout did not end as it has to.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

DEMO = (sys.executable, "-m", "tidegate_controller", "demo", "--json")


def main() -> int:
    parser = argparse.ArgumentParser(description="The demo so many times, its requests added up.")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=5)
    options = parser.parse_args()
    served = failed = bad = rollouts = 0
    began = time.monotonic()
    for number in range(1, options.times + 1):
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
            demo = subprocess.run(
                [*DEMO, "--nodes", str(options.nodes)],
                env={**os.environ, "TMPDIR": folder},
                stdout=subprocess.PIPE,
                check=False,
            )
        bad += demo.returncode != 0
        if not demo.stdout:
            print(f"{number:3}: exit code {demo.returncode}, no result", flush=True)
            continue
        result = json.loads(demo.stdout)
        served += result["requests"]["served"]
        failed += result["requests"]["failed"]
        rollouts += len(result["releases"])
        print(
            f"{number:3}: exit code {demo.returncode}, {result['requests']['served']} served, "
            f"{result['requests']['failed']} failed",
            flush=True,
        )
    print(
        f"{options.times} times, {rollouts} rollouts, {time.monotonic() - began:.0f} s: "
        f"{served} served, {failed} failed, {bad} demos went wrong"
    )
    return 1 if bad or failed else 0


if __name__ == "__main__":
    sys.exit(main())
