#!/usr/bin/env python3
"""The peer program from outside, moving files: seed, get, resume, signals, limits, exit statuses.

    peer_transfer.py PEER TRACKER [NAME...]
"""
import hashlib
import http.server
import json
import os
import pathlib
import resource
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
import urllib.parse

from outside import (CLEAN, DONE, FAILED, INCOMPLETE, MISMATCH, NOT_FOUND, NOT_WRITABLE, PATIENCE, UNREACHABLE,
                     ProgramTest, bencode)

PEER = TRACKER = ""


class Transfer(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-transfer-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.share = self.folder / "there" / "share"
        (self.share / "nested").mkdir(parents=True)
        (self.share / "large.bin").write_bytes(os.urandom(6_000_000))
        (self.share / "nested" / "übersicht.txt").write_bytes(os.urandom(70_001))
        (self.share / "empty").write_bytes(b"")
        self.torrent = self.create(self.share)
        self.out = self.folder / "out"

    def create(self, source, *options):
        torrent = self.folder / f"{source.name}-{len(options)}.torrent"
        subprocess.run([PEER, "create", source, "-o", torrent, "--piece-length", "64KiB", "--quiet", *options],
                       check=True, env=CLEAN, stdout=subprocess.DEVNULL)
        return torrent

    def seed(self, *options, torrent=None, **more):
        """A running seed and its address."""
        program = self.start(PEER, "seed", torrent or self.torrent, self.share.parent, "--listen", "127.0.0.1:0",
                             "--state", self.folder / "seed-state", "--json", *options, **more)
        address = json.loads(program.wait_for('"listening"'))["address"]
        program.wait_for('"start"')
        return program, address

    def get(self, *options, torrent=None, **more):
        return self.start(PEER, "get", torrent or self.torrent, "-o", self.out, "--listen", "127.0.0.1:0",
                          "--state", self.folder / "get-state", "--json", *options, **more)

    def same(self):
        theirs = {path.relative_to(self.share): path.read_bytes() for path in self.share.rglob("*") if path.is_file()}
        root = self.out / "share"
        ours = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        return theirs == ours

    def test_a_get_ends_with_status_0_when_every_file_is_there_under_its_name(self):
        seed, address = self.seed()
        get = self.get("--connect", address)
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertTrue(self.same())
        self.assertIn(b'"complete"', get.seen)
        self.assertEqual(seed.end(signal.SIGTERM), DONE)

    def test_peers_find_each_other_through_the_tracker_alone(self):
        tracker = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "tracker")
        line = tracker.wait_for("listening")
        for scheme in ("http", "udp"):
            with self.subTest(scheme=scheme):
                url = next(word for word in line.split() if word.startswith(scheme + "://127.0.0.1"))
                if not url.endswith("/announce"):
                    url += "/announce"
                seed, _ = self.seed("--tracker", url)
                seed.wait_for('"announce"')
                get = self.get("--tracker", url)
                self.assertEqual(get.end(), DONE, get.seen)
                self.assertTrue(self.same())
                seed.end(signal.SIGTERM)
                shutil.rmtree(self.out)
                shutil.rmtree(self.folder / "get-state")
        self.assertEqual(tracker.end(signal.SIGTERM), DONE)

    def magnet(self, torrent, **more):
        """Its link as `create` prints it, without the tracker of the torrent."""
        shown = json.loads(subprocess.run([PEER, "show", torrent, "--json"], env=CLEAN, capture_output=True, check=True).stdout)
        return "magnet:?" + "&".join(f"{key.replace('_', '.')}={value}" for key, value in
                                     {"xt": "urn:btih:" + shown["info_hash_v1"], **more}.items())

    def test_a_magnet_link_is_enough_to_fetch(self):
        _, address = self.seed()
        get = self.get(torrent=self.magnet(self.torrent, x_pe=address))
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertTrue(self.same())
        shutil.rmtree(self.out)
        get = self.get("--connect", address, torrent=self.magnet(self.torrent, so="9,1-1"))
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertEqual([path.name for path in self.out.rglob("*") if path.is_file() and path.stat().st_size], ["large.bin"])

    def test_a_magnet_link_is_enough_where_a_tracker_knows_the_swarm(self):
        tracker = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "tracker")
        line = tracker.wait_for("listening")
        url = next(word for word in line.split() if word.startswith("http://127.0.0.1"))
        url = url if url.endswith("/announce") else url + "/announce"
        seed, _ = self.seed("--tracker", url)
        seed.wait_for('"announce"')
        get = self.get(torrent=self.magnet(self.torrent, tr=urllib.parse.quote(url, safe="")))
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertTrue(self.same())
        self.assertIn(url.encode(), get.seen.replace(b"\\/", b"/"))  # the torrent has the tracker of the link

    def test_what_a_magnet_link_lacks_is_said_in_so_many_words(self):
        for link, status, words in ((self.magnet(self.torrent) + "0", FAILED, b"info-hash"),
                                    ("magnet:?xt=urn:btmh:1220" + "ab" * 32, FAILED, b"v2 only"),
                                    (self.magnet(self.torrent, x_pe="127.0.0.1:1"), INCOMPLETE, b"nobody told")):
            with self.subTest(link=link):
                get = self.get("--timeout", "1s", torrent=link)
                self.assertEqual(get.end(), status, get.seen)
                self.assertIn(words, get.seen)

    def test_a_signal_ends_a_get_with_status_7_and_it_goes_on_from_there(self):
        _, address = self.seed("--upload-limit", "2MB")
        get = self.get("--connect", address)
        get.wait_for('"piece"')
        self.assertEqual(get.end(signal.SIGTERM), INCOMPLETE, get.seen)
        self.assertTrue((self.out / "share" / "large.bin.part").exists())
        again = self.get("--connect", address)
        self.assertEqual(again.end(), DONE, again.seen)
        complete = json.loads(again.wait_for('"complete"'))
        self.assertLess(complete["downloaded"], complete["bytes"])
        self.assertTrue(self.same())

    def test_a_get_that_was_killed_goes_on_and_loses_nothing(self):
        _, address = self.seed("--upload-limit", "3MB")
        for _ in range(3):
            get = self.get("--connect", address)
            get.wait_for('"piece"')
            get.end(signal.SIGKILL)
        again = self.get("--connect", address)
        self.assertEqual(again.end(), DONE, again.seen)
        self.assertTrue(self.same())

    def test_two_processes_cannot_fetch_into_one_place(self):
        _, address = self.seed("--upload-limit", "1MB")
        first = self.get("--connect", address)
        first.wait_for('"piece"')
        second = self.get("--connect", address)
        self.assertEqual(second.end(), FAILED, second.seen)
        self.assertIn(b"another process", second.seen.lower())
        self.assertEqual(first.end(signal.SIGTERM), INCOMPLETE)

    def test_a_time_limit_ends_a_get_with_status_7(self):
        get = self.get("--connect", "127.0.0.1:1", "--timeout", "1s")
        self.assertEqual(get.end(), INCOMPLETE, get.seen)

    def test_nobody_to_be_reached_is_status_4(self):
        get = self.get("--connect", "127.0.0.1:1")
        self.assertEqual(get.end(), UNREACHABLE, get.seen)

    def test_names_that_are_not_portable_are_shared_and_found_again(self):
        for name in ("a:b", "README", "readme", "what?.txt", "trailing.", "dir*/x"):
            (self.share / name).parent.mkdir(exist_ok=True)
            (self.share / name).write_bytes(os.urandom(70_000))
        odd = self.share.rename(self.share.parent / "odd?")
        torrent = self.create(odd)
        check = subprocess.run([PEER, "verify", torrent, odd.parent], env=CLEAN, capture_output=True, check=False)
        self.assertEqual(check.returncode, DONE, check)
        _, address = self.seed(torrent=torrent)
        get = self.get("--connect", address, torrent=torrent)
        self.assertEqual(get.end(), DONE, get.seen)
        theirs = sorted(path.read_bytes() for path in odd.rglob("*") if path.is_file())
        ours = sorted(path.read_bytes() for path in self.out.rglob("*") if path.is_file())
        self.assertEqual(theirs, ours)

    def test_of_names_that_are_read_alike_the_right_file_is_served(self):
        for name in ("a:b", "a_b"):
            (self.share / name).write_bytes(os.urandom(70_000))
            (self.share.parent / name).write_bytes(os.urandom(70_000))
        (self.share.parent / "a*b").write_bytes(os.urandom(70_000))
        for content in (self.share, self.share.parent / "a:b"):
            torrent = self.create(content)
            seed, address = self.seed(torrent=torrent)
            get = self.get("--connect", address, torrent=torrent)
            self.assertEqual(get.end(), DONE, get.seen)
            seed.end(signal.SIGTERM)
        self.assertEqual((self.out / "share/a_b").read_bytes(), (self.share / "a:b").read_bytes())
        self.assertEqual((self.out / "share/a_b (1)").read_bytes(), (self.share / "a_b").read_bytes())
        self.assertEqual((self.out / "a_b").read_bytes(), (self.share.parent / "a:b").read_bytes())

    def serve(self, answer):
        """An HTTP server of this test, which answers as `answer(handler)` does; its URL."""
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self)

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def test_a_torrent_is_fetched_from_its_URL(self):
        def answer(request):
            bodies = {"/right.torrent": self.torrent.read_bytes(), "/wrong.torrent": b"no torrent"}
            body = bodies.get(request.path, b"")
            request.send_response(200 if body else 404)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        url = self.serve(answer)
        _, address = self.seed()
        for path, status in (("/right.torrent", DONE), ("/none.torrent", NOT_FOUND), ("/wrong.torrent", FAILED)):
            get = self.get("--connect", address, torrent=url + path)
            self.assertEqual(get.end(), status, get.seen)
        self.assertTrue(self.same())
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        get = self.get("--connect", address, torrent=f"http://127.0.0.1:{port}/right.torrent")
        self.assertEqual(get.end(), UNREACHABLE, get.seen)

    def test_a_bit_that_the_disk_lost_is_told_of(self):
        seed, _ = self.seed("--scrub", "3s")
        path = self.share / "large.bin"
        before = path.stat()
        with path.open("r+b") as file:
            file.seek(3_000_000)
            lost = file.read(1)[0] ^ 1
            file.seek(3_000_000)
            file.write(bytes([lost]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        seed.wait_for("share: the disk has lost some of piece 45")
        self.assertEqual(seed.end(signal.SIGTERM), DONE, seed.seen)

    def test_a_URL_of_this_network_may_lead_on_within_it(self):
        """From outside it may not (class J2): tests/net/http_client.cpp."""
        def answer(request):
            request.send_response(302 if request.path == "/moved.torrent" else 200)
            if request.path == "/moved.torrent":
                request.send_header("Location", "/right.torrent")
            body = self.torrent.read_bytes() if request.path == "/right.torrent" else b""
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        url = self.serve(answer)
        _, address = self.seed()
        get = self.get("--connect", address, torrent=url + "/moved.torrent")
        self.assertEqual(get.end(), DONE, get.seen)

    def test_a_hub_whose_list_never_ends_is_left_in_time(self):
        asked = []

        def answer(request):
            asked.append(request.path)
            body = json.dumps({"torrents": [], "near": [], "next": str(len(asked))}).encode()
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        find = self.start(PEER, "find", "--tracker", self.serve(answer))
        self.assertEqual(find.end(), NOT_FOUND, find.seen)
        self.assertEqual(len(asked), 100)

    def test_a_signal_ends_it_soon_while_a_server_is_silent(self):
        asked, ended = threading.Event(), threading.Event()
        self.addCleanup(ended.set)

        def answer(_):
            asked.set()
            ended.wait()
        url = self.serve(answer)
        for words in (("get", url + "/x.torrent", "-o", self.out), ("get", "name", "-o", self.out, "--tracker", url),
                      ("find", "--tracker", url)):
            asked.clear()
            program = self.start(PEER, *words)
            self.assertTrue(asked.wait(PATIENCE))
            began = time.monotonic()
            self.assertEqual(program.end(signal.SIGTERM), INCOMPLETE, program.seen)
            self.assertLess(time.monotonic() - began, 5)

    def test_get_goes_on_seeding_until_its_time_or_ratio_is_reached(self):
        seed, address = self.seed()
        kept = self.get("--connect", address, "--seed")
        timed = self.start(PEER, "get", self.torrent, "-o", self.folder / "timed", "--listen", "127.0.0.1:0", "--state",
                           self.folder / "timed-state", "--connect", address, "--json", "--seed-time", "300ms")
        kept_at = json.loads(kept.wait_for('"listening"'))["address"]
        kept.wait_for('"complete"')
        self.assertEqual(timed.end(), DONE, timed.seen)
        self.assertIn(b'"complete"', timed.seen)
        seed.end(signal.SIGTERM)

        def second(name, *options):  # gets it from those that go on seeding alone
            return self.start(PEER, "get", self.torrent, "-o", self.folder / name, "--listen", "127.0.0.1:0", "--state",
                              self.folder / (name + "-state"), "--json", *options)
        ratio = second("ratio", "--connect", kept_at, "--seed-ratio", "1")
        ratio_at = json.loads(ratio.wait_for('"listening"'))["address"]
        ratio.wait_for('"complete"')
        self.assertIsNone(ratio.process.poll())
        self.assertEqual(kept.end(signal.SIGTERM), DONE, kept.seen)
        last = second("last", "--connect", ratio_at)
        self.assertEqual(last.end(), DONE, last.seen)
        self.assertEqual(ratio.end(), DONE, ratio.seen)

    def test_that_nobody_has_the_content_is_said(self):
        tracker = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "tracker")
        url = tracker.wait_for("listening").split("listening on ")[1].split()[0]
        get = self.get("--tracker", url)
        get.wait_for("nobody is there who has it")
        seed, _ = self.seed("--tracker", url)
        self.assertEqual(get.end(), DONE, get.seen)

    def test_progress_is_plain_lines_where_there_is_no_terminal_and_none_when_quiet(self):
        def seed(name, *options):
            return self.start(PEER, "seed", self.torrent, self.share.parent, "--listen", "127.0.0.1:0", "--state",
                              self.folder / name, *options)
        quiet, loud = seed("quiet", "--quiet"), seed("loud")
        loud.wait_for("100% of", 2)
        for program in (quiet, loud):
            self.assertEqual(program.end(signal.SIGTERM), DONE, program.seen)
        self.assertNotIn(b"\r", loud.seen)
        self.assertEqual(quiet.seen, b"")

    def on_small_disk(self, mebibytes, taken, *options):
        """A `get` into a tmpfs of its own, of which `taken` bytes are taken until the program's input says `free`."""
        if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
            self.skipTest("needs a mount namespace")
        self.out.mkdir()
        script = f"""mount -t tmpfs -o size={mebibytes}m none "$OUT" && head -c {taken} /dev/zero >"$OUT/filler" || exit 99
            "$@" & while read -r word; do [ "$word" = free ] && rm "$OUT/filler"; done; wait $!; status=$?
            [ $status -ne 0 ] || diff -r "$SHARE" "$OUT/share" || exit 98; exit $status"""
        return self.start("env", f"OUT={self.out}", f"SHARE={self.share}", "unshare", "-m", "bash", "-c", script, "get", PEER,
                          "get", self.torrent, "-o", self.out, "--listen", "127.0.0.1:0", "--state",
                          self.folder / "get-state", *options, stdin=subprocess.PIPE)

    def test_a_full_disk_is_waited_out(self):
        _, address = self.seed()
        get = self.on_small_disk(8, 5_000_000, "--connect", address)
        get.wait_for("no space")
        get.process.stdin.write(b"free\n")
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertIn(b"goes on", get.seen)

    def test_a_disk_that_stays_full_is_status_6_and_nothing_is_lost(self):
        _, address = self.seed()
        get = self.on_small_disk(8, 5_000_000, "--connect", address)
        self.assertEqual(get.end(), NOT_WRITABLE, get.seen)
        self.assertIn(b"start again to go on", get.seen)

    def test_a_hostile_torrent_writes_nowhere_but_in_its_folder(self):
        paths = [["..", "..", "above"], ["..", "beside"], [str(self.folder / "absolute")], ["/etc", "absolute"],
                 ["a/../../separators"], ["..\\..\\separators"], ["C:\\drive"], ["link", "through"], ["loop", "x"],
                 ["", "empty"], [".", "dot"], ["nul"], ["bells\x07\x1b[31m"], ["n" * 300], ["plain"]]
        files = [{"path": ["link"], "attr": "l", "symlink path": ["..", ".."]},
                 {"path": ["loop"], "attr": "l", "symlink path": ["loop"]},
                 {"path": ["secret"], "attr": "l", "symlink path": ["", "etc", "passwd"]}]
        files += [{"path": path, "length": 1000 + at} for at, path in enumerate(paths)]
        contents = [os.urandom(file.get("length", 0)) for file in files]
        info = {"name": "../../evil", "piece length": 16384, "files": files,
                "pieces": b"".join(hashlib.sha1(b"".join(contents)[at:at + 16384]).digest()
                                   for at in range(0, sum(map(len, contents)), 16384))}
        torrent = self.folder / "hostile.torrent"
        torrent.write_bytes(bencode({"info": info}))
        shown = json.loads(subprocess.run([PEER, "show", torrent, "--json"], env=CLEAN, check=True,
                                          stdout=subprocess.PIPE).stdout)
        root = self.share.parent / shown["name"]
        self.assertEqual(root.parent, self.share.parent)
        there = {}
        for file, content in zip(shown["files"], contents, strict=True):
            if content:
                there[file["path"]] = content
                (root / file["path"]).parent.mkdir(parents=True, exist_ok=True)
                (root / file["path"]).write_bytes(content)
        self.assertEqual(len(there), len(paths))
        _, address = self.seed(torrent=torrent)

        self.out = self.folder / "deep" / "er" / "out"
        inside = self.out / shown["name"]

        def outside():
            return sorted(path for path in self.folder.rglob("*")
                          if not path.is_relative_to(self.out) and not path.is_relative_to(self.folder / "get-state"))
        (self.folder / "deep" / "er").mkdir(parents=True)
        before = outside()
        get = self.get("--connect", address, torrent=torrent)
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertEqual(outside(), before)
        for name in ("above", "beside", "absolute", "separators", "evil"):
            self.assertFalse((self.folder.parent / name).exists() or pathlib.Path("/etc", name).exists())
        self.assertEqual(list(self.out.iterdir()), [inside])
        self.assertFalse([path for path in inside.rglob("*") if path.is_symlink()])
        self.assertEqual({str(path.relative_to(inside)): path.read_bytes() for path in inside.rglob("*")
                          if path.is_file()}, there)

    def test_the_words_of_a_tracker_are_shown_without_a_control_character(self):
        def answer(request):
            odd = b"\x1b]0;title\x07\x1b[31mred\r\n"
            key = b"failure reason" if "refuse" in request.path else b"warning message"
            more = b"" if "refuse" in request.path else b"8:intervali60e5:peers0:"
            body = b"d" + more + b"%d:%s%d:%s" % (len(key), key, len(odd), odd) + b"e"
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        url = self.serve(answer)
        get = self.get("--tracker", url + "/refuse", "--tracker", url + "/warn", "--timeout", "4s")
        self.assertEqual(get.end(), INCOMPLETE, get.seen)
        self.assertIn(b"red", get.seen)
        self.assertIn(b"warns", get.seen)
        self.assertNotRegex(get.seen, rb"[\x00-\x09\x0b-\x1f\x7f]")

    def test_folders_and_files_are_for_their_owner_to_write_whatever_the_umask(self):
        _, address = self.seed(umask=0)
        get = self.get("--connect", address, umask=0)
        self.assertEqual(get.end(), DONE, get.seen)

        def mode(path):
            return path.stat().st_mode & 0o7777
        for state in ("get-state", "seed-state"):
            self.assertEqual(mode(self.folder / state), 0o700)
            for path in (self.folder / state).iterdir():
                self.assertEqual(mode(path), 0o600, path)
        for path in (self.out, *self.out.rglob("*")):
            self.assertEqual(mode(path), 0o755 if path.is_dir() else 0o644, path)

    def test_select_takes_some_files_only(self):
        _, address = self.seed()
        get = self.get("--connect", address, "--select", "*.txt")
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertEqual((self.out / "share/nested/übersicht.txt").read_bytes(),
                         (self.share / "nested/übersicht.txt").read_bytes())
        self.assertFalse((self.out / "share/large.bin").exists())
        none = self.get("--connect", address, "--select", "*.zip")
        self.assertEqual(none.end(), NOT_FOUND, none.seen)

    def test_several_targets_are_fetched_at_once(self):
        other = self.share.parent / "second.bin"
        other.write_bytes(os.urandom(300_000))
        torrent = self.create(other)
        _, first = self.seed()
        second = self.start(PEER, "seed", torrent, other.parent, "--listen", "127.0.0.1:0", "--state",
                            self.folder / "other-state", "--json")
        second_address = json.loads(second.wait_for('"listening"'))["address"]
        get = self.get(torrent, "--connect", first, "--connect", second_address)
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertTrue(self.same())
        self.assertEqual((self.out / "second.bin").read_bytes(), other.read_bytes())

    def test_a_seed_without_its_data_says_so(self):
        (self.share / "large.bin").write_bytes(bytes(6_000_000))
        (self.share / "nested" / "übersicht.txt").write_bytes(bytes(70_001))
        wrong = self.start(PEER, "seed", self.torrent, self.share.parent, "--state", self.folder / "s")
        self.assertEqual(wrong.end(), MISMATCH, wrong.seen)
        shutil.rmtree(self.share)
        missing = self.start(PEER, "seed", self.torrent, self.share.parent, "--state", self.folder / "s")
        self.assertEqual(missing.end(), NOT_FOUND, missing.seen)

    def test_a_folder_that_cannot_be_written_is_status_6(self):
        _, address = self.seed()
        self.out.write_text("a file where the folder should be")
        get = self.get("--connect", address)
        self.assertEqual(get.end(), NOT_WRITABLE, get.seen)

    def test_a_v2_torrent_is_refused_in_plain_words(self):
        torrent = self.create(self.share, "--format", "v2")
        get = self.get(torrent=torrent)
        self.assertEqual(get.end(), FAILED, get.seen)
        self.assertIn(b"v2 only", get.seen)

    def test_encryption_that_is_required_is_not_quietly_left_out(self):
        get = self.get("--encryption", "require")
        self.assertEqual(get.end(), FAILED, get.seen)
        self.assertIn(b"encrypt", get.seen)

    def test_a_file_cut_under_a_seeder_ends_nobody(self):
        seed, address = self.seed("--upload-limit", "2MB")
        get = self.get("--connect", address)
        get.wait_for('"piece"')
        kept = (self.share / "large.bin").read_bytes()
        os.truncate(self.share / "large.bin", 100_000)
        seed.wait_for("share: ")
        (self.share / "large.bin").write_bytes(kept)
        seed.wait_for("share: goes on")
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertTrue(self.same())
        self.assertEqual(seed.end(signal.SIGTERM), DONE, seed.seen)

    @unittest.skipIf("ASAN_OPTIONS" in os.environ, "the sanitizer looks at memory through descriptors of its own")
    def test_want_of_descriptors_is_not_taken_for_a_full_disk(self):
        _, address = self.seed("--upload-limit", "1MB")
        get = self.get("--connect", address, "--sequential")
        get.wait_for('"piece"')
        open_now = max(map(int, os.listdir(f"/proc/{get.process.pid}/fd")))
        resource.prlimit(get.process.pid, resource.RLIMIT_NOFILE, (open_now, open_now))
        self.assertEqual(get.end(), FAILED, get.seen)
        # Which of the two depends on whether a write or a sync meets the limit first.
        self.assertRegex(get.seen, b"too many open files or mappings; start again to go on|the disk fails again and again")
        self.assertNotIn(b"no space", get.seen)

    def test_a_few_file_descriptors_are_enough(self):
        _, address = self.seed()
        few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        get = self.get("--connect", address, preexec_fn=few)
        self.assertEqual(get.end(), DONE, get.seen)
        self.assertTrue(self.same())


if __name__ == "__main__":
    PEER, TRACKER = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
