#!/usr/bin/env python3
"""The peer program from outside, as far as it needs no network: create, show, verify, options, exit statuses.

    peer_offline.py PROGRAM [NAME...]
"""
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from outside import (CLEAN, DONE, FAILED, INCOMPLETE, MISMATCH, NOT_FOUND, NOT_WRITABLE, USAGE, ProgramTest, bdecode, bencode,
                     heed_permissions)

PROGRAM = ""
SHOWN = ["name", "info_hash_v1", "info_hash_v2", "piece_length", "piece_count", "total_size", "private", "trackers",
         "web_seeds", "comment", "created_by", "creation_date", "files"]


def torrent(name=b"name", files=None, **changed):
    """A v1 torrent of zeros as bytes; `changed` replaces keys of the info dictionary, None removes one."""
    info = {"name": name, "piece length": 16384}
    size = sum(length for _, length in files) if files else 5
    if files:
        info["files"] = [{"path": path, "length": length} for path, length in files]
    else:
        info["length"] = size
    zeros = bytes(size)
    info["pieces"] = b"".join(hashlib.sha1(zeros[at:at + 16384]).digest() for at in range(0, size, 16384))
    for key, value in changed.items():
        info[key.replace("_", " ")] = value
    return bencode({"info": {key: value for key, value in info.items() if value is not None}})


class Peer(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-peer-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.share = self.folder / "share"
        (self.share / "deep/er").mkdir(parents=True)
        (self.share / "a.bin").write_bytes(bytes(range(256)) * 500)  # 128000 bytes
        (self.share / "deep/er/größe 大.bin").write_bytes(b"x" * 70000)
        (self.share / "empty").touch()

    def run_peer(self, *arguments, expect=DONE, environment=None, timeout=20):
        """Runs the program; what it prints has no control character but line feeds, and errors take one line."""
        result = subprocess.run([PROGRAM, *map(str, arguments)], env={**CLEAN, **(environment or {})}, cwd=self.folder,
                                capture_output=True, timeout=timeout, check=False)
        shown = f"{arguments}: {result.stdout!r} {result.stderr!r}"
        for byte in set(result.stdout + result.stderr):
            self.assertTrue(byte == 0x0A or (byte >= 0x20 and byte != 0x7F), shown)
        for text in (result.stdout, result.stderr):
            for code in map(ord, text.decode()):  # UTF-8 throughout
                self.assertFalse(0x80 <= code < 0xA0 or code in (0x202E, 0x200B, 0xFEFF), shown)
        self.assertEqual(result.returncode, expect, shown)
        if expect not in (DONE, MISMATCH):
            self.assertEqual(result.stdout, b"", shown)
            errors = [line for line in result.stderr.splitlines() if line.startswith(b"peer: ")]
            self.assertEqual(len(errors), 1, shown)
        return result.stdout.decode()

    def create(self, *more, source="share", name="made.torrent"):
        self.run_peer("create", source, "-o", name, "--piece-length", "32KiB", *more)
        return self.folder / name

    def show(self, path):
        return json.loads(self.run_peer("show", path, "--json"))


class Create(Peer):
    def test_prints_the_info_hashes_and_the_magnet_link(self):
        out = self.run_peer("create", "share", "-o", "x.torrent", "--tracker", "http://t.example/announce")
        shown = self.show("x.torrent")
        for text in (shown["info_hash_v1"], shown["info_hash_v2"], "magnet:?xt=urn:btih:" + shown["info_hash_v1"]):
            self.assertIn(text, out)

    def test_default_is_hybrid_with_pieces_of_512_KiB(self):
        self.run_peer("create", "share", "-o", "x.torrent")
        shown = self.show("x.torrent")
        self.assertEqual(shown["piece_length"], 512 * 1024)
        self.assertIsNotNone(shown["info_hash_v1"])
        self.assertIsNotNone(shown["info_hash_v2"])

    def test_formats(self):
        for kind, has_v1, has_v2 in (("v1", True, False), ("v2", False, True), ("hybrid", True, True)):
            shown = self.show(self.create("--format", kind))
            self.assertEqual((shown["info_hash_v1"] is not None, shown["info_hash_v2"] is not None), (has_v1, has_v2))

    def test_takes_every_option(self):
        shown = self.show(self.create("--tracker", "http://a.example/announce", "--tracker", "udp://b.example:1",
                                      "--private", "--web-seed", "http://w.example/", "--comment", "hello", "--name",
                                      "other name", "--threads", "1"))
        self.assertEqual(shown["trackers"], [["http://a.example/announce"], ["udp://b.example:1"]])
        self.assertEqual((shown["private"], shown["web_seeds"], shown["comment"], shown["name"]),
                         (True, ["http://w.example/"], "hello", "other name"))

    def test_a_hub_named_without_a_path_is_announced_to(self):
        for given, meant in (("http://hub.example:6969", "http://hub.example:6969/announce"),
                             ("https://hub.example/", "https://hub.example/announce"),
                             ("http://hub.example?passkey=k", "http://hub.example/announce?passkey=k"),
                             ("http://hub.example/?passkey=k", "http://hub.example/announce?passkey=k"),
                             ("http://hub.example/my/tracker", "http://hub.example/my/tracker"),
                             ("udp://hub.example:1", "udp://hub.example:1")):
            self.assertEqual(self.show(self.create("--tracker", given))["trackers"], [[meant]])

    def test_says_which_file_cannot_be_read(self):
        os.chmod(self.share / "deep/er/größe 大.bin", 0)
        result = subprocess.run([PROGRAM, "create", "share", "-o", "x"], cwd=self.folder, env=CLEAN, capture_output=True,
                                text=True, check=False, preexec_fn=heed_permissions)
        self.assertEqual(result.returncode, FAILED, result)
        self.assertIn("deep/er/größe 大.bin: Permission denied", result.stderr)

    def test_progress_is_plain_lines_where_there_is_no_terminal(self):
        with open(self.share / "large", "wb") as file:
            file.truncate(64 << 30)
        process = self.start(PROGRAM, "create", self.share, "-o", "x", cwd=self.folder)
        process.wait_for("hashing ")
        process.end(signal.SIGTERM)
        self.assertNotIn(b"\r", process.seen)

    def test_same_content_same_info_hash_whatever_the_number_of_threads(self):
        one, many = (self.show(self.create("--threads", count))["info_hash_v2"] for count in ("1", "7"))
        self.assertEqual(one, many)

    def test_of_a_single_file(self):
        shown = self.show(self.create("--format", "v1", source="share/a.bin"))
        self.assertEqual([(file["path"], file["size"]) for file in shown["files"]], [("a.bin", 128000)])
        self.assertEqual(shown["name"], "a.bin")

    def test_names_the_content_after_the_folder_meant_by_a_dot(self):
        self.run_peer("create", "share/.", "-o", "x.torrent")
        self.assertEqual(self.show("x.torrent")["name"], "share")

    def test_follows_no_link_and_waits_for_no_pipe(self):
        secret = self.folder / "secret"
        secret.write_text("not to be shared")
        sparse = self.folder / "sparse"
        with open(sparse, "wb") as file:
            file.truncate(1 << 40)
        (self.share / "link").symlink_to(secret)
        (self.share / "linked folder").symlink_to("/etc")
        (self.share / "linked sparse").symlink_to(sparse)
        (self.share / "zero").symlink_to("/dev/zero")
        os.mkfifo(self.share / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.share / "sock"))
            paths = {file["path"] for file in self.show(self.create())["files"] if not file["pad"]}
        self.assertEqual(paths, {"a.bin", "deep/er/größe 大.bin", "empty"})

    def test_leaves_its_own_output_out(self):
        for _ in range(2):
            self.run_peer("create", "share", "-o", "share/x.torrent")
        self.assertNotIn("x.torrent", [file["path"] for file in self.show("share/x.torrent")["files"]])

    def test_replaces_an_older_torrent_and_leaves_nothing_beside_it(self):
        (self.folder / "made.torrent").write_text("old")
        self.create()
        self.assertEqual(sorted(os.listdir(self.folder)), ["made.torrent", "share"])

    def test_statuses(self):
        (self.folder / "nothing").mkdir()
        (self.folder / "nothing/empty").touch()
        for arguments, status in ((("nowhere", "-o", "x"), NOT_FOUND), (("share",), USAGE), ((), USAGE),
                                  (("share", "-o", "x", "--piece-length", "20KiB"), USAGE),
                                  (("share", "-o", "x", "--piece-length", "8KiB"), USAGE),
                                  (("share", "-o", "x", "--format", "v3"), USAGE),
                                  (("share", "-o", "x", "--tracker", "gopher://a"), USAGE),
                                  (("share", "-o", "x", "--frobnicate"), USAGE), (("share", "-o", "share"), NOT_WRITABLE),
                                  (("share", "-o", "no/such/folder/x"), NOT_WRITABLE), (("/dev/null", "-o", "x"), FAILED),
                                  (("nothing", "-o", "x"), FAILED), (("share", "-o", "x", "--name", "a/b"), FAILED)):
            self.run_peer("create", *arguments, expect=status)
            self.assertFalse((self.folder / "x").exists())

    def test_a_name_that_is_no_utf8_is_refused(self):
        (self.share / os.fsdecode(b"\xff\x1b[31m")).touch()
        self.run_peer("create", "share", "-o", "x", expect=FAILED)

    def test_a_disk_that_takes_no_more_is_not_writable(self):
        limited = subprocess.run([PROGRAM, "create", "share", "-o", "x"], cwd=self.folder, env=CLEAN, capture_output=True,
                                 check=False, restore_signals=False,  # SIGXFSZ stays ignored, so that write() answers
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
        self.assertEqual(limited.returncode, NOT_WRITABLE, limited.stderr)
        self.assertEqual(os.listdir(self.folder), ["share"])

    def test_a_signal_stops_it_and_leaves_nothing(self):
        with open(self.share / "large", "wb") as file:
            file.truncate(64 << 30)
        process = subprocess.Popen([PROGRAM, "create", self.share, "-o", "x"], cwd=self.folder, env=CLEAN,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not list(self.folder.glob("x.*.tmp")):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        self.assertEqual(process.returncode, INCOMPLETE, errors)
        self.assertEqual(os.listdir(self.folder), ["share"])

    def test_json_ends_with_complete(self):
        lines = [json.loads(line) for line in
                 self.run_peer("create", "share", "-o", "x.torrent", "--json").splitlines()]
        self.assertTrue(all("event" in line and "time" in line for line in lines))
        self.assertEqual((lines[0]["event"], lines[-1]["event"]), ("start", "complete"))
        self.assertEqual(lines[-1]["info_hash_v1"], self.show("x.torrent")["info_hash_v1"])


class Show(Peer):
    def test_json_has_these_fields(self):
        shown = self.show(self.create())
        self.assertEqual(list(shown), SHOWN)
        self.assertEqual((shown["name"], shown["piece_length"], shown["piece_count"], shown["total_size"]),
                         ("share", 32768, 7, 198000))
        real = [file for file in shown["files"] if not file["pad"]]
        self.assertEqual([(file["path"], file["size"], file["first_piece"], file["piece_count"]) for file in real],
                         [("a.bin", 128000, 0, 4), ("deep/er/größe 大.bin", 70000, 4, 3), ("empty", 0, 0, 0)])
        self.assertEqual([len(file.get("pieces_root", "")) for file in real], [64, 64, 0])
        self.assertEqual([file["size"] for file in shown["files"] if file["pad"]], [3072])

    def test_v1_has_null_for_the_other_hash_and_no_roots(self):
        made = self.create("--format", "v1")
        shown = self.show(made)
        self.assertIsNone(shown["info_hash_v2"])
        self.assertFalse(any("pieces_root" in file or file["pad"] for file in shown["files"]))

    def test_reads_magnet_links(self):
        shown = json.loads(self.run_peer("show", "magnet:?xt=urn:btih:" + "ab" * 20 + "&dn=a%1Bb&tr=http://t.example/a",
                                         "--json"))
        self.assertEqual((shown["info_hash_v1"], shown["info_hash_v2"], shown["trackers"]),
                         ("ab" * 20, None, [["http://t.example/a"]]))
        self.run_peer("show", "magnet:?dn=nothing", expect=FAILED)

    def test_hostile_torrents_give_one_line_and_status_1(self):
        whole = torrent()
        for bad in (b"", b"hello", b"i1e", b"de", b"d4:infode", b"l" * 150000, b"d4:info" * 1000, whole[:-1], whole + b"x",
                    torrent(name=None), torrent(pieces=b"x" * 19), torrent(pieces=b""), torrent(piece_length=0),
                    torrent(piece_length=-1), torrent(piece_length=1 << 40), torrent(length=-1), torrent(length=0),
                    torrent(length=1 << 62), torrent(length="5"), torrent(files=[([b"a"], 1)], length=1),
                    torrent(files=[([], 1)]), torrent(meta_version=3), bytes(1000), b"4:info" + whole):
            (self.folder / "bad.torrent").write_bytes(bad)
            self.run_peer("show", "bad.torrent", expect=FAILED)
            self.run_peer("verify", "bad.torrent", "share", expect=FAILED)

    def test_hostile_names_stay_in_their_folder_and_off_the_terminal(self):
        names = [b"..", b".", b"", b"/etc/passwd", b"a/b", b"..\\x", b"C:\\x", b"\x1b[31mred", b"\x9b31m", b"\xff\xfe",
                 b"a\nb", b"a\rb", b"a\x00b", b"\x7f", "a\u202eb".encode(), "a\u200bb".encode(), "\ufeff".encode(),
                 "\u0085".encode(), b"CON", b"com1.txt", b"a.", b"a ", b"x" * 300, b"\xc0\xae\xc0\xae", b"$(id)", b"`id`",
                 b"<script>", b"&amp;", "\u2028".encode(), b"%s%n", b"-rf", b"~", b"a:b", b"?*|\"<>"]
        for name in names:
            for made in (torrent(name=name), torrent(name=b"root", files=[([name], 5)]),
                         torrent(name=b"root", files=[([b"folder", name, b"x"], 5)])):
                (self.folder / "odd.torrent").write_bytes(made)
                result = subprocess.run([PROGRAM, "show", "odd.torrent"], cwd=self.folder, capture_output=True, check=False)
                if result.returncode != DONE:  # refused is as good as sanitised
                    self.run_peer("show", "odd.torrent", expect=FAILED)
                    continue
                self.run_peer("show", "odd.torrent")
                text = self.run_peer("show", "odd.torrent", "--json")
                self.assertFalse(set(text) & set("<&\u2028"), text)
                shown = json.loads(text)
                for path in [shown["name"], *(file["path"] for file in shown["files"])]:
                    self.assertFalse(path.startswith("/") or {"", ".", ".."} & set(path.split("/")), path)
                    self.assertFalse(set(path) & set("\\:\x00\x1b\n\r"), path)
                self.assertNotIn("/", shown["name"])

    def test_hostile_texts_stay_off_the_terminal(self):
        info = {"name": "a", "length": 5, "piece length": 16384, "pieces": hashlib.sha1(bytes(5)).digest()}
        odd = b"\x1b]0;title\x07\x9b31m\xff\x00\x7f\r\n" + "\u202e\u0090".encode()
        (self.folder / "odd.torrent").write_bytes(bencode(
            {"info": info, "comment": odd, "created by": odd, "announce": b"http://t.example/" + odd,
             "url-list": [b"http://w.example/" + odd]}))
        self.run_peer("show", "odd.torrent")
        self.assertEqual(self.show("odd.torrent")["name"], "a")

    def test_what_is_no_file(self):
        os.mkfifo(self.folder / "fifo")
        for path, status in (("nowhere", NOT_FOUND), ("share", FAILED), ("fifo", FAILED), ("/dev/zero", FAILED)):
            self.run_peer("show", path, expect=status)


class Verify(Peer):
    def setUp(self):
        super().setUp()
        self.made = {kind: self.create("--format", kind, name=f"{kind}.torrent") for kind in ("v1", "v2", "hybrid")}

    def events(self, made, expect):
        return [json.loads(line) for line in
                self.run_peer("verify", made, self.folder, "--json", expect=expect).splitlines()]

    def test_right_content(self):
        for made in self.made.values():
            self.assertIn("are right", self.run_peer("verify", made, self.folder))

    def test_says_which_pieces_are_bad_or_missing(self):
        with open(self.share / "a.bin", "r+b") as file:
            file.seek(32768)
            file.write(b"!!")
        (self.share / "deep/er/größe 大.bin").unlink()
        for kind, missing in (("v1", {3, 4, 5, 6}), ("v2", {4, 5, 6}), ("hybrid", {4, 5, 6})):
            events = self.events(self.made[kind], MISMATCH)
            states = {event["piece"]: event["state"] for event in events if event["event"] == "piece"}
            self.assertEqual(states, {1: "bad", **{piece: "missing" for piece in missing}}, kind)
            text = self.run_peer("verify", self.made[kind], self.folder, expect=MISMATCH)
            self.assertIn("a.bin: bad pieces 1\n", text)
            self.assertIn(f"größe 大.bin: missing pieces {min(missing)}-6\n", text)

    def test_halves_of_a_hybrid_that_disagree_though_no_piece_layer_shows_it(self):
        data = (self.folder / self.made["hybrid"]).read_bytes()
        begin = data.index(b"4:info") + 6
        info, end = bdecode(data, begin)
        bare = b"d4:info" + data[begin:end] + b"e"
        (self.folder / "bare.torrent").write_bytes(bare)
        self.run_peer("verify", "bare.torrent", self.folder)
        root = info["file tree"]["a.bin"][""]["pieces root"]
        (self.folder / "lie.torrent").write_bytes(bare.replace(root, root[:-1] + bytes([root[-1] ^ 1])))
        self.assertEqual(self.run_peer("verify", "lie.torrent", self.folder, expect=MISMATCH), "")  # no piece is bad

    def test_notices_missing_empty_files_and_files_that_are_too_long(self):
        (self.share / "empty").unlink()
        with open(self.share / "a.bin", "ab") as file:
            file.write(b"more")
        for made in self.made.values():
            problems = {event["path"]: event["problem"] for event in self.events(made, MISMATCH)
                        if event["event"] == "file"}
            self.assertEqual(problems, {"empty": "missing", "a.bin": "4 bytes too long"})

    def test_names_that_are_read_alike_are_told_apart(self):
        (self.share / "a:b").write_bytes(b"first" * 20000)
        (self.share / "a_b").write_bytes(b"other" * 20000)
        self.run_peer("verify", self.create(), self.folder)
        (self.folder / "x*y").write_bytes(b"first" * 20000)
        (self.folder / "x:y").write_bytes(b"other" * 20000)
        (self.folder / "x_y").write_bytes(b"third" * 20000)
        for name in ("x*y", "x:y", "x_y"):
            self.run_peer("verify", self.create(source=name), self.folder)

    def test_follows_no_link(self):
        (self.share / "a.bin").rename(self.folder / "moved")
        (self.share / "a.bin").symlink_to(self.folder / "moved")
        self.run_peer("verify", self.made["hybrid"], self.folder, expect=MISMATCH)

    def test_writes_nothing(self):
        before = sorted(str(path) for path in self.folder.rglob("*"))
        self.run_peer("verify", self.made["hybrid"], self.folder)
        self.assertEqual(sorted(str(path) for path in self.folder.rglob("*")), before)

    def test_statuses(self):
        for arguments, status in ((("nowhere.torrent", "."), NOT_FOUND), ((self.made["v1"], "nowhere"), NOT_FOUND),
                                  ((self.made["v1"],), USAGE), ((self.made["v1"], ".", "--threads", "x"), USAGE),
                                  ((self.made["v1"], "share"), MISMATCH)):
            self.run_peer("verify", *arguments, expect=status)


class Options(Peer):
    def test_usage(self):
        self.run_peer(expect=USAGE)
        self.run_peer("frobnicate", expect=USAGE)
        self.assertIn("create", self.run_peer("--help"))
        self.assertIn("--piece-length", self.run_peer("create", "--help"))
        self.assertRegex(self.run_peer("--version"), r"^peer .*\d+\.\d+\.\d+\n$")

    def test_what_the_user_wrote_is_shown_without_a_control_character(self):
        odd = "\x1b]0;title\x07\x9b31m\u202e"
        for wrong in ((odd,), (f"--{odd}",), ("create", f"--{odd}"), ("create", "share", "--piece-length", odd),
                      ("get", "x.torrent", "--listen", odd), ("get", "x.torrent", "--upload-limit", odd),
                      ("show", "x.torrent", odd)):
            self.run_peer(*wrong, expect=USAGE)
        self.run_peer("create", "share", "--config", f"/{odd}", expect=USAGE)
        (self.folder / "odd.toml").write_text('"\\u001b[31m" = "1m"\n')
        self.run_peer("create", "share", "--config", "odd.toml", expect=USAGE)
        self.run_peer("create", "share", expect=USAGE, environment={"SHOAL_PIECE_LENGTH": odd})

    def test_what_is_no_tracker_is_wrong_usage(self):
        self.create()
        for command in (("get", "made.torrent", "-o", "out"), ("seed", "made.torrent", "."), ("share", "share"), ("find",),
                        ("console", "made.torrent", "-o", "out"), ("create", "share", "-o", "x")):
            for url in ("gopher://hub.example", "hub.example:6969", "http://"):
                self.run_peer(*command, "--tracker", url, expect=USAGE)

    def test_a_name_without_a_hub_is_said_to_need_one(self):
        result = subprocess.run([PROGRAM, "get", "film.mkv", "-o", "out"], cwd=self.folder, env=CLEAN, capture_output=True,
                                text=True, check=False)
        self.assertEqual(result.returncode, NOT_FOUND, result)
        self.assertIn("needs --tracker", result.stderr)

    def test_results_that_cannot_be_written_are_status_6(self):
        self.create()
        for command in (("show", "made.torrent"), ("show", "made.torrent", "--json"), ("verify", "made.torrent", "."),
                        ("create", "share", "-o", "x")):
            with open("/dev/full", "wb") as full:
                result = subprocess.run([PROGRAM, *command], cwd=self.folder, env=CLEAN, stdout=full,
                                        stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(result.returncode, NOT_WRITABLE, result)
            self.assertEqual(result.stderr, "peer: cannot write to standard output: No space left on device\n")

    def test_what_is_not_built_yet_says_so(self):
        for command in ("daemon",):
            self.run_peer(command, "something", "--tracker", "http://t.example", expect=FAILED)

    def test_environment_and_file_stand_behind_the_command_line(self):
        def piece_length(*arguments, **environment):
            self.run_peer("create", "share", "-o", "x", *arguments, environment=environment)
            return self.show("x")["piece_length"]

        (self.folder / "shoal.toml").write_text('piece-length = "128KiB"\n')
        self.assertEqual(piece_length("--config", "shoal.toml"), 128 << 10)
        self.assertEqual(piece_length("--config", "shoal.toml", SHOAL_PIECE_LENGTH="64KiB"), 64 << 10)
        self.assertEqual(piece_length("--piece-length", "32KiB", SHOAL_PIECE_LENGTH="64KiB"), 32 << 10)
        self.run_peer("create", "share", "-o", "x", expect=USAGE, environment={"SHOAL_PIECE_LENGTH": "often"})

    def test_quiet_says_nothing(self):
        (self.share / "link").symlink_to("a.bin")
        result = subprocess.run([PROGRAM, "create", "share", "-o", "x", "--quiet"], cwd=self.folder, env=CLEAN,
                                capture_output=True, check=True)
        self.assertEqual(result.stderr, b"")


if __name__ == "__main__":
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
