#!/usr/bin/env python3
"""Whether unset memory is ever sent (class H8).

    fills.py SIMULATION_TESTS

Runs the same seeds, and asks a tracker the same, twice, each time with other bytes in all memory that comes from the
heap or went back to it. The trace of a run holds all bytes that anybody sent: it is the same, or some of them came from
memory that nobody had set.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def traces(tests, fill):
    # Without the caches of threads, whose memory is not filled.
    environment = os.environ | {"GLIBC_TUNABLES": f"glibc.malloc.perturb={fill}:glibc.malloc.tcache_count=0"}
    done = subprocess.run([tests, "[.traces]"], env=environment, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith(("seed ", "tracker: "))]
    if done.returncode != 0 or not found:
        sys.exit(f"the run itself failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found


def main():
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(lambda fill: traces(sys.argv[1], fill), (85, 170))
    differing = [line.split(":")[0] for line, twin in zip(one, other) if line != twin]
    if differing:
        print(f"what was sent depends on unset memory: {', '.join(differing)}")
    return 1 if differing or len(one) != len(other) else 0


if __name__ == "__main__":
    sys.exit(main())
