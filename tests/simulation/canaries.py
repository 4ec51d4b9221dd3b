#!/usr/bin/env python3
"""Plants one bug after the other and sees whether the simulation finds it (T-CANARY).

    canaries.py SIMULATION_TESTS [NAME...]     all, or those named

Each is a line of the product with `is_planted("NAME")` (modules/core/canary.hpp); the build needs SHOAL_CANARIES. The
case beside the name is the one that should find it. Prints what found each, and exits with 1 when one is missed or
when there is a planted bug that this list does not know.
"""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LOST = "a swarm whose connections get lost*"
SLOW = "a swarm with slow and silent peers*"
WRONG = "a swarm with peers that send wrong blocks*"
DISKS = "a swarm with failing disks*"
POWER = "a swarm whose peers lose power*"
DATAGRAMS = "a swarm whose datagrams get lost*"
UTP = "a swarm that has nothing but datagrams*"
MACHINES = "a swarm on machines that sleep*"
HUB = "a swarm that knows each other by a hub*"
POISON = "a swarm of which three in ten*"
FILLS = "fills.py"  # beside this file: finds what no check of a run can see
CASES = 10  # among which SHOAL_SEEDS is shared (troubles.cpp)

CANARIES = {
    "hash_not_compared": WRONG,
    "no_space_ignored": DISKS,
    "short_write_taken_as_whole": DISKS,
    "claimed_before_sync": POWER,
    "sync_error_ignored": POWER,
    "restart_unchecked": POWER,
    "buffer_not_given_back": LOST,
    "leaver_keeps_requests": LOST,
    "block_counted_twice": SLOW,
    "blame_forgotten": POISON,
    "all_contributors_banned": POISON,
    "slot_given_once": SLOW,
    "snub_timer_never_armed": SLOW,
    "segment_never_sent_again": UTP,
    "token_not_checked": DATAGRAMS,
    "back_off_never_ends": LOST,
    "wake_up_lost": LOST,
    "end_game_never_cancelled": SLOW,
    "newcomer_not_told": LOST,
    "interest_not_told": LOST,
    "cancel_leaves_request": SLOW,
    "rejected_not_returned": SLOW,
    "served_before_verified": LOST,
    "unset_bytes_sent": FILLS,
    "rejoin_forgotten": HUB,
    "withdrawal_forgotten": HUB,
    "leaver_stays_listed": HUB,
}
SEEDS_MAX = 60  # of its case
SECONDS_MAX = 60


def run(tests, name):
    """What came of it: found, the seed, the complaint, seconds."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SHOAL_")}
    environment |= {"SHOAL_CANARY": name}
    began = time.monotonic()
    if CANARIES[name] == FILLS:
        done = subprocess.run([sys.executable, Path(__file__).with_name(FILLS), tests], env=environment, text=True,
                              capture_output=True, check=False)
        return done.returncode != 0, "-", done.stdout.strip(), time.monotonic() - began
    environment |= {"SHOAL_SEEDS": str(SEEDS_MAX if CANARIES[name] == POISON else SEEDS_MAX * CASES)}
    try:
        done = subprocess.run([tests, CANARIES[name], "--abort"], env=environment, capture_output=True, text=True,
                              timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return False, "-", f"not found in {SECONDS_MAX} s", time.monotonic() - began
    seconds = time.monotonic() - began
    if done.returncode == 0:
        return False, "-", f"not found by {SEEDS_MAX} seeds", seconds
    seed = re.search(r"SHOAL_SEED=(\d+)", done.stdout)
    complaint = re.search(r'FAILED:\n(?:.*\n)*?with expansion:\n((?:  .*\n)+)', done.stdout)
    why = " ".join(complaint[1].split()) if complaint else f"ended with {done.returncode}"
    return True, seed[1] if seed else "-", why, seconds


def planted(modules):
    names = set()
    for unit in modules.rglob("*.cpp"):
        names |= set(re.findall(r'is_planted\("(\w+)"\)', unit.read_text(encoding="utf-8")))
    return names


def main():
    tests, names = sys.argv[1], sys.argv[2:] or list(CANARIES)
    unknown = planted(Path(__file__).parents[2] / "modules") ^ set(CANARIES)
    for name in sorted(unknown):
        print(f"{name}: planted, or listed, but not both")
    missed = bool(unknown)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for name, (found, seed, why, seconds) in zip(names, pool.map(lambda each: run(tests, each), names)):
            print(f"{name:30} {'found' if found else 'MISSED':7} seed {seed:>5} {seconds:6.1f} s  {why[:110]}", flush=True)
            missed |= not found
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
