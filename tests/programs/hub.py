#!/usr/bin/env python3
"""The tracker as a hub, from outside: sessions, catalogue, API, events, what it refuses.

    hub.py TRACKER PEER OPENAPI.json API.md [NAME...]

The session's protocol is spoken by code of this file's own, so that docs/hub-protocol.md has a second reader.
"""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from outside import CLEAN, bdecode, bencode

TRACKER = PEER = OPENAPI = API_PAGE = ""
PATIENCE = 30  # seconds that any one wait may take


class Session:
    """A WebSocket (RFC 6455) that carries bencoded messages."""

    def __init__(self, port, path="/session", fields=""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n".encode())
        self.input = self.socket.makefile("rb")
        self.status = int(self.input.readline().split()[1])
        while self.input.readline() not in (b"\r\n", b""):
            pass

    def send(self, message, opcode=2):
        data = bencode(message) if isinstance(message, dict) else message
        mask = os.urandom(4)
        size = len(data)
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size) if size < 126 else (
            struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size) if size < 65536 else
            struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size))
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)) if size < 65536 else data
        self.socket.sendall(head + (mask if size < 65536 else bytes(4)) + body)

    def receive(self):
        """The next message; None when the hub has closed."""
        while True:
            head = self.input.read(2)
            if len(head) < 2:
                return None
            opcode, size = head[0] & 15, head[1] & 127
            if size == 126:
                size, = struct.unpack("!H", self.input.read(2))
            elif size == 127:
                size, = struct.unpack("!Q", self.input.read(8))
            data = self.input.read(size)
            if opcode == 8:
                self.close_code = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else None
                return None
            if opcode == 9:
                self.send(data, 10)
            elif opcode == 2:
                return bdecode(data)[0]

    def expect(self, kind):
        while (message := self.receive()) is not None:
            if message["t"].decode() == kind:
                return message
        raise AssertionError(f"the hub closed, no {kind}")

    def hello(self, port=7000, letter="a", **more):
        self.send({"t": "hello", "v": 1, "id": b"-SL0010-" + letter.encode() * 12, "port": port, "client": "Shoal test", **more})
        return self

    def join(self, torrent, pieces, have=b"", **more):
        have = have or bytes((pieces + 7) // 8)
        self.send({"t": "join", "h": torrent, "size": pieces * 16384, "n": pieces, "have": have, "up": 0, "down": 0, **more})

    def close(self):
        self.input.close()
        self.socket.close()


class Running:
    def __init__(self, data, *arguments):
        self.log = pathlib.Path(f"{data}.log")
        with open(self.log, "ab") as log:
            begin, end = log.tell(), time.monotonic() + PATIENCE
            self.process = subprocess.Popen([TRACKER, "--listen", "127.0.0.1:0", "--data", data, *arguments], env=CLEAN,
                                            stdout=subprocess.DEVNULL, stderr=log)
        while True:
            found = re.search(rb"http://\S+:(\d+)", self.log.read_bytes()[begin:])
            if found:
                break
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(self.log.read_text())
            time.sleep(0.01)
        self.port = int(found[1])

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)

    def request(self, path, method="GET", **fields):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"127.0.0.1:{self.port}", **fields}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, dict(reply.getheaders()), body

    def get(self, path):
        status, _, body = self.request(path)
        if status != 200:
            raise AssertionError(f"{path}: {status} {body}")
        return json.loads(body)


class Events:
    """A stream of server-sent events."""

    def __init__(self, port, last_id=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        resume = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        self.socket.sendall(f"GET /api/v1/events HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{resume}\r\n".encode())
        self.input = self.socket.makefile("rb")
        while self.input.readline() not in (b"\r\n", b""):
            pass

    def next(self):
        event = {}
        for line in self.input:
            line = line.decode().rstrip("\n")
            if not line and "data" in event:
                self.id = event["id"]
                return event["event"], json.loads(event["data"])
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value
        raise AssertionError("the stream ended")

    def until(self, condition):
        while True:
            kind, data = self.next()
            if condition(kind, data):
                return kind, data

    def close(self):
        self.input.close()
        self.socket.close()


class Hub(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-hub-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.open = []

    def start(self, *arguments):
        hub = Running(self.folder / "data", *arguments)
        self.addCleanup(hub.stop, signal.SIGKILL)
        return hub

    def session(self, hub, *arguments, **more):
        session = Session(hub.port, *arguments, **more)
        self.addCleanup(session.close)
        return session

    def made(self, name="film.bin", size=100_000, seed=1):
        """A torrent's bytes and its info-hash."""
        path = self.folder / f"{seed}" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((hashlib.sha256(bytes([seed])).digest() * (size // 32 + 1))[:size])
        torrent = self.folder / f"{seed}.torrent"
        subprocess.run([PEER, "create", path, "-o", torrent, "--piece-length", "16KiB", "--quiet"], env=CLEAN, check=True,
                       stdout=subprocess.DEVNULL)
        data = torrent.read_bytes()
        begin = data.index(b"4:info") + 6
        _, end = bdecode(data, begin)
        return data, hashlib.sha1(data[begin:end]).digest()

    def publish(self, session, torrent, info_hash):
        session.send({"t": "publish", "h": info_hash, "torrent": torrent})
        answer = session.receive()
        while answer["t"] not in (b"done", b"refused"):
            answer = session.receive()
        return answer


class Sessions(Hub):
    def test_peers_hear_of_each_other(self):
        hub = self.start()
        first = self.session(hub).hello(7001, "a")
        welcome = first.expect("welcome")
        self.assertEqual((welcome["v"], welcome["ip"], len(welcome["resume"])), (1, b"\x7f\0\0\1", 16))
        first.join(b"h" * 20, 9, b"\xff\x80")
        self.assertEqual(first.expect("done")["re"], b"join")
        self.assertEqual(first.expect("peer_set")["peers"], [])
        second = self.session(hub).hello(7002, "b")
        second.join(b"h" * 20, 9)
        peer, = second.expect("peer_set")["peers"]
        self.assertEqual((peer["at"], peer["have"], peer["n"]), (b"\x7f\0\0\1" + struct.pack("!H", 7001), b"\xff\x80", 9))
        self.assertIn(b"\x7f\0\0\1" + struct.pack("!H", 7002), [each["at"] for each in first.expect("peer_set")["peers"]])
        second.close()
        self.assertEqual(first.expect("peer_set")["gone"], [b"\x7f\0\0\1" + struct.pack("!H", 7002)])
        log = hub.log.read_text()
        self.assertIn("[NEW CONNECTION] 127.0.0.1,7001 connected", log)

    def test_ordinary_clients_and_sessions_meet(self):
        hub = self.start()
        peer = self.session(hub).hello(7001)
        peer.join(b"h" * 20, 9)
        peer.expect("peer_set")
        _, _, body = hub.request(f"/announce?info_hash={'h' * 20}&peer_id=-TR3000-{'p' * 12}&port=51413&left=0&compact=1")
        reply = bdecode(body)[0]
        self.assertEqual(reply["peers"], b"\x7f\0\0\1" + struct.pack("!H", 7001))
        self.assertNotIn("shoal session", reply)
        known, = [each for each in peer.expect("peer_set")["peers"] if each["at"][4:] != struct.pack("!H", 7001)]
        self.assertEqual((known["client"], known["c"]), (b"Transmission 3.0", 1))
        _, _, body = hub.request(f"/announce?info_hash={'h' * 20}&peer_id=-SL0010-{'p' * 12}&port=51414&left=1")
        self.assertEqual(bdecode(body)[0]["shoal session"], b"/session")

    def test_nodes_over_the_limit_wait_and_get_in(self):
        hub = self.start("--nodes-max", "1")
        first = self.session(hub).hello(7001, "a")
        first.expect("welcome")
        second = self.session(hub).hello(7002, "b")
        wait = second.expect("wait")
        self.assertEqual(wait["place"], 1)
        self.assertGreater(wait["wait"], 0)
        first.close()
        second.expect("welcome")

    def test_a_peer_of_many_torrents_is_heard_out(self):
        peer = self.session(self.start()).hello()
        for number in range(300):
            peer.join(b"%020d" % number, 1)
        joined = 0
        while joined < 300:
            message = peer.receive()
            self.assertIsNotNone(message, f"closed after {joined}")
            joined += message["t"] == b"done"

    def test_what_is_no_session_is_refused(self):
        hub = self.start()
        for message, opcode, code in ((b"rubbish", 2, 1002), (b"hello", 1, 1008), ({"t": "ask_peers", "h": b"h" * 20}, 2, 1002)):
            stranger = self.session(hub)
            stranger.send(message, opcode)
            self.assertIsNone(stranger.receive())
            self.assertEqual(stranger.close_code, code)
        old = self.session(hub)
        old.send({"t": "hello", "v": 99})
        self.assertIn(b"version", old.expect("refused")["why"])
        self.assertEqual(hub.request("/session")[0], 426)
        self.assertEqual(Session(hub.port, fields="Origin: http://evil.test\r\n").status, 403)
        self.assertEqual(Session(hub.port, "/elsewhere").status, 404)


class Catalogue(Hub):
    def test_what_was_published_outlives_a_kill_and_is_found(self):
        hub = self.start()
        peer = self.session(hub).hello()
        torrent, info_hash = self.made()
        self.assertEqual(self.publish(peer, torrent, info_hash)["t"], b"done")
        hub.request(f"/announce?info_hash={'h' * 20}&peer_id={'p' * 20}&port=1&left=0")
        hub.stop(signal.SIGKILL)

        hub = self.start()
        found = hub.get("/api/v1/torrents?search=FILM")["torrents"]
        self.assertEqual([(each["name"], each["hash"], each["owners"]) for each in found],
                         [("film.bin", info_hash.hex(), ["127.0.0.1"])])
        self.assertEqual(hub.get("/api/v1/torrents?search=other")["torrents"], [])
        whole = hub.get(f"/api/v1/torrents/{info_hash.hex()}")
        self.assertEqual(whole["files"], [{"path": "film.bin", "size": 100_000}])
        _, fields, body = hub.request(f"/api/v1/torrents/{info_hash.hex()}/metainfo")
        self.assertEqual(fields["Content-Type"], "application/x-bittorrent")
        self.assertTrue(body.startswith(b"d8:announce" + bencode(f"http://127.0.0.1:{hub.port}/announce")), body[:80])
        begin = body.index(b"4:info") + 6
        self.assertEqual(hashlib.sha1(body[begin:bdecode(body, begin)[1]]).digest(), info_hash)

    def test_counters_outlive_a_clean_stop(self):
        hub = self.start()
        for _ in range(3):
            hub.request(f"/announce?info_hash={'h' * 20}&peer_id={'p' * 20}&port=1&left=0")
        self.assertEqual(hub.stop(), 0)
        self.assertEqual(self.start().get("/api/v1/status")["announces_http"], 3)

    def test_downloads_of_what_is_shared_are_counted_over_restarts(self):
        hub = self.start()
        torrent, info_hash = self.made()
        self.publish(self.session(hub).hello(), torrent, info_hash)
        escaped = "".join(f"%{byte:02x}" for byte in info_hash)
        for left, event in ((1, "started"), (0, "completed")):
            hub.request(f"/announce?info_hash={escaped}&peer_id={'p' * 20}&port=1&left={left}&event={event}")
        for _ in range(2):
            _, _, body = hub.request(f"/scrape?info_hash={escaped}")
            self.assertIn(b"10:downloadedi1e", body)
            self.assertEqual(hub.stop(), 0)
            hub = self.start()

    def test_two_contents_of_one_name_are_both_listed(self):
        hub = self.start()
        peer = self.session(hub).hello()
        hashes = set()
        for seed in (1, 2):
            torrent, info_hash = self.made(seed=seed)
            self.publish(peer, torrent, info_hash)
            hashes.add(info_hash.hex())
        found = hub.get("/api/v1/torrents?name=film.bin")["torrents"]
        self.assertEqual({each["hash"] for each in found}, hashes)
        self.assertEqual(hub.get("/api/v1/torrents?name=flim.bin")["near"], ["film.bin"])

    def test_rubbish_is_refused_and_unpublishing_takes_out(self):
        hub = self.start()
        peer = self.session(hub).hello()
        self.assertEqual(self.publish(peer, b"rubbish", b"h" * 20)["t"], b"refused")
        torrent, info_hash = self.made()
        self.publish(peer, torrent, info_hash)
        peer.send({"t": "unpublish", "h": info_hash})
        self.assertEqual(peer.expect("done")["re"], b"unpublish")
        self.assertEqual(hub.get(f"/api/v1/torrents/{info_hash.hex()}")["owners"], [])
        self.assertEqual(hub.get("/api/v1/torrents?search=film")["torrents"], [])
        self.assertEqual(hub.get("/api/v1/torrents?name=film.bin")["torrents"], [])

    def test_a_data_folder_has_one_tracker(self):
        self.start()
        second = subprocess.run([TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "data"], env=CLEAN,
                                capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertIn("another tracker", second.stderr)


def wrong(schema, value, schemas, where="answer"):
    """What of a value its schema does not allow: the part of JSON Schema that openapi.json uses."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{where} is {value!r}"]
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    is_of = {"object": isinstance(value, dict), "array": isinstance(value, list), "string": isinstance(value, str),
             "boolean": isinstance(value, bool), "null": value is None,
             "integer": isinstance(value, int) and not isinstance(value, bool),
             "number": isinstance(value, (int, float)) and not isinstance(value, bool)}
    if types and not any(is_of[each] for each in types):
        return [f"{where} is {value!r}, not {types}"]
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return [f"{where} is {value!r}"]
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        return [f"{where} is {value!r}"]
    if isinstance(value, list):
        return [each for item in value for each in wrong(schema.get("items", {}), item, schemas, where + "[]")]
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    complaints = [f"{where} has no {name}" for name in schema.get("required", []) if name not in value]
    complaints += [f"{where} has {name}, which is not described" for name in value if name not in known]
    return complaints + [each for name in value if name in known
                         for each in wrong(known[name], value[name], schemas, f"{where}.{name}")]


class Api(Hub):
    def busy_hub(self):
        hub = self.start()
        torrent, info_hash = self.made()
        giver = self.session(hub).hello(7001, "a")
        taker = self.session(hub).hello(7002, "b")
        self.publish(giver, torrent, info_hash)
        giver.join(info_hash, 7, b"\xfe")
        giver.expect("peer_set")
        taker.join(info_hash, 7)
        taker.expect("peer_set")
        giver.send({"t": "status", "h": info_hash, "seq": 0, "up": 50_000, "down": 0, "ur": 1000, "dr": 0, "ask": 1,
                    "to": [[b"\x7f\0\0\1" + struct.pack("!H", 7002), 50_000, 1000]]})
        giver.expect("done")
        hub.request(f"/announce?info_hash={'h' * 20}&peer_id=-TR3000-{'p' * 12}&port=51413&left=0")
        return hub, info_hash, giver, taker

    def test_every_answer_is_as_openapi_json_says(self):
        hub, info_hash, *_ = self.busy_hub()
        described = json.loads(pathlib.Path(OPENAPI).read_text())
        schemas = described["components"]["schemas"]
        checked = 0
        for path, methods in described["paths"].items():
            if path == "/api/v1/events":
                continue
            status, fields, body = hub.request(path.replace("{hash}", info_hash.hex()))
            self.assertEqual(status, 200, path)
            (kind, content), = methods["get"]["responses"]["200"]["content"].items()
            self.assertEqual(fields["Content-Type"].split(";")[0], kind, path)
            if kind != "application/json":
                continue
            value = json.loads(body)
            self.assertEqual(wrong(content["schema"], value, schemas), [], path)
            self.assertTrue(value)
            checked += 1
        self.assertEqual(checked, 7)
        for path in ("/api/v1/torrents?limit=x", "/api/v1/torrents?limit=1001", "/api/v1/torrents/zz", "/api/v1/torrents?after=1"):
            status, _, body = hub.request(path)
            self.assertEqual((status, wrong(schemas["error"], json.loads(body), schemas)), (400, []), path)
        for path in ("/api/v1/nothing", f"/api/v1/torrents/{'0' * 40}", f"/api/v1/torrents/{'0' * 40}/metainfo", "/nothing"):
            self.assertEqual(hub.request(path)[0], 404, path)
        self.assertEqual(hub.request("/api/v1/status", "POST")[0], 405)

    def test_the_numbers_are_right(self):
        hub, info_hash, *_ = self.busy_hub()
        nodes = {each["address"]: each for each in hub.get("/api/v1/nodes")["nodes"]}
        self.assertEqual(nodes["127.0.0.1:7001"]["uploaded"], 50_000)
        self.assertEqual(nodes["127.0.0.1:7001"]["kind"], "session")
        self.assertEqual(nodes["127.0.0.1:51413"]["client"], "Transmission 3.0")
        torrent = hub.get(f"/api/v1/torrents/{info_hash.hex()}")
        self.assertEqual((torrent["seeders"], torrent["leechers"], torrent["health"]), (1, 1, 1))
        peers = {each["address"]: each for each in torrent["peers"]}
        self.assertEqual(peers["127.0.0.1:7001"]["cells"], "fffffff")
        self.assertEqual(base64.b64decode(peers["127.0.0.1:7001"]["bitfield"]), b"\xfe")
        self.assertEqual(peers["127.0.0.1:7002"]["cells"], "0000000")
        transfer, = hub.get("/api/v1/transfers")["transfers"]
        self.assertEqual((transfer["from"], transfer["to"], transfer["rate"]),
                         (nodes["127.0.0.1:7001"]["id"], nodes["127.0.0.1:7002"]["id"], 1000))
        self.assertIn("shoal_nodes 2", hub.request("/metrics")[2].decode())

    def test_events_bring_what_changes_and_are_resumed(self):
        hub, info_hash, giver, taker = self.busy_hub()
        events = Events(hub.port)
        self.addCleanup(events.close)
        kind, snapshot = events.next()
        self.assertEqual(kind, "snapshot")
        self.assertEqual(len(snapshot["nodes"]), 3)
        self.assertIn(info_hash.hex(), snapshot["torrents"])
        last = snapshot["seq"]
        taker.send({"t": "status", "h": info_hash, "seq": 7, "got": [0, 7], "up": 0, "down": 100_000, "ur": 0, "dr": 5})
        while True:
            kind, delta = events.next()
            self.assertEqual((kind, delta["seq"]), ("delta", last + 1))
            last = delta["seq"]
            torrent = delta.get("set", {}).get("torrents", {}).get(info_hash.hex())
            if torrent and torrent["seeders"] == 2:
                break
        events.close()
        taker.close()
        again = Events(hub.port, events.id)
        self.addCleanup(again.close)
        kind, delta = again.until(lambda kind, data: "nodes" in data.get("del", {}))
        self.assertEqual(kind, "delta")
        stranger = Events(hub.port, "other-17")
        self.addCleanup(stranger.close)
        self.assertEqual(stranger.next()[0], "snapshot")

    def test_hosts_and_origins(self):
        hub = self.start("--host-name", "hub.example")
        for host, status in ((f"127.0.0.1:{hub.port}", 200), ("localhost", 200), ("[::1]:6969", 200), ("hub.example", 200),
                             ("HUB.example:80", 200), (socket.gethostname(), 200), ("evil.test", 421), ("", 421),
                             ("127.0.0.1.evil.test", 421), ("hub.example.evil.test", 421)):
            for path in ("/api/v1/status", "/", "/metrics"):
                self.assertEqual(hub.request(path, Host=host)[0], status, (host, path))
            self.assertEqual(hub.request("/healthz", Host=host)[0], 200)
        for origin, status in ((f"http://127.0.0.1:{hub.port}", 200), ("null", 403), ("http://evil.test", 403),
                               ("http://127.0.0.1:1", 403)):
            self.assertEqual(hub.request("/api/v1/status", Origin=origin)[0], status, origin)
        # A page enlists nobody in a swarm: neither by an image, nor by a script of any site.
        announce = "/announce?info_hash=" + "%ab" * 20 + "&peer_id=" + "p" * 20 + "&port=80&uploaded=0&downloaded=0&left=1"
        for fields, status in (({}, 200), ({"Sec_Fetch_Site": "none"}, 200), ({"Sec_Fetch_Site": "cross-site"}, 403),
                               ({"Sec_Fetch_Site": "same-origin"}, 403), ({"Origin": f"http://127.0.0.1:{hub.port}"}, 403)):
            self.assertEqual(hub.request(announce, **fields)[0], status, fields)
        self.assertEqual(hub.request("/api/v1/status", Sec_Fetch_Site="cross-site")[0], 403)
        self.assertEqual(hub.request("/api/v1/status", Sec_Fetch_Site="same-origin")[0], 200)

    def test_fields_that_protect_the_page(self):
        hub = self.start()
        for path in ("/", "/api/v1/status", "/nothing", "/metrics"):
            _, fields, _ = hub.request(path)
            self.assertEqual(fields["Cache-Control"], "no-store", path)
            self.assertEqual(fields["X-Content-Type-Options"], "nosniff", path)
            self.assertIn("frame-ancestors 'none'", fields["Content-Security-Policy"])
            self.assertNotIn("unsafe", fields["Content-Security-Policy"])
            self.assertNotIn("Access-Control-Allow-Origin", fields)

    def test_nothing_outside_the_page_can_be_read(self):
        hub = self.start()
        (self.folder / "secret").write_text("a secret")
        ups = ("..", "%2e%2e", "%2E.", "..%00", "%252e%252e", "..%c0%af", ".%2e", "%c0%ae%c0%ae", "....", "..;")
        slashes = ("/", "%2f", "%5c", "\\", "//", "%252f")
        targets = ("etc/passwd", "secret", "catalogue.sqlite", "hub/catalogue.sqlite", "proc/self/environ")
        paths = {f"{prefix}{up}{slash}{target}" for prefix in ("/", "/assets/", "/api/v1/", "/api/v1/torrents/")
                 for up in ups for slash in slashes for target in targets}
        paths |= {"//etc/passwd", "/page.js/../x", "/.", "/index.html%00", "/catalogue.sqlite", "/api/v1/torrents/../status"}
        self.assertGreater(len(paths), 300)
        for path in sorted(paths):
            status, _, body = hub.request(path)
            self.assertIn(status, (400, 404), path)
            self.assertNotIn(b"secret", body.replace(path.encode(), b""), path)
            self.assertNotIn(b"root:", body, path)

    def test_a_range_of_a_page_is_the_whole_page(self):
        hub = self.start()
        whole = hub.request("/")[2]
        for wanted in ("bytes=0-1", "bytes=1-,0-", "bytes=-1", "bytes=" + ",".join(["0-"] * 1000), "bytes=9999999999999999999-",
                       "bytes=5-2", "lines=1-2"):
            status, fields, body = hub.request("/", Range=wanted)
            self.assertEqual((status, body, fields.get("Content-Range")), (200, whole, None), wanted[:40])

    def test_every_answer_is_json_for_other_readers_whatever_peers_say(self):
        hub = self.start()
        peer = self.session(hub)
        peer.send({"t": "hello", "v": 1, "id": b"-SL0010-" + b"a" * 12, "port": 7001,
                   "client": b"\xff\xfe\xc0\x80 <b>\x00\x1b[2J\xe2\x80\xa8 \xf0\x9f\x90\x9f"})
        peer.expect("welcome")
        peer.join(b"h" * 20, 9, up=2**63 - 1, down=2**62)
        peer.expect("peer_set")
        peer.send({"t": "status", "h": b"h" * 20, "seq": 0, "up": 2**63 - 1, "down": 2**63 - 1, "ur": 2**63 - 1,
                   "dr": 2**63 - 1})
        for path in ("status", "nodes", "torrents", "transfers", "history", "log", f"torrents/{(b'h' * 20).hex()}"):
            status, _, body = hub.request(f"/api/v1/{path}")
            self.assertEqual(status, 200)
            ours = json.loads(body.decode("utf-8"))
            if node := shutil.which("node"):
                read = "process.stdout.write(JSON.stringify(JSON.parse(require('fs').readFileSync(0, 'utf8'))))"
                theirs = subprocess.run([node, "-e", read], input=body, capture_output=True, check=True, timeout=PATIENCE)
                self.assertEqual(json.loads(theirs.stdout), ours, path)
        client = hub.get("/api/v1/nodes")["nodes"][0]["client"]
        self.assertIn("\ufffd", client)
        self.assertTrue(client.endswith("\U0001f41f"), client)

    def test_the_lines_with_curl_in_the_documentation_work(self):
        hub, info_hash, *_ = self.busy_hub()
        lines = re.findall(r"^    (curl .*)$", pathlib.Path(API_PAGE).read_text(), re.MULTILINE)
        self.assertGreater(len(lines), 10)
        for line in lines:
            line = line.replace("127.0.0.1:6969", f"127.0.0.1:{hub.port}").replace("curl ", "curl -f ", 1)
            done = subprocess.run(["bash", "-c", line], env={**CLEAN, "HASH": info_hash.hex()}, cwd=self.folder,
                                  capture_output=True, timeout=PATIENCE)
            self.assertIn(done.returncode, (0, 28) if "max-time" in line else (0,), line)
            self.assertTrue(done.stdout or "-o" in line, line)


if __name__ == "__main__":
    TRACKER, PEER, OPENAPI, API_PAGE = sys.argv[1:5]
    unittest.main(argv=[sys.argv[0], *sys.argv[5:]], verbosity=2)
