#!/usr/bin/env python3
"""Which mutants of the code the tests notice (T-COV).

    mutants.py [--tree FOLDER] [PART OF A FILE'S NAME...]     all of mutants.txt, or those of these files
    mutants.py --check                                        whether each still finds its text

Changes the files of the tree one after the other and puts each back: run it in a copy of the repository that nobody works
in, with the preset `dev` built. Builds and runs the tests of the file's room alone. Prints which mutants survive, and the
score; exits with 1 below 90 %. What does not compile does not count.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

LIST = Path(__file__).with_name("mutants.txt")
WANTED = 0.9
SECONDS_MAX = 120  # a test that runs for longer has noticed


def mutants():
    """(file, text, replacement) of each; a text or replacement may go on over several lines."""
    file, entries = None, []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        mark, rest = line[:2], line[2:]
        if mark == "@ ":
            file = rest
        elif mark == "- ":
            entries.append([file, rest, None])
        elif mark == "+ ":
            entries[-1][2] = rest
        elif line and file:
            which = 1 if entries[-1][2] is None else 2
            entries[-1][which] += "\n" + line
    return [tuple(entry) for entry in entries]


def applied(tree, file, text, replacement):
    source = (tree / file).read_text(encoding="utf-8")
    if source.count(text) != 1:
        sys.exit(f"{file}: stands there {source.count(text)} times: {text}")
    return source.replace(text, replacement)


def run(tree, *command, seconds):
    try:
        return subprocess.run(command, cwd=tree, capture_output=True, timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        return -1


def room_of(file):
    return Path(file).parts[1]


def judged(tree, room):
    """What the room's tests say of the code as it stands."""
    if run(tree, "cmake", "--build", "--preset", "dev", "-j", "2", "--target", f"{room}_tests", seconds=1200) != 0:
        return "does not compile"
    return "SURVIVES" if run(tree, f"build/dev/bin/{room}_tests", "--abort", seconds=SECONDS_MAX) == 0 else "killed"


def verdict(tree, file, mutant):
    original = (tree / file).read_bytes()
    try:
        (tree / file).write_text(mutant, encoding="utf-8")
        return judged(tree, room_of(file))
    finally:
        (tree / file).write_bytes(original)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--tree", type=Path, default=Path(__file__).parents[2])
    options.add_argument("--check", action="store_true")
    options.add_argument("files", nargs="*")
    wanted = options.parse_args()
    chosen = [each for each in mutants() if not wanted.files or any(part in each[0] for part in wanted.files)]
    texts = [applied(wanted.tree, *each) for each in chosen]
    if wanted.check:
        print(f"{len(chosen)} mutants")
        return 0
    for room in sorted({room_of(file) for file, _, _ in chosen}):
        if judged(wanted.tree, room) != "SURVIVES":
            sys.exit(f"the tests of {room} do not pass by themselves")
    counts = {"killed": 0, "SURVIVES": 0, "does not compile": 0}
    for (file, text, replacement), mutant in zip(chosen, texts):
        began = time.monotonic()
        came = verdict(wanted.tree, file, mutant)
        counts[came] += 1
        print(f"{came:16} {time.monotonic() - began:5.0f} s  {file}: {text} => {replacement}".replace("\n", " "), flush=True)
    total = counts["killed"] + counts["SURVIVES"]
    print(f"{counts['killed']} of {total} killed, {counts['does not compile']} do not compile")
    return 0 if total and counts["killed"] >= WANTED * total else 1


if __name__ == "__main__":
    sys.exit(main())
