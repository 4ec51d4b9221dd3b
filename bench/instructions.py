#!/usr/bin/env python3
"""Instructions that the hot paths take, as callgrind counts them, against what is written down:

    instructions.py HOT_PATHS [--write]     of the release build: instructions.py build/release/bin/hot_paths

More than SLACK above what instructions.json says is a failure (status 1); so much below it is told, to be written down with
--write. The counts are those of one compiler and one standard library: the same on every machine that has them.
"""
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys

KEPT = pathlib.Path(__file__).with_name("instructions.json")
SLACK = 0.05


def count(program, name):
    ran = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=hot_path", "--callgrind-out-file=/dev/null", program, name],
                         capture_output=True, text=True, timeout=300)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode != 0 or not found or found[1] == "0":
        raise SystemExit(f"{name} was not counted: {ran.stderr[-500:]}")
    return int(found[1])


def main():
    program = sys.argv[1]
    names = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        found = dict(zip(names, workers.map(lambda name: count(program, name), names)))
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps(found, indent=2) + "\n")
    kept, failed = json.loads(KEPT.read_text()), False
    for name in names:
        ratio = found[name] / kept[name] if name in kept else float("inf")
        failed = failed or ratio > 1 + SLACK
        verdict = "MORE" if ratio > 1 + SLACK else "less: write it down" if ratio < 1 - SLACK else ""
        print(f"{name:18} {found[name]:>12,}  {ratio:6.3f}  {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
