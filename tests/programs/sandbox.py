#!/usr/bin/env python3
"""The sandbox of both programs: what a confined program cannot do any more and what it still can, and that both are confined.

    sandbox.py PEER TRACKER PROBE [NAME...]

PROBE (tests/sandbox) confines itself by the same library and tries everything. Once more without a sandbox, it shows
that the sandbox was what stood in the way.
"""
import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from outside import CLEAN, DONE, INCOMPLETE, PATIENCE, ProgramTest

PEER = TRACKER = PROBE = ""
REFUSED = {errno.EPERM, errno.EACCES, errno.EXDEV}  # EXDEV: Landlock's answer to a link or a move that would widen rights


def tried(how, folder):
    """The version of Landlock, whether there is seccomp, and for each action by kind and name: version, outcome."""
    folder.mkdir()
    done = subprocess.run([PROBE, folder, how], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
                          check=True)
    first, *lines = [line.split("\t") for line in done.stdout.splitlines()]
    actions = {(kind, name): (int(version), outcome) for kind, version, outcome, name in lines}
    assert len(actions) == len(lines), "a name of an action is used twice"
    return int(first[1]), first[2] == "1", actions


def is_refused(outcome):
    return outcome.isdigit() and int(outcome) in REFUSED


class Probe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-sandbox-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.landlock, cls.seccomp, cls.confined = tried("confined", cls.folder / "confined")
        cls.free = tried("free", cls.folder / "free")[2]

    def setUp(self):
        if not self.landlock or not self.seccomp:
            self.skipTest("this kernel has no Landlock or no seccomp")

    def actions(self, kind):
        """Those that this version of Landlock knows."""
        return {name: outcome for (which, name), (version, outcome) in self.confined.items()
                if which == kind and version <= self.landlock}

    def test_what_is_forbidden_is_refused(self):
        let_through = {name: outcome for name, outcome in self.actions("forbidden").items() if not is_refused(outcome)}
        self.assertEqual(let_through, {})

    def test_it_is_the_sandbox_that_refuses(self):
        by_sandbox = [name for name in self.actions("forbidden") if not is_refused(self.free["forbidden", name][1])]
        # Some of it none but root may do anyway; some this machine does not offer.
        self.assertGreaterEqual(len(by_sandbox), 60 if os.geteuid() == 0 else 30, by_sandbox)

    def test_what_is_needed_goes_on_working(self):
        self.assertEqual({name: outcome for name, outcome in self.actions("allowed").items() if outcome != "ok"}, {})
        self.assertGreaterEqual(len(self.actions("allowed")), 20)

    def test_nothing_outside_was_changed(self):
        outside = self.folder / "confined" / "outside"
        names = {str(path.relative_to(outside)) for path in outside.rglob("*")}
        self.assertEqual(names, {"file", "to-delete", "to-move", "to-link", "to-exchange", "empty", "home", "home/.secret"})
        for path in outside.rglob("*"):
            if path.is_file():
                self.assertEqual(path.read_text(), "something to read", path)


class Programs(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-sandbox-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.share = self.folder / "there" / "share"
        self.share.mkdir(parents=True)
        (self.share / "file.bin").write_bytes(os.urandom(300_000))
        self.torrent = self.folder / "share.torrent"
        self.peer("create", self.share, "-o", self.torrent)

    def peer(self, *words, expect=DONE, **more):
        done = subprocess.run([PEER, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE,
                              **({"env": CLEAN} | more))
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stdout

    def tracker(self, *options, **more):
        program = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "hub", "--log-format", "json", *options,
                             **more)
        line = json.loads(program.wait_for('"listening"'))
        return program, line["message"].split("http://")[1].split()[0]

    def moving(self, command, *words, **more):
        program = self.start(PEER, command, *words, "--listen", "127.0.0.1:0", "--state", self.folder / f"state-{command}",
                             "--json", stdin=subprocess.PIPE, **more)  # its end is the end of a console
        self.addCleanup(program.process.stdin.close)
        return program

    def hold_on(self, program):
        """What /proc says of the sandbox of a program, of all its threads."""
        wanted = ("NoNewPrivs", "Seccomp")
        threads = []
        for status in pathlib.Path(f"/proc/{program.process.pid}/task").glob("*/status"):
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            threads.append(tuple(int(lines[name]) for name in wanted))
        return set(threads)

    def test_the_tracker_is_confined_unless_told_not_to_be(self):
        program, _ = self.tracker("--log-level", "debug")
        self.assertIn("sandbox", program.seen.decode())
        self.assertEqual(self.hold_on(program), {(1, 2)})
        self.assertEqual(program.end(signal.SIGTERM), DONE)
        program, _ = self.tracker("--no-sandbox")
        self.assertEqual(self.hold_on(program), {(0, 0)})

    def test_each_command_that_goes_on_is_confined(self):
        hub, address = self.tracker()
        url = f"http://{address}"
        commands = {"seed": (self.torrent, self.share.parent), "share": (self.share, "--tracker", url),
                    "get": (self.torrent, "-o", self.folder / "out"), "console": (self.torrent, "-o", self.folder / "by-hand")}
        for command, words in commands.items():
            with self.subTest(command):
                program = self.moving(command, *words)
                told = json.loads(program.wait_for('"sandbox"'))
                self.assertTrue(told["seccomp"])
                self.assertIn(str(self.folder / f"state-{command}"), told["writable"])
                program.wait_for('"share"' if command in ("get", "seed", "share") else '"sandbox"')
                self.assertEqual(self.hold_on(program), {(1, 2)})
                program.process.kill()
                free = self.moving(command, *words, env=CLEAN | {"SHOAL_NO_SANDBOX": "true"})
                free.wait_for("{")
                self.assertNotIn(b'"sandbox"', free.seen)
                self.assertEqual(self.hold_on(free), {(0, 0)})
                free.process.kill()

    def test_a_file_that_is_shared_may_be_replaced_by_another(self):
        """Landlock's rules are for files, not for their names."""
        _, address = self.tracker()
        film = self.share / "file.bin"
        program = self.moving("share", film, "--tracker", f"http://{address}")
        program.wait_for('"published"')
        (self.share / "new").write_bytes(os.urandom(200_000))
        (self.share / "new").rename(film)
        program.wait_for('"published"', 2)

    def test_another_folder_in_the_place_of_one_that_is_shared_is_told(self):
        _, address = self.tracker()
        program = self.moving("share", self.share, "--tracker", f"http://{address}")
        program.wait_for('"published"')
        self.share.rename(self.folder / "elsewhere")
        program.wait_for('"unshared"')
        self.share.mkdir()
        program.wait_for("not what was there at the start")
        self.share.rmdir()
        (self.folder / "elsewhere").rename(self.share)  # the same folder
        program.wait_for('"published"', 2)

    def test_a_folder_that_is_not_there_yet_is_made_and_fetched_into(self):
        seed = self.moving("seed", self.torrent, self.share.parent)
        address = json.loads(seed.wait_for('"listening"'))["address"]
        out = self.folder / "a" / "b" / "c"
        get = self.moving("get", self.torrent, "-o", out, "--connect", address)
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertEqual((out / "share" / "file.bin").read_bytes(), (self.share / "file.bin").read_bytes())

    def test_a_folder_that_nothing_came_into_is_gone_again(self):
        get = self.moving("get", self.torrent, "-o", self.folder / "a" / "b", "--timeout", "300ms")
        self.assertEqual(get.end(), INCOMPLETE, get.seen)
        self.assertFalse((self.folder / "a").exists())

    def test_relative_paths_mean_the_current_folder(self):
        self.peer("create", "share", "-o", "x.torrent", cwd=self.share.parent)
        self.peer("verify", "x.torrent", ".", cwd=self.share.parent)
        self.peer("show", "x.torrent", cwd=self.share.parent)

    def test_help_tells_how_to_switch_it_off(self):
        for program, *words in ((TRACKER,), (PEER, "get"), (PEER, "create")):
            self.assertIn("--no-sandbox", subprocess.run([program, *words, "--help"], capture_output=True, text=True,
                                                         env=CLEAN, check=True, timeout=PATIENCE).stdout)


if __name__ == "__main__":
    PEER, TRACKER, PROBE = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
    unittest.main()
