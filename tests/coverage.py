#!/usr/bin/env python3
"""Which lines the tests did not run, and whether that is few enough (T-COV).

    coverage.py LINES.info ROOT

LINES.info is what `llvm-cov export -format=lcov` writes. Of the sources in STRICT (what reads strangers' bytes, stores them and
verifies them) every line must have run, but for those named in UNREACHED; of all of it 90 %. Prints a line for each room and names
every line of STRICT that did not run. Exit status 0 when that holds.
"""
import collections
import pathlib
import re
import sys

WHOLE = 90.0
STRICT = re.compile(r"modules/(bencode|metainfo|store|hash|wire|utp|dht|session)/|modules/announce/|modules/net/http_grammar"
                    r"|modules/core/(text|endpoint|bytes)")
# Lines that no test can run, by a piece of their text, and why.
UNREACHED = {}


def read(info):
    """File -> line -> times it ran."""
    lines = collections.defaultdict(dict)
    for row in info.read_text().splitlines():
        kind, _, rest = row.partition(":")
        if kind == "SF":
            current = lines[rest]
        elif kind == "DA":
            number, count = map(int, rest.split(",")[:2])
            current[number] = max(count, current.get(number, 0))
    return lines


def main():
    root = pathlib.Path(sys.argv[2]).resolve()
    rooms, missing = collections.defaultdict(lambda: [0, 0]), []
    for name, lines in sorted(read(pathlib.Path(sys.argv[1])).items()):
        file = pathlib.Path(name).resolve()
        if not file.is_relative_to(root):
            continue
        short = str(file.relative_to(root))
        if not short.startswith(("modules/", "apps/")):
            continue
        text = file.read_text().splitlines()
        room = rooms["/".join(short.split("/")[:2])]
        for number, count in lines.items():
            room[0] += 1
            room[1] += count > 0
            if not count and STRICT.match(short) and not any(part in text[number - 1] for part in UNREACHED):
                missing.append(f"{short}:{number}: {text[number - 1].strip()}")
    for name, (count, ran) in rooms.items():
        print(f"{name:24} {ran:6} of {count:6} lines  {100 * ran / count:5.1f} %")
    count, ran = (sum(column) for column in zip(*rooms.values()))
    print(f"{'all':24} {ran:6} of {count:6} lines  {100 * ran / count:5.1f} % (wanted {WHOLE:.0f} %)")
    print(*missing, sep="\n")
    sys.exit(bool(missing) or 100 * ran / count < WHOLE)


main()
