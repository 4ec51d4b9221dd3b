#!/usr/bin/env python3
"""A hub that lets in its members alone, and one that shows strangers counts.

    private_hub.py PEER TRACKER [NAME...]
"""
import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

from outside import CLEAN, DONE, FAILED, NOT_FOUND, NOT_PERMITTED, PATIENCE, USAGE, ProgramTest

PEER = TRACKER = ""
# What a stranger may see of a hub that shows counts (class K9): no name, no address, no hash.
COUNTS = {"name", "version", "started_at", "now", "nodes", "nodes_max", "waiting", "torrents", "catalogue", "announce_peers",
          "up_rate", "announces_http", "announces_udp", "announces_rate", "bytes_served"}


class PrivateHub(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-private-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.count = 0

    def passkey(self, *words, expect=DONE):
        done = subprocess.run([TRACKER, "passkey", *words, "--data", self.folder / "hub"], env=CLEAN, capture_output=True,
                              text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, expect, done)
        return done.stdout.strip()

    def start_hub(self, who):
        hub = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "hub", "--access", who,
                         "--log-level", "debug")
        self.root = hub.wait_for("listening on").split("listening on ")[1].split("/announce")[0]
        self.address = self.root.removeprefix("http://")
        return hub

    def url(self, passkey=None):
        return f"{self.root}/announce" + (f"?passkey={passkey}" if passkey else "")

    def state(self):
        self.count += 1
        return self.folder / f"state{self.count}"

    def common(self, passkey):
        return ("--tracker", self.url(passkey), "--listen", "127.0.0.1:0", "--state", self.state())

    def share(self, path, passkey):
        program = self.start(PEER, "share", path, *self.common(passkey), "--json")
        program.wait_for('"published"')
        return program

    def peer(self, *words, expect=DONE):
        done = subprocess.run([PEER, *map(str, words)], env=CLEAN, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, expect, done)
        return done

    def ask(self, path, **fields):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in fields.items()})
        reply = connection.getresponse()
        return reply, reply.read()

    def made(self, size=2_000_000):
        path = self.folder / "film.bin"
        path.write_bytes(os.urandom(size))
        return path

    def test_a_member_shares_and_another_fetches_and_a_stranger_does_neither(self):
        anna, ben = self.passkey("add", "anna"), self.passkey("add", "ben")
        hub = self.start_hub("members")
        film = self.made()
        share = self.share(film, anna)
        got = self.peer("get", "film.bin", "-o", self.folder / "out", "--timeout", "30s", *self.common(ben))
        self.assertEqual((self.folder / "out" / "film.bin").read_bytes(), film.read_bytes())
        found = json.loads(self.peer("find", "--json", *self.common(ben)[:2]).stdout)
        self.assertEqual(found["owners"], ["anna at 127.0.0.1"])
        for wrong in (None, "0" * 32):
            for words in (("find",), ("get", "film.bin", "-o", self.folder / "stolen"), ("share", film)):
                options = self.common(wrong)
                done = self.peer(*words, *(options[:2] if words[0] == "find" else options), expect=NOT_PERMITTED)
                self.assertIn("passkey", done.stderr)
        self.assertFalse((self.folder / "stolen").exists())
        share.end(signal.SIGTERM)
        hub.end(signal.SIGTERM)
        # No secret in a log, on a screen, or in what is handed on (class I10).
        for text in (share.seen.decode(), hub.seen.decode(), got.stdout + got.stderr):
            self.assertNotIn(anna, text)
            self.assertNotIn(ben, text)
        kept = [path for path in (self.folder / "state1").rglob("*") if path.is_file()]
        self.assertIn("shared", [path.parent.name for path in kept])
        for path in kept:  # nor in what share remembers
            self.assertNotIn(anna.encode(), path.read_bytes())

    def test_the_torrent_of_a_share_is_private_and_names_no_passkey_but_the_askers(self):
        anna, ben = self.passkey("add", "anna"), self.passkey("add", "ben")
        self.start_hub("members")
        self.share(self.made(), anna)
        found = json.loads(self.peer("find", "--json", *self.common(anna)[:2]).stdout)
        reply, metainfo = self.ask(f"/api/v1/torrents/{found['info_hash']}/metainfo", Authorization=f"Bearer {ben}")
        self.assertEqual(reply.status, 200)
        self.assertNotIn(anna.encode(), metainfo)
        self.assertIn(self.url(ben).encode(), metainfo)
        self.assertIn(b"7:privatei1e", metainfo)

    def test_a_torrent_file_alone_does_not_let_anybody_in(self):
        anna = self.passkey("add", "anna")
        self.start_hub("members")
        film = self.made()
        self.peer("create", film, "-o", self.folder / "film.torrent", "--tracker", self.url())
        seed = self.start(PEER, "seed", self.folder / "film.torrent", self.folder, *self.common(anna), "--json")
        seed.wait_for('"announce"')
        done = self.peer("get", self.folder / "film.torrent", "-o", self.folder / "stolen", *self.common(None),
                         expect=NOT_PERMITTED)
        self.assertIn("passkey", done.stderr)
        # The torrent's own passkey counts where --tracker gives none.
        with_key = self.folder / "with-key.torrent"
        made = self.peer("create", film, "-o", with_key, "--tracker", self.url(anna))
        self.assertNotIn(anna, made.stdout)
        self.peer("get", with_key, "-o", self.folder / "again", "--timeout", "30s", *self.common(None))
        self.peer("get", self.folder / "film.torrent", "-o", self.folder / "out", "--timeout", "30s", *self.common(anna))
        self.assertEqual((self.folder / "out" / "film.bin").read_bytes(), film.read_bytes())

    def test_every_path_but_health_wants_a_passkey_in_any_of_three_forms(self):
        anna = self.passkey("add", "anna")
        self.start_hub("members")
        basic = base64.b64encode(f"anybody:{anna}".encode()).decode()
        for path in ("/", "/api/v1/status", "/api/v1/nodes", "/api/v1/torrents", "/api/v1/transfers", "/api/v1/history",
                     "/api/v1/log", "/api/v1/events", "/metrics", "/session"):
            for fields in ({}, {"Authorization": "Bearer " + "0" * 32}, {"Authorization": "Basic " + basic[:-4] + "AAA="}):
                reply, body = self.ask(path, **fields)
                self.assertEqual(reply.status, 401, (path, fields, body))
                self.assertTrue(reply.headers["WWW-Authenticate"].startswith("Basic realm="))
            if path in ("/api/v1/events", "/session"):
                continue
            for target, fields in ((path, {"Authorization": f"Bearer {anna}"}), (path, {"Authorization": f"Basic {basic}"}),
                                   (f"{path}?passkey={anna}", {})):
                self.assertEqual(self.ask(target, **fields)[0].status, 200, (target, fields))
        self.assertEqual(self.ask("/healthz")[0].status, 200)

    def test_who_is_taken_out_is_put_out_while_the_hub_runs(self):
        anna, ben = self.passkey("add", "anna"), self.passkey("add", "ben")
        hub = self.start_hub("members")
        share = self.share(self.made(), anna)
        events = socket.create_connection(self.address.split(":"), timeout=PATIENCE)
        self.addCleanup(events.close)
        events.sendall(f"GET /api/v1/events?passkey={anna} HTTP/1.1\r\nHost: {self.address}\r\n\r\n".encode())
        self.assertIn(b"200", events.recv(64))
        self.passkey("remove", "anna")
        anew = self.passkey("add", "anna")  # replaced, perhaps within one look of the hub
        hub.wait_for("[PEER DISCONNECTED]")
        while events.recv(65536):
            pass
        self.assertEqual(self.ask(f"/api/v1/nodes?passkey={anna}")[0].status, 401)
        self.assertEqual(self.ask(f"/api/v1/nodes?passkey={anew}")[0].status, 200)
        self.assertIsNone(share.process.poll(), "seeding goes on without the hub")
        self.assertEqual(json.loads(self.ask(f"/api/v1/nodes?passkey={ben}")[1])["nodes"], [])

    def test_a_damaged_file_of_members_keeps_everybody_as_he_was(self):
        anna = self.passkey("add", "anna")
        hub = self.start_hub("members")
        self.assertEqual(self.ask(f"/api/v1/nodes?passkey={anna}")[0].status, 200)
        (self.folder / "hub" / "members").write_text("anna nonsense\n")
        hub.wait_for("the members stay as they were")
        self.assertEqual(self.ask(f"/api/v1/nodes?passkey={anna}")[0].status, 200)
        hub.end(signal.SIGTERM)
        done = subprocess.run([TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "hub", "--access", "members"],
                              env=CLEAN, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, FAILED, done)
        self.assertIn("hub/members: ", done.stderr)
        self.passkey("list", expect=FAILED)

    def test_passkeys_are_added_listed_and_removed(self):
        anna = self.passkey("add", "anna")
        self.assertRegex(anna, "^[0-9a-f]{32}$")
        self.assertNotEqual(anna, self.passkey("add", "ben"))
        self.assertEqual(self.passkey("list").split(), ["anna", "ben"])
        members = self.folder / "hub" / "members"
        self.assertEqual(stat.S_IMODE(members.stat().st_mode), 0o600)
        self.assertNotIn(anna, members.read_text())
        self.passkey("add", "anna", expect=FAILED)
        self.passkey("add", "no name", expect=FAILED)
        self.passkey("remove", "clara", expect=NOT_FOUND)
        for words in ((), ("add",), ("list", "anna"), ("change", "anna"), ("add", "anna", "ben")):
            self.passkey(*words, expect=USAGE)
        self.passkey("remove", "anna")
        self.assertEqual(self.passkey("list").split(), ["ben"])

    def test_a_hub_that_shows_counts_shows_strangers_nothing_else(self):
        anna = self.passkey("add", "anna")
        self.start_hub("counts")
        self.share(self.made(), anna)
        reply, status = self.ask("/api/v1/status")
        self.assertEqual(reply.status, 200)
        status = json.loads(status)
        self.assertEqual(set(status), COUNTS)
        self.assertTrue(all(isinstance(value, (int, float)) or name in ("name", "version", "nodes_max")
                            for name, value in status.items()), status)
        metrics = self.ask("/metrics")[1].decode()
        for secret in ("127.0.0.1", "film", "anna"):
            self.assertNotIn(secret, metrics)
        for path in ("/", "/api/v1/nodes", "/api/v1/torrents", "/api/v1/transfers", "/api/v1/log", "/api/v1/events",
                     "/api/v1/history", "/session"):
            self.assertEqual(self.ask(path)[0].status, 401, path)
        self.assertEqual(self.ask("/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1")[1][:10],
                         b"d8:complet")
        self.peer("find", *self.common(None)[:2], expect=NOT_PERMITTED)


if __name__ == "__main__":
    PEER, TRACKER = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
