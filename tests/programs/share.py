#!/usr/bin/env python3
"""peer share, find and get by name, with a hub: the second system of the specification, from outside.

    share.py PEER TRACKER [NAME...]
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from outside import CLEAN, DONE, FAILED, NOT_FOUND, PATIENCE, UNREACHABLE, USAGE, ProgramTest

PEER = TRACKER = ""


class Share(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-share-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.count = 0
        self.hub = self.start_hub()

    def start_hub(self, *options):
        hub = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "hub", *options)
        self.url = hub.wait_for("listening on").split("listening on ")[1].split("/announce")[0] + "/announce"
        return hub

    def state(self):
        self.count += 1
        return self.folder / f"state{self.count}"

    def share(self, *paths, options=()):
        """A sharing peer; all its paths are published."""
        program = self.start(PEER, "share", *paths, "--tracker", self.url, "--listen", "127.0.0.1:0", "--state",
                             self.state(), "--json", *options)
        program.wait_for('"published"', len(paths))
        return program

    def peer(self, *words, expect=DONE):
        done = subprocess.run([PEER, *map(str, words), "--tracker", self.url], env=CLEAN, capture_output=True, text=True,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, expect, done)
        return done

    def get(self, name, out="out", expect=DONE):
        return self.peer("get", name, "-o", self.folder / out, "--listen", "127.0.0.1:0", "--state", self.state(),
                         "--timeout", "30s", expect=expect)

    def found(self, *pattern):
        done = self.peer("find", *pattern, "--json")
        return {line["name"]: line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "torrent"}

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except AssertionError:
                pass
            time.sleep(0.2)
        self.fail("did not come true")

    def made(self, name, size=300_000):
        path = self.folder / "shared" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path

    def test_a_file_is_fetched_by_its_name_from_several_nodes(self):
        film = self.made("film.bin", 3_000_000)
        copy = self.folder / "second" / "film.bin"
        copy.parent.mkdir()
        shutil.copy(film, copy)
        self.share(film)
        self.share(copy)
        self.until(lambda: self.found()["film.bin"]["nodes"] == 2)
        self.get("film.bin")
        self.assertEqual((self.folder / "out" / "film.bin").read_bytes(), film.read_bytes())

    def test_folders_empty_files_and_any_name(self):
        self.made("ordner/tief/übersicht 概要.bin")
        self.made("ordner/empty", 0)
        self.share(self.folder / "shared" / "ordner")
        self.get("ordner")
        theirs = {path.relative_to(self.folder / "shared"): path.read_bytes()
                  for path in (self.folder / "shared" / "ordner").rglob("*") if path.is_file()}
        ours = {path.relative_to(self.folder / "out"): path.read_bytes()
                for path in (self.folder / "out" / "ordner").rglob("*") if path.is_file()}
        self.assertEqual(theirs, ours)
        self.assertIn("ordner", self.found("übers"))
        self.assertEqual(self.found("*ner").keys(), {"ordner"})

    def test_each_file_of_a_folder_can_be_a_torrent_of_its_own(self):
        self.made("music/one.ogg")
        self.made("music/two.ogg")
        program = self.share(self.folder / "shared" / "music", options=["--each"])
        self.until(lambda: len(self.found()) == 2)
        self.get("two.ogg")
        self.assertEqual(program.end(signal.SIGTERM), DONE)

    def test_share_prints_magnet_links_alone(self):
        film = self.made("film.bin")
        program = subprocess.Popen([PEER, "share", film, "--tracker", self.url, "--state", self.state(), "--listen",
                                    "127.0.0.1:0"], env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        rest, _ = program.communicate(timeout=PATIENCE)
        self.assertTrue(line.startswith("magnet:?xt=urn:btih:"), line)
        self.assertEqual(rest, "")
        self.assertEqual(program.returncode, DONE)

    def test_changed_new_and_removed_files_are_published_anew(self):
        self.made("docs/a.bin")
        b = self.made("docs/b.bin")
        program = self.share(self.folder / "shared" / "docs")
        before = self.found()["docs"]
        self.made("docs/c.bin", 100_000)
        self.until(lambda: self.found()["docs"]["info_hash"] != before["info_hash"] and self.found()["docs"]["nodes"] == 1)
        between = self.found()["docs"]
        self.assertEqual(between["files"], 3)
        b.unlink()
        self.until(lambda: self.found()["docs"]["info_hash"] != between["info_hash"] and self.found()["docs"]["nodes"] == 1)
        self.get("docs")
        self.assertEqual({path.name for path in (self.folder / "out" / "docs").iterdir()}, {"a.bin", "c.bin"})
        self.assertEqual((self.folder / "out" / "docs" / "c.bin").read_bytes(),
                         (self.folder / "shared" / "docs" / "c.bin").read_bytes())
        shutil.rmtree(self.folder / "shared" / "docs")
        program.wait_for('"unshared"')
        self.until(lambda: self.peer("find", expect=NOT_FOUND))

    def test_two_contents_of_one_name_are_told_apart_by_hash(self):
        first = self.made("one/film.bin")
        second = self.made("two/film.bin")
        self.share(first)
        self.share(second)
        done = self.get("film.bin", expect=FAILED)
        hashes = [word for word in done.stderr.split() if len(word) == 40]
        self.assertEqual(len(hashes), 2, done.stderr)
        self.get(hashes[0])
        self.assertIn((self.folder / "out" / "film.bin").read_bytes(), (first.read_bytes(), second.read_bytes()))

    def test_unknown_names_say_so_with_near_matches(self):
        self.share(self.made("holiday film.mkv"))
        done = self.get("holyday film.mkv", expect=NOT_FOUND)
        self.assertIn("like it: holiday film.mkv", done.stderr)
        self.peer("find", "nothing like that", expect=NOT_FOUND)

    def test_a_hub_that_is_not_there_is_status_4(self):
        self.hub.end(signal.SIGTERM)
        self.peer("find", expect=UNREACHABLE)
        self.get("film.bin", expect=UNREACHABLE)

    def test_sharing_survives_the_hub(self):
        film = self.made("film.bin")
        program = self.share(film)
        self.hub.end(signal.SIGKILL)
        program.wait_for("hub is lost")
        port = self.url.split(":")[2].split("/")[0]
        again = self.start(TRACKER, "--listen", f"127.0.0.1:{port}", "--data", self.folder / "other hub")
        again.wait_for("listening on")
        self.until(lambda: self.found()["film.bin"]["nodes"] == 1)
        self.get("film.bin")

    def test_a_node_that_dies_disappears_and_its_content_stays_listed(self):
        program = self.share(self.made("film.bin"))
        program.end(signal.SIGKILL)
        self.until(lambda: self.found()["film.bin"]["nodes"] == 0)

    def test_usage(self):
        done = subprocess.run([PEER, "share", self.folder, "--tracker", "udp://127.0.0.1:1"], env=CLEAN,
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, USAGE, done)
        done = subprocess.run([PEER, "share", self.folder / "nowhere", "--tracker", self.url, "--state", self.state()],
                              env=CLEAN, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, NOT_FOUND, done)


if __name__ == "__main__":
    PEER, TRACKER = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
