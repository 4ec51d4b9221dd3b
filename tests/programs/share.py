#!/usr/bin/env python3
"""peer share, find and get by name, with a hub: the second system of the specification, from outside.

    share.py PEER TRACKER [NAME...]
"""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request

from outside import (CLEAN, DONE, FAILED, INCOMPLETE, NOT_FOUND, PATIENCE, SANITIZED, UNREACHABLE, USAGE, bdecode, bencode,
                     heed_permissions)
from with_hub import WithHub, main


class RefusingHub:
    """A hub that refuses what is said to it: the hello, or all messages of kind `at` of a session that it opens."""

    def __init__(self, reason, at=b"hello"):
        self.reason, self.at = reason, at
        self.refused = threading.Semaphore(0)  # counts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/announce"
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        try:
            while True:
                threading.Thread(target=self.greet, args=self.listener.accept()[:1], daemon=True).start()
        except OSError:
            pass

    def greet(self, peer):
        with peer, peer.makefile("rb") as lines:
            fields = dict(line.split(b": ", 1) for line in iter(lines.readline, b"\r\n") if b": " in line)
            key = {name.lower(): value.strip() for name, value in fields.items()}.get(b"sec-websocket-key")
            if key is None:
                return  # an announce
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            while message := self.message(lines):
                said = {"t": "done", "h": message.get("h", bytes(20)), "re": message["t"]}
                if message["t"] == self.at:
                    said |= {"t": "refused", "why": self.reason}
                elif message["t"] == b"hello":
                    said = {"t": "welcome", "v": 1, "resume": bytes(16), "ip": bytes([127, 0, 0, 1]), "every": 1000, "known": []}
                bytes_ = bencode(said)
                peer.sendall(b"\x82\x7e" + struct.pack(">H", len(bytes_)) + bytes_ if len(bytes_) > 125
                             else b"\x82" + bytes([len(bytes_)]) + bytes_)
                if message["t"] == self.at:
                    self.refused.release()

    @staticmethod
    def message(lines):
        """The next binary message; nothing at the end."""
        head = lines.read(2)
        if len(head) < 2 or head[0] != 0x82:
            return None
        length = head[1] & 0x7f
        if length > 125:
            length = int.from_bytes(lines.read(2 if length == 126 else 8), "big")
        mask = lines.read(4)
        return bdecode(bytes(byte ^ mask[at % 4] for at, byte in enumerate(lines.read(length))))[0]


# Names that a terminal, a shell, a log, a web page, a header or a database could act on (class B5).
HOSTILE = [b"\x1b[31mred", b"\x1b]0;title\x07", "\x9b31m".encode(), b"a\rb", b"a\nb: c", b"tab\there", b"bell\x07", b"del\x7f", b"\x01\x02",
           "\u202egpj.exe".encode(), "a\u200bb".encode(), "\u2028line".encode(), "\ufeffbom".encode(), "\x85next".encode(),
           "\u2066iso".encode(), "\u00ad".encode(), "\U000e0041tag".encode(), b"$(touch owned)", b"`touch owned`", b"; touch owned", b"| cat", b"&& true",
           b"-rf", b"--help", b"%s%n%x", b"%00", b"%2e%2e%2f", b"..%5c", b"a\\b", b"C:\\x", b"CON", b"nul.txt", b"x. ", b" x",
           b"<script>alert(1)<script>", b"<img src=x onerror=alert(1)>", b"\" onload=\"x", b"' or 1=1 --", b"'; drop table torrents",
           b"&lt;b&gt;", b"<b>bold<br>", b"javascript:alert(1)", b"{{7*7}}", b"${7*7}", b"*", b"?", b"[a]", b"~", b"#", b"a=b&c=d",
           b"\\u0000", b'"quoted"', b"{\"a\":1}", b"le_total{a=\"b\"} 5", b"# HELP x", b"HTTP 1.1 200", b"Set-Cookie: a=b",
           b"\xf0\x9f\x92\xa9", "e\u0301".encode(), b"x" * 250]


class Share(WithHub):
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

    def test_of_names_that_are_read_alike_the_right_file_is_shared(self):
        for name in ("folder/a:b", "folder/a_b", "x*y", "x:y", "x_y"):
            self.made(name)
        for name, read_as in (("folder", "folder"), ("x*y", "x_y"), ("x:y", "x_y"), ("x_y", "x_y")):
            program = self.share(self.folder / "shared" / name)
            self.get(json.loads(program.wait_for('"shared"'))["info_hash"], out=name)
            program.end(signal.SIGTERM)
            theirs = self.folder / "shared" / name
            ours = self.folder / name / read_as
            pairs = [(theirs / "a:b", ours / "a_b"), (theirs / "a_b", ours / "a_b (1)")] if theirs.is_dir() else [(theirs, ours)]
            for shared, fetched in pairs:
                self.assertEqual(shared.read_bytes(), fetched.read_bytes())

    def test_a_file_that_is_shared_may_have_an_incomplete_one_beside_it(self):
        film = self.made("film.bin")
        self.made("film.bin.part")
        self.share(film)
        self.get("film.bin")
        self.assertEqual((self.folder / "out" / "film.bin").read_bytes(), film.read_bytes())

    def test_a_link_that_is_named_is_followed(self):
        song = self.made("real/song.ogg")
        (self.folder / "music").symlink_to(song.parent)
        (self.folder / "hit.ogg").symlink_to(song)
        self.share(self.folder / "music", self.folder / "hit.ogg")
        for name in ("music", "hit.ogg"):
            self.get(name)
        for fetched in ("music/song.ogg", "hit.ogg"):
            self.assertEqual((self.folder / "out" / fetched).read_bytes(), song.read_bytes())

    def test_a_hub_can_be_named_without_a_path(self):
        self.url = self.url.replace("/announce", "")
        film = self.made("film.bin")
        self.share(film)
        self.get("film.bin")
        self.assertEqual((self.folder / "out" / "film.bin").read_bytes(), film.read_bytes())

    def test_a_file_of_that_name_that_is_no_torrent_is_no_hindrance(self):
        film = self.made("film.bin")
        self.share(film)
        for _ in range(2):
            self.get("film.bin", out=".", cwd=self.folder)
        self.assertEqual((self.folder / "film.bin").read_bytes(), film.read_bytes())
        (self.folder / "broken.torrent").write_bytes(b"no torrent")
        done = self.get("broken.torrent", cwd=self.folder, expect=FAILED)
        self.assertIn("no valid torrent", done.stderr)

    def test_each_file_of_a_folder_can_be_a_torrent_of_its_own(self):
        self.made("music/one.ogg")
        self.made("music/two.ogg")
        program = self.share(self.folder / "shared" / "music", options=["--each"])
        self.until(lambda: len(self.found()) == 2)
        self.get("two.ogg")
        self.assertEqual(program.end(signal.SIGTERM), DONE)

    def test_a_file_that_is_added_to_a_folder_becomes_a_torrent_of_its_own(self):
        self.made("music/one.ogg")
        program = self.share(self.folder / "shared" / "music", options=["--each"])
        self.made("music/two.ogg")
        program.wait_for('"published"', 2)
        self.get("two.ogg")
        self.assertEqual((self.folder / "out" / "two.ogg").read_bytes(),
                         (self.folder / "shared" / "music" / "two.ogg").read_bytes())

    def test_who_shares_can_fetch_meanwhile_and_serves_that_too(self):
        theirs, ours = self.made("theirs.bin", 2_000_000), self.made("ours.bin")
        first = self.share(theirs)
        second = self.share(ours, options=["--get", "theirs.bin", "-o", self.folder / "got"])
        second.wait_for('"complete"')
        self.assertEqual((self.folder / "got" / "theirs.bin").read_bytes(), theirs.read_bytes())
        self.assertEqual(first.end(signal.SIGTERM), DONE)
        self.get("theirs.bin")
        self.get("ours.bin")
        self.assertEqual((self.folder / "out" / "theirs.bin").read_bytes(), theirs.read_bytes())
        self.peer("share", ours, "--get", "theirs.bin", expect=USAGE)
        self.peer("share", ours, "--get", "nobody.bin", "-o", self.folder / "got", "--state", self.state(), expect=NOT_FOUND)

    def test_who_shares_and_cannot_fetch_yet_shares_all_the_same(self):
        theirs, ours = self.made("theirs.bin", 2_000_000), self.made("ours.bin")
        port = int(self.url.split(":")[2].split("/")[0])
        self.hub.end(signal.SIGTERM)
        program = self.start(self.PEER, "share", ours, "--tracker", self.url, "--get", "theirs.bin", "-o", self.folder / "got",
                             "--state", self.state(), "--listen", "127.0.0.1:0", "--json")
        program.wait_for("asking again")
        self.hub = self.start(self.TRACKER, "--listen", f"127.0.0.1:{port}", "--data", self.folder / "hub")
        self.hub.wait_for("listening on")
        self.share(theirs)
        program.wait_for('"complete"')
        self.assertEqual((self.folder / "got" / "theirs.bin").read_bytes(), theirs.read_bytes())
        self.get("ours.bin")

    def test_who_shares_can_fetch_by_magnet_link(self):
        theirs, ours = self.made("theirs.bin", 2_000_000), self.made("ours.bin")
        link = json.loads(self.share(theirs).wait_for('"magnet"'))["magnet"]
        program = self.share(ours, options=["--get", link, "-o", self.folder / "got"])
        program.wait_for('"complete"')
        self.assertEqual((self.folder / "got" / "theirs.bin").read_bytes(), theirs.read_bytes())

    def assert_clean(self, text, where):
        """No line of it has what a terminal acts on, or what hides text."""
        if isinstance(text, bytes):
            text = text.decode()  # all of it is UTF-8
        bad = [c for c in text if (ord(c) < 32 and c != "\n" and c != "\t") or 0x7f <= ord(c) < 0xa0
               or c in "\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"]
        self.assertEqual(bad, [], where)

    def test_no_name_acts_on_anything_that_it_reaches(self):
        self.assertGreaterEqual(len(HOSTILE), 60)
        folder = self.folder / "shared" / "names"
        folder.mkdir(parents=True)
        for name in HOSTILE:
            (pathlib.Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(os.urandom(1000))
        program = self.start_share(folder, options=["--each"], cwd=self.folder)
        program.wait_for('"published"', len(HOSTILE))
        lines = program.seen.split(b"\n")[:-1]
        self.assertTrue(all(json.loads(line)["event"] for line in lines if line.startswith(b"{")))
        found = self.peer("find", "--json").stdout
        names = [line["name"] for line in map(json.loads, found.splitlines()) if line["event"] == "torrent"]
        self.assertEqual(len(names), len(HOSTILE))
        for line in found.splitlines():
            self.assertNotRegex(line, "[<&\u2028]")  # it may end in a web page
        listed = self.peer("find").stdout
        self.assertEqual(listed.count("\n"), len(HOSTILE), "a line each")
        self.assert_clean(listed, "find")
        by_hash = dict(zip(names, [line["info_hash"] for line in map(json.loads, found.splitlines()) if line["event"] == "torrent"]))
        for number, name in enumerate(names[::6]):
            got = self.get(by_hash[name], out=f"got{number}")
            self.assert_clean(got.stdout + got.stderr, name)
            self.assertEqual(len(list((self.folder / f"got{number}").rglob("*"))), 1)
        for name in HOSTILE[::5]:
            missing = self.peer("get", "no such " + os.fsdecode(name), "-o", self.folder / "none", expect=NOT_FOUND)
            self.assert_clean(missing.stderr, name)
            self.assertEqual(missing.stdout, "")
        for path, form in (("/metrics", "text"), ("/api/v1/torrents?limit=1000", "json")):
            with urllib.request.urlopen(self.url.replace("/announce", path), timeout=PATIENCE) as answer:
                text = answer.read()
            self.assert_clean(text, path)
            if form == "json":
                self.assertEqual(len(json.loads(text)["torrents"]), len(HOSTILE))
        self.assertEqual(self.hub.end(signal.SIGTERM), DONE)
        self.assert_clean(self.hub.seen, "the hub's log")
        self.assertEqual(program.end(signal.SIGTERM), DONE)
        self.assert_clean(program.seen, "share")
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name.startswith("owned")], [])
        for name in (b"\xff\xfe", b"\x9b31m", b"\xed\xa0\x80"):  # no text at all: it says so, and what it is
            (self.folder / "bad").mkdir(exist_ok=True)
            path = os.fsencode(self.folder / "bad") + b"/" + name
            with open(path, "wb") as file:
                file.write(b"content")
            said = subprocess.run([self.PEER, "share", path, "--tracker", self.url], env=CLEAN, capture_output=True, timeout=PATIENCE)
            self.assertEqual(said.returncode, FAILED, said)
            self.assertRegex(said.stderr, b"not valid UTF-8|name that cannot be shared")
            self.assert_clean(said.stderr, name)

    def test_each_file_takes_one_descriptor_and_too_many_are_refused_at_once(self):
        def few_descriptors():
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
        for number in range(150):
            self.made(f"many/{number}.bin", 1000)
        program = self.start_share(self.folder / "shared" / "many", options=["--each"], preexec_fn=few_descriptors)
        program.wait_for('"published"', 150)
        last = self.made("many/one more.bin", 1000)
        program.wait_for("--each: 151 files take as many descriptors, and 150 can be had: raise the limit (ulimit -n)")
        last.unlink()
        self.get("149.bin")
        self.assertEqual(program.end(signal.SIGTERM), DONE)
        last.write_bytes(b"content")
        program = self.start_share(self.folder / "shared" / "many", options=["--each"], preexec_fn=few_descriptors)
        self.assertEqual(program.end(), FAILED)
        self.assertIn(b"151 files take as many descriptors, and 150 can be had", program.seen)

    def test_share_prints_magnet_links_alone(self):
        film = self.made("film.bin")
        program = subprocess.Popen([self.PEER, "share", film, "--tracker", self.url, "--state", self.state(), "--listen",
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

    def test_only_what_was_changed_is_read_again(self):
        large = 64 << 20
        self.made("docs/large.bin", large)
        small = self.made("docs/small.bin")
        program = self.share(self.folder / "shared" / "docs")
        before = self.bytes_read_by(program)
        self.assertGreater(before, large)
        small.write_bytes(os.urandom(200_000))
        program.wait_for('"published"', 2)
        self.assertLess(self.bytes_read_by(program) - before, large // 4)
        self.get("docs")
        self.assertEqual((self.folder / "out" / "docs" / "small.bin").read_bytes(), small.read_bytes())

    def take_descriptors(self, program):
        """Leaves it those that it has open; returns the limits that were there before."""
        if SANITIZED:
            self.skipTest("a sanitizer opens descriptors of its own")
        limits = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        return limits

    def test_what_could_not_be_read_for_a_while_is_shared_again(self):
        film = self.made("film.bin")
        program = self.share(film)
        limits = self.take_descriptors(program)
        film.write_bytes(os.urandom(200_000))
        program.wait_for('"unshared"')
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, limits)
        program.wait_for('"published"', 2)
        self.get("film.bin")
        self.assertEqual((self.folder / "out" / "film.bin").read_bytes(), film.read_bytes())

    def test_a_folder_that_cannot_be_looked_at_for_a_while_stays_shared(self):
        self.made("docs/a.bin")
        program = self.share(self.folder / "shared" / "docs")
        limits = self.take_descriptors(program)
        program.wait_for(f"{self.folder}/shared/docs: Too many open files")
        program.wait_for('"progress"', program.seen.count(b'"progress"') + 25)  # two more looks
        self.assertEqual(program.seen.count(b'"unshared"'), 0)
        self.assertEqual(self.found()["docs"]["nodes"], 1)
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, limits)
        c = self.made("docs/c.bin", 100_000)
        program.wait_for('"published"', 2)
        self.assertEqual(program.seen.count(b'"unshared"'), 1, "the one before, by the change")
        self.get("docs")
        self.assertEqual((self.folder / "out" / "docs" / "c.bin").read_bytes(), c.read_bytes())

    def test_the_second_of_two_that_are_the_same_takes_over_without_being_read_again(self):
        one = self.made("all/a/film.bin")
        two = self.folder / "shared" / "all" / "b" / "film.bin"
        two.parent.mkdir()
        shutil.copyfile(one, two)
        program = self.start_share(self.folder / "shared" / "all", options=["--each"])
        program.wait_for('"published"')
        one.unlink()
        program.wait_for('"published"', 2)
        last = [json.loads(line) for line in program.seen.split(b"\n") if b'"event":"shared"' in line][-1]
        self.assertEqual((last["path"], last["hashed"]), (str(two), 0))

    def test_what_is_shared_no_more_leaves_every_hub(self):
        other = self.url
        self.start_hub(name="other hub")
        film = self.made("film.bin")
        program = self.share(film, options=["--tracker", other])
        torrent = self.found()["film.bin"]["info_hash"]
        for url in (self.url, other):  # a node with a session says which pieces it has
            self.until(lambda url=url: any(each["have"] for each in self.holders(torrent, url)))
        film.unlink()
        program.wait_for('"unshared"')
        self.assertEqual((self.holders(torrent, self.url), self.holders(torrent, other)), ([], []))

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

        done = self.peer("find", "holyday film.mkv", expect=NOT_FOUND)
        self.assertIn("like it: holiday film.mkv", done.stderr)

    def test_who_finds_no_place_waits_in_line_and_is_told_so(self):
        self.start_hub("--nodes-max", "1", name="small hub")
        first = self.share(self.made("first.bin"))
        second = self.start_share(self.made("second.bin"))
        second.wait_for("the hub is full: place 1 in line; it says to wait 30 s")
        self.assertNotIn(b'"published"', second.seen)
        self.assertEqual(first.end(signal.SIGTERM), DONE)
        second.wait_for('"published"')
        self.get("second.bin")

    def test_why_nothing_is_published_is_said_and_once(self):
        class NoHub(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoHub)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        film = self.made("film.bin")
        self.url = f"http://127.0.0.1:{server.server_port}/announce"
        program = self.start_share(film)
        program.wait_for("is no hub")
        program.end(signal.SIGTERM)

        refusing = RefusingHub("the line is too long")
        self.addCleanup(refusing.close)
        self.url = refusing.url
        self.start_share(film).wait_for("the hub refuses this node: the line is too long")

        refusing = RefusingHub("the catalogue is full", at=b"publish")
        self.addCleanup(refusing.close)
        self.url = refusing.url
        program = self.start_share(film)
        program.wait_for("the hub did not take film.bin: the catalogue is full")
        refusing.refused.acquire(timeout=PATIENCE)
        self.assertTrue(refusing.refused.acquire(timeout=PATIENCE), "it is asked again")
        program.end(signal.SIGTERM)
        self.assertEqual(program.seen.count(b"the catalogue is full"), 1)

    def test_what_is_left_out_and_what_cannot_be_read_is_said(self):
        self.made("docs/a.bin")
        secret = self.made("docs/secret.bin")
        (self.folder / "shared" / "docs" / "link").symlink_to("a.bin")
        self.share(self.folder / "shared" / "docs").wait_for("left out: link (a symbolic link)")
        secret.chmod(0)
        program = self.start_share(self.folder / "shared" / "docs", preexec_fn=heed_permissions)
        self.assertEqual(program.end(), FAILED, program.seen)
        self.assertIn(b"secret.bin: Permission denied", program.seen)

    def test_it_says_how_far_it_has_hashed(self):
        large = self.made("large.bin")
        os.truncate(large, 64 << 30)
        program = self.start_share(large)
        program.wait_for('"hashed"')
        program.wait_for("hashing ")
        self.assertEqual(program.end(signal.SIGTERM), INCOMPLETE, program.seen)
        self.assertNotIn(b"\r", program.seen)

    def test_a_signal_ends_it_soon_while_the_hub_is_silent(self):
        film = self.made("film.bin")
        program = self.share(film)
        self.hub.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.hub.process.send_signal, signal.SIGCONT)
        film.unlink()
        program.wait_for("No such file")  # it goes on to tell the hub
        began = time.monotonic()
        self.assertEqual(program.end(signal.SIGTERM), DONE, program.seen)
        self.assertLess(time.monotonic() - began, 8, "less than the 10 s that a hub has to answer")

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
        again = self.start(self.TRACKER, "--listen", f"127.0.0.1:{port}", "--data", self.folder / "other hub")
        again.wait_for("listening on")
        self.until(lambda: self.found()["film.bin"]["nodes"] == 1)
        self.get("film.bin")

    def test_a_node_that_dies_disappears_and_its_content_stays_listed(self):
        program = self.share(self.made("film.bin"))
        program.end(signal.SIGKILL)
        self.until(lambda: self.found()["film.bin"]["nodes"] == 0)

    def test_usage(self):
        done = subprocess.run([self.PEER, "share", self.folder, "--tracker", "udp://127.0.0.1:1"], env=CLEAN,
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, USAGE, done)
        done = subprocess.run([self.PEER, "share", self.folder / "nowhere", "--tracker", self.url, "--state", self.state()],
                              env=CLEAN, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, NOT_FOUND, done)


if __name__ == "__main__":
    main()
