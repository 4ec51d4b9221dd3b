#!/usr/bin/env python3
"""peer share at a later start: what it remembers, what it reads again, and what it withdraws from the hub.

    share_again.py PEER TRACKER [NAME...]
"""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from outside import CLEAN, DONE, NOT_FOUND, PATIENCE
from with_hub import WithHub, main


class ShareAgain(WithHub):
    def settled(self, *paths):
        """Waits until nothing can be written to them under the stamps that they have."""
        self.until(lambda: all(time.time() - path.stat().st_ctime > 2.1 for path in paths))

    def records(self, state):
        return [path for path in (state / "shared").glob("*") if not path.suffix]

    def share_for_a_while(self, *paths, count=None, **more):
        """Shares and ends, all of it remembered as durable. Returns its state folder and the info-hashes by path."""
        state, count = self.state(), count or len(paths)
        program = self.share(*paths, state=state, **more)
        program.wait_for('"published"', count)
        self.until(lambda: len(self.records(state)) == count)
        program.end(signal.SIGKILL)
        return state, self.shared_by(program, count)

    def shared_by(self, program, count):
        """The `shared` events of a program, by path."""
        program.wait_for('"shared"', count)
        lines = [json.loads(line) for line in program.seen.split(b"\n")[:-1] if b'"event":"shared"' in line]
        return {pathlib.Path(line["path"]): line for line in lines}

    def listed(self):
        """The info-hashes of all that the hub lists."""
        done = subprocess.run([self.PEER, "find", "--json", "--tracker", self.url], env=CLEAN, capture_output=True, text=True,
                              timeout=PATIENCE)
        self.assertIn(done.returncode, (DONE, NOT_FOUND), done)
        return sorted(line["info_hash"] for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "torrent")

    def test_what_is_as_it_was_is_not_read_at_the_next_start(self):
        large, size = self.made("docs/large.bin", 64 << 20), 64 << 20
        film = self.made("film.bin")
        self.made("docs/deep/small.bin")
        docs = self.folder / "shared" / "docs"
        self.settled(large, film, docs / "deep" / "small.bin")
        state, before = self.share_for_a_while(docs, film)
        again = self.share(docs, film, state=state)
        now = self.shared_by(again, 2)
        self.assertLess(self.bytes_read_by(again), size // 4)
        self.assertEqual([now[path]["hashed"] for path in (docs, film)], [0, 0])
        self.assertEqual([now[path]["info_hash"] for path in (docs, film)], [before[path]["info_hash"] for path in (docs, film)])
        self.get("docs")
        self.assertEqual((self.folder / "out" / "docs" / "large.bin").read_bytes(), large.read_bytes())
        self.get("film.bin")

    def test_who_is_stopped_at_once_remembers_what_was_hashed(self):
        film = self.made("film.bin")
        self.settled(film)
        state = self.state()
        self.assertEqual(self.share(film, state=state).end(signal.SIGTERM), DONE)
        self.assertEqual(self.shared_by(self.share(film, state=state), 1)[film]["hashed"], 0)

    def test_what_was_changed_meanwhile_is_read_anew_and_nothing_else(self):
        large = self.made("docs/large.bin", 4 << 20)
        small = self.made("docs/small.bin")
        docs = self.folder / "shared" / "docs"
        self.settled(large)
        state, before = self.share_for_a_while(docs)
        times = small.stat()
        small.write_bytes(os.urandom(300_000))
        os.utime(small, ns=(times.st_atime_ns, times.st_mtime_ns))
        again = self.share(docs, state=state)
        now = self.shared_by(again, 1)[docs]
        self.assertNotEqual(now["info_hash"], before[docs]["info_hash"])
        self.assertEqual(now["hashed"], 300_000)
        self.until(lambda: self.listed() == [now["info_hash"]])
        self.get("docs")
        self.assertEqual((self.folder / "out" / "docs" / "small.bin").read_bytes(), small.read_bytes())

    def test_of_what_was_not_synced_all_is_read_where_some_was_changed(self):
        large = self.made("docs/large.bin", 4 << 20)
        small = self.made("docs/small.bin")
        docs = self.folder / "shared" / "docs"
        self.settled(large)
        state, _ = self.share_for_a_while(docs)
        record = self.records(state)[0]
        body = record.read_bytes()[32:]
        self.assertTrue(body.startswith(b"d7:durablei1e"))
        body = body.replace(b"7:durablei1e", b"7:durablei0e", 1)
        record.write_bytes(hashlib.sha256(body).digest() + body)
        small.write_bytes(os.urandom(300_000))
        self.assertEqual(self.shared_by(self.share(docs, state=state), 1)[docs]["hashed"], (4 << 20) + 300_000)

    def test_a_file_that_was_just_written_is_read_again_at_the_next_start(self):
        state, now = self.state(), time.time()
        while True:  # the machine may be slow
            film = self.made("film.bin")
            program = self.share(film, state=state)
            was_young = json.loads(program.wait_for('"shared"'))["time"] < time.strftime(
                "%Y-%m-%dT%H:%M:%S", time.gmtime(film.stat().st_ctime + 2))
            program.end(signal.SIGTERM)
            if was_young:
                break
            self.assertLess(time.time(), now + PATIENCE)
        self.assertEqual(self.shared_by(self.share(film, state=state), 1)[film]["hashed"], 300_000)

    def test_what_vanished_meanwhile_is_withdrawn(self):
        one, two = self.made("music/one.ogg"), self.made("music/two.ogg")
        music = self.folder / "shared" / "music"
        state, before = self.share_for_a_while(music, options=["--each"], count=2)
        one.unlink()
        again = self.share(music, options=["--each"], state=state)
        self.assertEqual(json.loads(again.wait_for('"withdrawn"'))["info_hash"], before[one]["info_hash"])
        self.assertEqual(self.listed(), [before[two]["info_hash"]])
        self.until(lambda: len(self.records(state)) == 1)
        again.end(signal.SIGTERM)
        shutil.rmtree(music)  # the folder too: a disk that is not mounted
        last = self.start_share(music, options=["--each"], state=state)
        last.wait_for('"withdrawn"')
        self.assertEqual(self.listed(), [])
        self.until(lambda: self.records(state) == [])

    def test_what_is_renamed_meanwhile_goes_on(self):
        one = self.made("music/a/one.ogg")
        music = self.folder / "shared" / "music"
        state, before = self.share_for_a_while(music, options=["--each"], count=1)
        one.parent.rename(music / "b")
        again = self.share(music, options=["--each"], state=state)
        self.until(lambda: len(self.records(state)) == 1)
        self.assertEqual(self.listed(), [before[one]["info_hash"]])
        self.assertNotIn(b'"withdrawn"', again.seen)
        self.get("one.ogg")
        (music / "b" / "one.ogg").unlink()
        again.wait_for('"withdrawn"')
        self.until(lambda: self.records(state) == [])

    def test_a_path_that_is_away_at_the_start_is_withdrawn_until_it_is_back(self):
        film, other = self.made("disk/film.bin"), self.made("other.bin")
        self.settled(film)
        state, before = self.share_for_a_while(film, other)
        film.parent.rename(self.folder / "unmounted")
        again = self.start_share(film, other, state=state, options=["--no-sandbox"])
        again.wait_for("No such file")
        again.wait_for('"withdrawn"')
        self.until(lambda: self.listed() == [before[other]["info_hash"]])
        (self.folder / "unmounted").rename(film.parent)
        again.wait_for('"published"', 2)
        self.assertEqual(self.listed(), sorted(each["info_hash"] for each in before.values()))
        self.assertEqual(self.shared_by(again, 2)[film]["hashed"], 0)
        self.assertEqual(again.end(signal.SIGTERM), DONE)

    def test_a_folder_that_is_empty_at_the_start_is_withdrawn_until_it_is_filled(self):
        film = self.made("disk/film.bin")
        disk, away = film.parent, self.folder / "away.bin"
        state, before = self.share_for_a_while(disk)
        film.rename(away)
        again = self.start_share(disk, state=state)
        again.wait_for("cannot share")
        again.wait_for('"withdrawn"')
        self.assertEqual(self.listed(), [])
        away.rename(film)
        again.wait_for('"published"')
        self.assertEqual(self.listed(), [before[disk]["info_hash"]])
        self.assertEqual(again.end(signal.SIGTERM), DONE)

    def test_what_vanished_is_withdrawn_when_the_hub_is_back(self):
        one, two = self.made("music/one.ogg"), self.made("music/two.ogg")
        music = self.folder / "shared" / "music"
        state, before = self.share_for_a_while(music, options=["--each"], count=2)
        self.hub.end(signal.SIGTERM)
        one.unlink()
        again = self.start_share(music, options=["--each"], state=state)
        again.wait_for("until it is there")
        again.end(signal.SIGTERM)  # nobody has heard of it
        again = self.start_share(music, options=["--each"], state=state)
        again.wait_for("until it is there")
        port = int(self.url.split(":")[2].split("/")[0])
        self.hub = self.start(self.TRACKER, "--listen", f"127.0.0.1:{port}", "--data", self.folder / "hub")
        again.wait_for('"withdrawn"')
        self.until(lambda: self.listed() == [before[two]["info_hash"]])

    def test_who_shares_something_else_with_the_same_state_withdraws_nothing(self):
        one, other = self.made("music/one.ogg"), self.made("films/film.bin")
        music, films = one.parent, other.parent
        state, before = self.share_for_a_while(music, options=["--each"], count=1)
        one.unlink()
        program = self.share(films, options=["--each"], state=state)
        self.until(lambda: len(self.records(state)) == 2)
        program.end(signal.SIGTERM)
        self.assertNotIn(b'"withdrawn"', program.seen)
        self.assertIn(before[one]["info_hash"], self.listed())
        self.start_share(music, options=["--each"], state=state).wait_for('"withdrawn"')
        self.assertNotIn(before[one]["info_hash"], self.listed())

    def test_what_another_hub_lists_is_left_to_it(self):
        one, two = self.made("music/one.ogg"), self.made("music/two.ogg")
        music, first = one.parent, self.url
        state, before = self.share_for_a_while(music, options=["--each"], count=2)
        one.unlink()
        self.start_hub(name="other hub")
        program = self.share(music, options=["--each"], state=state)
        program.end(signal.SIGTERM)
        self.assertNotIn(b'"withdrawn"', program.seen)
        self.assertEqual(self.listed(), [before[two]["info_hash"]])
        self.url = first
        self.assertIn(before[one]["info_hash"], self.listed())
        self.start_share(music, options=["--each"], state=state).wait_for('"withdrawn"')
        self.assertEqual(self.listed(), [before[two]["info_hash"]])

    def test_what_is_there_is_not_withdrawn_when_only_its_files_are_asked_for(self):
        docs = self.made("all/docs/a.bin").parent
        state, before = self.share_for_a_while(docs)
        program = self.share(docs.parent, options=["--each"], state=state)
        program.end(signal.SIGTERM)
        self.assertNotIn(b'"withdrawn"', program.seen)
        self.assertIn(before[docs]["info_hash"], self.listed())

    def test_a_record_that_is_damaged_or_of_other_options_counts_for_nothing(self):
        film = self.made("film.bin", 3_000_000)
        self.settled(film)
        state, before = self.share_for_a_while(film)
        record = self.records(state)[0]
        whole = record.read_bytes()
        for damage in (whole[:-1], whole[:40], b"", whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], os.urandom(5000)):
            record.write_bytes(damage)
            program = self.share(film, state=state)
            now = self.shared_by(program, 1)[film]
            self.assertEqual((now["hashed"], now["info_hash"]), (3_000_000, before[film]["info_hash"]))
            program.end(signal.SIGTERM)
        program = self.share(film, state=state, options=["--piece-length", "64KiB"])
        now = self.shared_by(program, 1)[film]
        self.assertEqual(now["hashed"], 3_000_000)
        self.until(lambda: self.listed() == [now["info_hash"]])
        program.end(signal.SIGTERM)
        other = self.url
        self.start_hub(name="other hub")
        program = self.share(film, state=state, options=["--piece-length", "64KiB", "--tracker", other])
        self.assertEqual(self.shared_by(program, 1)[film]["info_hash"], now["info_hash"])

    def test_what_no_journal_proves_is_read_and_the_torrent_stays(self):
        film = self.made("film.bin", 3_000_000)
        self.settled(film)
        state, before = self.share_for_a_while(film)
        for journal in state.glob("*.journal"):
            journal.unlink()
        now = self.shared_by(self.share(film, state=state), 1)[film]
        self.assertEqual((now["hashed"], now["info_hash"]), (3_000_000, before[film]["info_hash"]))

    def test_who_cannot_remember_says_so_and_shares(self):
        state = self.state()
        state.mkdir()
        (state / "shared").write_bytes(b"no folder")
        program = self.share(self.made("film.bin"), state=state)
        program.wait_for("what is shared is not remembered: Not a directory")
        self.get("film.bin")


if __name__ == "__main__":
    main()
