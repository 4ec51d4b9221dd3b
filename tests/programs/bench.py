#!/usr/bin/env python3
"""`peer bench` and `tracker bench` as a person or a script runs them: bench.py PEER TRACKER [Case.test_name ...]"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from outside import CLEAN, DONE, FAILED, PATIENCE, USAGE, Program

PEER, TRACKER = sys.argv[1:3]


def run(*words, **options):
    return subprocess.run([str(word) for word in words], env=CLEAN, capture_output=True, text=True, timeout=PATIENCE, **options)


def events(text):
    return [json.loads(line) for line in text.splitlines()]


class OfPeer(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def bench(self, *words):
        return run(PEER, "bench", "--size", "3MiB", "--runs", "1", "--directory", self.folder.name, *words)

    def test_it_tells_how_fast_content_moves_beside_a_raw_copy_and_leaves_nothing(self):
        done = self.bench("--piece-length", "64KiB")
        self.assertEqual(done.returncode, DONE, done.stderr)
        rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
        self.assertEqual(set(rows), {"limit", "peer"})
        self.assertEqual(rows["limit"][-1], "1.00")
        self.assertEqual(list(pathlib.Path(self.folder.name).iterdir()), [])

    def test_scripts_read_each_run_and_the_medians(self):
        done = self.bench("--json")
        told = events(done.stdout)
        self.assertEqual([(each["what"], each["counted"]) for each in told if each["event"] == "run"],
                         [("limit", False), ("peer", False), ("peer", True), ("limit", True)])
        result = next(each for each in told if each["event"] == "result" and each["what"] == "peer")
        self.assertAlmostEqual(result["megabytes_per_second"], 3 * 2**20 / 1e6 / result["seconds"], places=3)
        self.assertGreater(result["cpu_seconds_per_gigabyte"], 0)

    def test_a_folder_that_is_not_there_is_said(self):
        done = run(PEER, "bench", "--directory", "/nowhere/at/all")
        self.assertEqual((done.returncode, done.stdout), (FAILED, ""))
        self.assertIn("/nowhere/at/all", done.stderr)


class OfTracker(unittest.TestCase):
    QUICK = ["--peers", "500", "--torrents", "10", "--want", "20", "--for", "100ms"]

    def right(self, told, what):
        of = {each["by"]: each for each in told if each["event"] == "result" and each["what"] == what}
        for each in of.values():
            self.assertEqual((each["wrong"], each["answered"] > 0, each["peers_per_answer"]), (0, True, 20), each)
        return set(of)

    def test_it_measures_its_own_tracker_each_way_beside_the_limit(self):
        done = run(TRACKER, "bench", "--json", *self.QUICK)
        self.assertEqual(done.returncode, DONE, done.stderr)
        told = events(done.stdout)
        self.assertEqual(self.right(told, "tracker"), {"UDP", "HTTP, kept", "HTTP, closed"})
        self.assertEqual(self.right(told, "limit"), {"UDP", "HTTP, kept", "HTTP, closed"})
        self.assertGreater(next(each for each in told if each["event"] == "memory")["bytes_per_peer"], 0)

    def test_it_measures_a_tracker_that_runs(self):
        with tempfile.TemporaryDirectory() as data:
            tracker = Program(TRACKER, "--listen", "127.0.0.1:0", "--data", data)
            try:
                at = tracker.wait_for("listening on").split("http://")[1].split("/")[0]
                for url, ways in ((f"udp://{at}", {"UDP"}), (f"http://{at}/announce", {"HTTP, kept", "HTTP, closed"})):
                    done = run(TRACKER, "bench", url, "--json", *self.QUICK)
                    self.assertEqual(done.returncode, DONE, done.stderr)
                    self.assertEqual(self.right(events(done.stdout), url), ways)
            finally:
                tracker.end(15)

    def test_announces_at_a_fixed_rate_keep_it(self):
        done = run(TRACKER, "bench", "--json", "--rate", "200", "--peers", "500", "--torrents", "10", "--for", "500ms")
        for each in events(done.stdout):
            if each["event"] == "result":
                self.assertLess(each["announces_per_second"], 220, each)

    def test_answers_that_are_none_are_counted_as_wrong(self):
        with tempfile.TemporaryDirectory() as data:
            run(TRACKER, "passkey", "add", "somebody", "--data", data)
            tracker = Program(TRACKER, "--listen", "127.0.0.1:0", "--data", data, "--access", "members")
            try:
                at = tracker.wait_for("listening on").split("http://")[1].split("/")[0]
                done = run(TRACKER, "bench", f"http://{at}/announce", *self.QUICK)
                self.assertEqual(done.returncode, FAILED)
                self.assertIn("the tracker answers no announce", done.stderr)
            finally:
                tracker.end(15)

    def test_what_is_no_tracker_is_said(self):
        for url in ("nonsense", "wss://127.0.0.1:1/", "udp://127.0.0.1", "http://somewhere.test:80/announce"):
            done = run(TRACKER, "bench", url)
            self.assertEqual((done.returncode, done.stdout), (USAGE, ""), url)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
