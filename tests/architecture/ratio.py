#!/usr/bin/env python3
"""Lines of tests for each line of code (T-RATIO): ratio.py. Lines that are not blank, of what git knows."""
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE = {".cpp", ".cppm", ".hpp", ".ts", ".tsx", ".css", ".html"}
TESTS = CODE | {".py", ".mjs", ".sh"}


def lines(folders, suffixes):
    names = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [ROOT / name for name in names if pathlib.Path(name).suffix in suffixes]
    return sum(sum(bool(line.strip()) for line in path.read_text(errors="replace").splitlines()) for path in paths)


if __name__ == "__main__":
    code, tests = lines(["modules", "apps"], CODE), lines(["tests"], TESTS)
    print(f"{tests} lines of tests for {code} of code: {tests / code:.2f}")
