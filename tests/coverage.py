#!/usr/bin/env python3
"""What the tests did not run: coverage.py LLVM_COV PROFILE PROGRAM...

Prints a line for each folder of modules/ and apps/, one for all branches, and each line of strict files that no test ran. Strict are
the readers of strangers' bytes, the store and what verifies: there every line is run, or stands in coverage_exempt.txt with the
reason. Of the whole tree WHOLE per cent are run. Exit status 0 when both hold; lines that are exempt and are run all the same are told, too.
"""

import fnmatch
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXEMPT = ROOT / "tests" / "coverage_exempt.txt"
WHOLE = 90
OURS = ("modules/", "apps/")
STRICT = ["modules/bencode/*", "modules/hash/*", "modules/metainfo/*", "modules/announce/*", "modules/store/*", "modules/session/*",
          "modules/wire/messages.*", "modules/wire/handshake.*", "modules/wire/extension.*", "modules/wire/exchange.*",
          "modules/wire/metadata.*", "modules/wire/receive.*", "modules/wire/ping.*", "modules/dht/message.*", "modules/net/http_grammar.*",
          "modules/utp/packet.*"]


def counts(llvm_cov, profile, programs):
    """For each file, how often each line that has code was run; and for all, how often each condition went each way."""
    objects = [word for program in programs for word in ("-object", program)]
    report = subprocess.run([llvm_cov, "export", "-format=lcov", f"-instr-profile={profile}", *objects,
                             "-ignore-filename-regex=/usr/", "-ignore-filename-regex=/tests/"], check=True, capture_output=True, text=True).stdout
    files, lines, branches, name = {}, {}, {}, ""
    for line in report.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            path = pathlib.Path(rest)
            name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""
            lines = files.setdefault(name, {})
        elif kind == "DA":
            number, count = map(int, rest.split(",")[:2])
            lines[number] = max(lines.get(number, 0), count)
        elif kind == "BRDA" and name.startswith(OURS):
            which, _, count = rest.rpartition(",")
            branches[name, which] = max(branches.get((name, which), 0), int(count) if count != "-" else 0)
    return {name: lines for name, lines in files.items() if name.startswith(OURS)}, branches


def is_strict(name):
    return any(fnmatch.fnmatch(name, pattern) for pattern in STRICT)


def exempt_lines():
    """Of `path: text of the line  # why`: the pairs of path and text."""
    found = set()
    for line in EXEMPT.read_text().splitlines():
        if line and not line.startswith("#"):
            path, _, text = line.partition(": ")
            found.add((path, text.rpartition("  # ")[0].strip()))
    return found


def main():
    files, branches = counts(sys.argv[1], sys.argv[2], sys.argv[3:])
    exempt, unused, missed = exempt_lines(), exempt_lines(), []
    folders = {}
    for name, lines in sorted(files.items()):
        folder = folders.setdefault("/".join(name.split("/")[:2]), [0, 0])
        folder[0] += sum(count > 0 for count in lines.values())
        folder[1] += len(lines)
        if not is_strict(name):
            continue
        text = (ROOT / name).read_text().splitlines()
        for number, count in sorted(lines.items()):
            line = text[number - 1].strip()
            if count == 0 and line.strip("{}();, "):
                unused.discard((name, line))
                if (name, line) not in exempt:
                    missed.append(f"{name}:{number}: {line}")
    for folder, (run, there) in sorted(folders.items()):
        print(f"{100 * run / there:5.1f} %  {run:5} of {there:5}  {folder}")
    run, there = (sum(each[i] for each in folders.values()) for i in (0, 1))
    print(f"{100 * run / there:5.1f} %  {run:5} of {there:5}  lines of all")
    taken = sum(count > 0 for count in branches.values())
    print(f"{100 * taken / max(len(branches), 1):5.1f} %  {taken:5} of {len(branches):5}  branches of all")
    for line in missed:
        print(f"no test runs {line}")
    for path, text in sorted(unused):
        print(f"exempt, and run all the same or gone: {path}: {text}")
    is_enough = 100 * run >= WHOLE * there
    if not is_enough:
        print(f"less than {WHOLE} %")
    return 0 if is_enough and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
