#!/usr/bin/env python3
"""Plays every transcript of `peer console` against the real programs, and holds docs/console.md to them.

    transcripts.py PEER TRACKER [NAME...]

A transcript in transcripts/NAME.txt begins with who takes part: `A has nothing; B has everything; S is a seed.` Then

    A> /ping 127.0.0.1 7001     A is told this on its standard input
    A: ...                      A's next line on standard output
    A! ...                      A's next line on standard error
    A= notes.txt                A has this file under its own name, byte for byte
    A.                          A's input ends, and it ends too: with status 1 if it complained, else with 0
    A*                          whatever else A says does not matter
    T: [NEW CONNECTION] ...     T's next line in its log of those that begin with a bracket
    T.                          T is stopped, and says whatever it says then
    T+                          and started again

Ports and times are examples: A, B, C, S, L and T listen at 7000 and up in that order, wherever they really do. Lines of
different programs have no order among each other. Output that no line names is a failure.
"""
import os
import pathlib
import queue
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PEER = TRACKER = ""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
PATIENCE = 60  # seconds that any one wait may take, with sanitizers on a busy machine
QUIET = 0.3  # seconds after which a program that should say nothing more has said nothing more
NAMES = "ABCSLT"
NOMINAL = {name: str(7000 + at) for at, name in enumerate(NAMES)}
CHUNK = 512 * 1024
FILES = {"file1.webm": 2 * CHUNK + 300_000, "notes.txt": 70_000}


def pattern_of(line, ports):
    """A regular expression for an expected line: its ports become the real ones, its times any time."""
    text = re.escape(line)
    for name, nominal in NOMINAL.items():
        if name in ports:
            text = re.sub(rf"\b{nominal}\b", str(ports[name]), text)
    return re.sub(r"\d+\\\.\d{3}\\ ms", r"\\d+\\.\\d{3} ms", text)


def kind_of(line):
    """Of a line on standard error: what the tracker logs about connections is what it says."""
    logged = re.fullmatch(r"\d{4}-\d\d-\d\d [\d:.]+ \w+: (.*)", line)
    if not logged:
        return "!", line
    return (":", logged[1]) if logged[1].startswith("[") else (None, line)


class Running:
    """A program whose standard output and error are read line by line."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=CLEAN)
        self.lines = {":": queue.Queue(), "!": queue.Queue()}
        self.threads = [threading.Thread(target=self.read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, ":"), (self.process.stderr, "!"))]
        for thread in self.threads:
            thread.start()

    def read(self, stream, kind):
        for line in stream:
            line = line.decode(errors="replace").rstrip("\n")
            to, line = kind_of(line) if kind == "!" else (kind, line)
            if to:
                self.lines[to].put(line)

    def next_line(self, kind, patience=PATIENCE):
        try:
            return self.lines[kind].get(timeout=patience)
        except queue.Empty:
            return None

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.terminate()
        return self.end_input()

    def end_input(self):
        self.process.stdin.close()
        status = self.process.wait(timeout=PATIENCE)
        for thread in self.threads:
            thread.join(timeout=PATIENCE)
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def transcripts():
    return sorted((HERE / "transcripts").glob("*.txt"))


class Transcripts(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-console-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.ports = {name: free_port() for name in NAMES}
        self.programs = {}
        self.complained = set()
        self.talkative = set()
        self.original = self.folder / "original" / "film"
        self.original.mkdir(parents=True)
        for name, size in FILES.items():
            (self.original / name).write_bytes(os.urandom(size))
        self.torrent = self.folder / "film.torrent"
        subprocess.run([PEER, "create", self.original, "-o", self.torrent, "--quiet", "--tracker",
                        f"http://127.0.0.1:{self.ports['T']}/announce"], check=True, env=CLEAN,
                       stdout=subprocess.DEVNULL)

    def start(self, name, *command):
        program = self.programs[name] = Running(*command)
        self.addCleanup(program.kill)
        return program

    def wait_for_port(self, name):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.ports[name])) == 0:
                    return
            time.sleep(0.05)
        self.fail(f"{name} does not listen")

    def take_part(self, name, what):
        """Starts one of those who take part."""
        where = self.folder / name
        listen = f"127.0.0.1:{self.ports[name]}"
        if what == "is a seed":
            self.start(name, PEER, "seed", self.torrent, self.original.parent, "--listen", listen, "--state",
                       where / "state", "--quiet")
            return self.wait_for_port(name)
        if what == "is libtorrent":
            client = HERE.parent / "interop" / "libtorrent_client.py"
            if subprocess.run(["/usr/bin/python3", "-c", "import libtorrent"], capture_output=True, check=False).returncode:
                self.skipTest("python3-libtorrent is not there")
            program = self.start(name, "/usr/bin/python3", client, self.torrent, self.original.parent, listen)
            while program.next_line(":") != "seeding":
                pass  # it complains of a tracker before
            return self.wait_for_port(name)
        if what.startswith("is a tracker"):
            limit = ["--nodes-max", 1] if what == "is a tracker with one place" else []
            self.start(name, TRACKER, "--listen", listen, "--data", where, *limit)
            return self.wait_for_port(name)
        held = {"has nothing": [], "has everything": list(FILES)}.get(what, [what.removeprefix("has ")])
        for each in held:
            (where / "film").mkdir(parents=True, exist_ok=True)
            shutil.copy(self.original / each, where / "film" / each)
        self.start(name, PEER, "console", self.torrent, "-o", where, "--listen", listen, "--state", where / "state")
        return self.wait_for_port(name)

    def play(self, path):
        lines = path.read_text(encoding="utf-8").splitlines()
        roles = dict(part.split(" ", 1) for part in lines[0].rstrip(".").split("; "))
        for name, what in roles.items():
            self.take_part(name, what)
        for number, line in enumerate(lines[1:], 2):
            if not line:
                continue
            name, kind, text = line[0], line[1], line[3:]
            where = f"{path.name}:{number}: {line}"
            if kind == "+":
                self.take_part(name, roles[name])
                continue
            program = self.programs[name]
            if kind == ">":
                for each, nominal in NOMINAL.items():
                    text = re.sub(rf"\b{nominal}\b", str(self.ports[each]), text)
                program.tell(text)
            elif kind == "*":
                self.talkative.add(name)
            elif kind == "=":
                self.assertEqual((self.folder / name / "film" / text).read_bytes(), (self.original / text).read_bytes(), where)
            elif kind == ".":
                is_tracker = "tracker" in roles[name]
                status = program.stop() if is_tracker else program.end_input()
                self.assertEqual(status, 1 if name in self.complained else 0, where)
                if not is_tracker:
                    self.nothing_more(name)
                del self.programs[name]
            else:
                got = program.next_line(kind)
                if got is None:
                    other = "!" if kind == ":" else ":"
                    self.fail(f"{where}\n  nothing came; on the other stream: {program.next_line(other, 0.1)}")
                self.assertRegex(got, f"^{pattern_of(text, self.ports)}$", where)
                if kind == "!":
                    self.complained.add(name)
        time.sleep(QUIET)
        for name in list(self.programs):
            self.nothing_more(name)

    def nothing_more(self, name):
        for kind in ":!" if name not in self.talkative else "!":
            self.assertIsNone(self.programs[name].next_line(kind, 0.01), f"{name}{kind} says more")

    def test_the_manual_shows_every_transcript_as_it_is_played(self):
        manual = (HERE.parent.parent / "docs" / "console.md").read_text(encoding="utf-8")
        for path in transcripts():
            with self.subTest(path.stem):
                shown = "".join(f"    {line}\n" if line else "\n" for line in path.read_text(encoding="utf-8").splitlines())
                self.assertTrue(shown in manual, f"docs/console.md does not have transcripts/{path.name} as it is")

    def test_every_command_has_a_transcript(self):
        told = "\n".join(path.read_text(encoding="utf-8") for path in transcripts())
        commands = subprocess.run([PEER, "console", self.torrent, "-o", self.folder / "help", "--state",
                                   self.folder / "help-state", "--listen", "127.0.0.1:0"], input=b"/help\n", env=CLEAN,
                                  capture_output=True, check=True).stdout.decode().splitlines()
        self.assertEqual(len(commands), 19)
        for line in commands:
            if not line.startswith("/help"):  # it was just run
                self.assertIn("> " + line.split()[0], told)


def add_plays():
    for path in transcripts():
        setattr(Transcripts, "test_play_" + path.stem, lambda self, path=path: self.play(path))


if __name__ == "__main__":
    PEER, TRACKER = sys.argv[1:3]
    add_plays()
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
