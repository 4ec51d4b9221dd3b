#!/usr/bin/env python3
"""Holds the layout of the house: which room imports what, and where the outside world may be named.

    check.py [TREE]     prints one complaint a line and exits with 1 when there is any

The rules are those of docs/architecture.md; check_test.py shows each of them failing.
"""

import re
import sys
from pathlib import Path

FOUNDATION = ["core", "bencode", "hash", "metainfo"]
CORES = ["wire", "announce", "picker", "choker", "registry", "session", "dht", "utp"]
OUTSIDE = ["net", "store"]
DRIVERS = ["engine", "hub"]
PURE = FOUNDATION + CORES  # values in, values out: no I/O, no clock

# What each room may import. A room that is missing here is a complaint: give it a row first.
MAY_IMPORT = {
    "asio": [],
    "core": [],
    "bencode": ["core"],
    "hash": ["core"],
    "metainfo": ["core", "bencode", "hash"],
    **{room: FOUNDATION for room in CORES},
    **{room: ["asio"] + PURE for room in OUTSIDE},
    **{room: ["asio"] + PURE + OUTSIDE for room in DRIVERS},
}
FACADE = "shoal"  # modules/shoal.cppm re-exports the rooms

UNIT_SUFFIXES = {".cpp", ".cppm"}
SOURCE_SUFFIXES = UNIT_SUFFIXES | {".h", ".hpp"}
SOURCE_FOLDERS = ["modules", "apps", "tests", "bench"]
NOT_OURS = {"build", "node_modules"}  # folders with these names, or with a leading dot, are not searched

# Kept as they are: include directives and numbers (their ' is no quote). Dropped: comments, literals.
TOKEN = re.compile(
    r"""(?P<kept> ^[ \t]*\#[ \t]*include[ \t]*(?:<[^>\n]*>|"[^"\n]*") | \b\d(?:'?[\w.])* )
      | //(?:\\\n|[^\n])* | /\*.*?\*/
      | R"(?P<fence>[^()\\\s]{0,16})\(.*?\)(?P=fence)"
      | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]*)[>"]', re.MULTILINE)
IMPORT = re.compile(r"(?:^|(?<=;))[ \t]*(?:export\s+)?import\s+([\w.:]+)\s*;", re.MULTILINE)
MODULE = re.compile(r"^[ \t]*(export\s+)?module\s+([\w.]+)(\s*:\s*[\w.]+)?\s*;", re.MULTILINE)
CLOCK = re.compile(r"::\s*now\s*\(\s*\)|\b(?:clock_gettime|gettimeofday)\s*\(")
RANDOM = re.compile(r"\brandom_device\b")
GUESSABLE = re.compile(
    r"\bstd\s*::\s*(?:s?rand|mt19937(?:_64)?|minstd_rand0?|default_random_engine)\b|(?<![\w.>:])s?rand\s*\("
)
CONNECTS = re.compile(r"\b(?:http_get|web_socket_connect)\s*\(|\.\s*connect\s*\(")
DETACHED = re.compile(r"\basio\s*::\s*detached(?:_t)?\b")
GLOB = re.compile(r"\bfile\s*\(\s*GLOB", re.IGNORECASE)
LISTED_UNIT = re.compile(r"[\w./-]+\.cppm?\b")


class Source:
    """One C++ file without its comments and literals; offsets in `text` still tell the line."""

    def __init__(self, path):
        def blank(match):
            return match["kept"] if match["kept"] is not None else " " + "\n" * match[0].count("\n")

        self.path = path
        self.text = TOKEN.sub(blank, path.read_text(encoding="utf-8"))
        self.includes = [(m.start(1), m[1]) for m in INCLUDE.finditer(self.text)]
        self.imports = [(m.start(1), m[1]) for m in IMPORT.finditer(self.text)]
        self.module = MODULE.search(self.text)

    def line(self, offset):
        return self.text.count("\n", 0, offset) + 1


class Checker:
    def __init__(self, tree):
        self.tree = Path(tree)
        self.complaints = []

    def run(self):
        rooms = sorted(p for p in (self.tree / "modules").iterdir() if p.is_dir())
        for folder in rooms:
            self.check_room(folder)
        for folder in SOURCE_FOLDERS:
            for path in self.files(self.tree / folder, SOURCE_SUFFIXES):
                self.check_source(Source(path))
        for path in self.files(self.tree, {".txt", ".cmake"}):
            self.check_cmake(path)
        for path in self.files(self.tree / "modules", UNIT_SUFFIXES):
            self.check_listed(path)
        return sorted(self.complaints)

    def check_room(self, folder):
        """A folder is a module, and the module has a row."""
        room = folder.name
        if room not in MAY_IMPORT:
            self.complain(folder, f"the room {room} has no row in {Path(__file__).name}")
        primary = folder / f"{room}.cppm"
        if not primary.is_file():
            self.complain(folder, f"has no primary interface {room}.cppm")
            return
        module = Source(primary).module
        if not module or not module[1] or module[3]:
            self.complain(primary, f"is not the primary interface of shoal.{room}")

    def check_source(self, source):
        room = self.room_of(source.path)
        if room is not None:
            self.check_membership(source, room)
            self.check_imports(source, room)
        if room in PURE:
            self.forbid(source, CLOCK, "a clock: time is an argument here")
            self.forbid(source, RANDOM, "a random device: randomness is a seed here")
        if room not in (None, "store"):  # simulated disks are there, and no secret is
            self.forbid(source, GUESSABLE, "random numbers that can be guessed: take those of net::random")
        if room == "hub":
            self.forbid(source, CONNECTS, "a connection of its own: a hub fetches nothing for strangers")
        if room not in (None, "asio"):  # the facade hands it on to tests
            self.forbid(source, DETACHED, "asio::detached: a coroutine has an owner that joins it")
        if room != "asio":
            for offset, header in source.includes:
                if re.match(r"boost/(asio|beast)\b", header):
                    self.complain(source.path, f"includes {header}: import shoal.asio", source.line(offset))
        self.check_order(source)

    def check_membership(self, source, room):
        """Every unit of a folder belongs to the folder's module."""
        expected = FACADE if room == FACADE else f"shoal.{room}"
        if source.path.suffix in UNIT_SUFFIXES and (not source.module or source.module[2] != expected):
            self.complain(source.path, f"is no unit of {expected}")

    def check_imports(self, source, room):
        for offset, name in source.imports:
            if name.startswith(":") or not re.match(r"shoal\b", name):
                continue  # a partition of its own, or not ours
            target = name.removeprefix("shoal.")
            allowed = MAY_IMPORT if room == FACADE else MAY_IMPORT.get(room, [])
            if target not in allowed:
                self.complain(source.path, f"{room} may not import {name}", source.line(offset))

    def check_order(self, source):
        """Includes below an import, or in the purview of a module, do not compile reliably."""
        marks = [offset for offset, _ in source.imports[:1]]
        marks += [source.module.start()] if source.module else []
        for offset, header in source.includes:
            if marks and offset > min(marks):
                self.complain(source.path, f"includes {header} below an import or module line", source.line(offset))

    def check_cmake(self, path):
        if path.suffix == ".txt" and path.name != "CMakeLists.txt":
            return
        text = uncommented(path)
        for match in GLOB.finditer(text):
            self.complain(path, "globs: files are listed", text.count("\n", 0, match.start()) + 1)
        if path.name == "CMakeLists.txt" and (self.tree / "modules") in path.parents:
            for name in LISTED_UNIT.findall(text):
                if not (path.parent / name).is_file():
                    self.complain(path, f"lists {name}, which does not exist")

    def check_listed(self, path):
        """A unit that no CMakeLists.txt names is dead code which looks alive."""
        lists = next((p / "CMakeLists.txt" for p in path.parents if (p / "CMakeLists.txt").is_file()), None)
        if lists is None or path.relative_to(lists.parent).as_posix() not in LISTED_UNIT.findall(uncommented(lists)):
            self.complain(path, "is listed in no CMakeLists.txt")

    def forbid(self, source, pattern, what):
        for match in pattern.finditer(source.text):
            self.complain(source.path, f"names {what}", source.line(match.start()))

    def room_of(self, path):
        """The room of a file below modules/, the facade's name for a file right in it, else None."""
        parts = path.relative_to(self.tree).parts
        if parts[0] != "modules":
            return None
        return parts[1] if len(parts) > 2 else FACADE

    def files(self, top, suffixes):
        if not top.is_dir():
            return
        for path in sorted(top.iterdir()):
            if path.is_dir():
                if not path.name.startswith(".") and path.name not in NOT_OURS:
                    yield from self.files(path, suffixes)
            elif path.suffix in suffixes:
                yield path

    def complain(self, path, what, line=None):
        where = path.relative_to(self.tree).as_posix() + (f":{line}" if line else "")
        self.complaints.append(f"{where}: {what}")


def uncommented(path):
    return re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))


def main(arguments):
    tree = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    complaints = Checker(tree).run()
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
