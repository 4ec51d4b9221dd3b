#!/usr/bin/env python3
"""Writes what the fuzz targets begin with: seeds.py FOLDER makes FOLDER/TARGET/NAME for each of them."""

import hashlib
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
from outside import bencode  # noqa: E402


def root_of(content):
    """The `pieces root` of a file of at most one block: BEP 52."""
    return hashlib.sha256(content).digest()


CONTENT = b"x" * 1000
V1 = {"name": "one", "piece length": 16384, "length": 1000, "pieces": hashlib.sha1(CONTENT).digest()}
V1_FILES = {"name": "many", "piece length": 16384, "pieces": hashlib.sha1(CONTENT + b"y" * 5).digest(),
            "files": [{"length": 1000, "path": ["a", "b"]}, {"length": 5, "path": ["c"], "attr": "x"}]}
V2 = {"name": "two", "piece length": 16384, "meta version": 2,
      "file tree": {"one": {"": {"length": 1000, "pieces root": root_of(CONTENT)}}}}
HYBRID = {"name": "both", "piece length": 16384, "meta version": 2,
          "file tree": {"both": {"": {"length": 1000, "pieces root": root_of(CONTENT)}}},
          "length": 1000, "pieces": hashlib.sha1(CONTENT).digest()}
OUTER = {"announce": "http://t.example/announce", "announce-list": [["udp://t.example:1"], ["http://u.example/a"]],
         "url-list": ["http://w.example/"], "comment": "c", "created by": "fuzz", "creation date": 1,
         "nodes": [["127.0.0.1", 6881]]}


def message(number, payload=b""):
    return struct.pack(">IB", len(payload) + 1, number) + payload


def extended(number, payload):
    return message(20, bytes([number]) + payload)


HELLO = bencode({"m": {"ut_metadata": 2, "ut_pex": 1}, "metadata_size": 20000, "reqq": 250, "p": 6881, "v": "fuzz 1",
                 "yourip": b"\x7f\0\0\1", "upload_only": 1})
STREAM = b"".join([extended(0, HELLO), message(5, b"\xff\xc0"), message(1), message(2), message(4, struct.pack(">I", 3)),
                   message(6, struct.pack(">III", 0, 0, 16384)), message(8, struct.pack(">III", 0, 0, 16384)),
                   message(7, struct.pack(">II", 0, 0) + b"b" * 16384), message(16, struct.pack(">III", 0, 16384, 16384)),
                   message(13, struct.pack(">I", 1)), message(17, struct.pack(">I", 1)), message(14), message(15),
                   message(9, b"\x1a\xe1"), b"\0\0\0\0", message(0), message(3)])
CONNECT = struct.pack(">QII", 0x41727101980, 0, 7)
ANNOUNCE = struct.pack(">QII20s20sQQQIIIiH", 1, 1, 7, b"h" * 20, b"p" * 20, 0, 1000, 0, 2, 0, 5, -1, 6881)
SCRAPE = struct.pack(">QII20s20s", 1, 2, 7, b"h" * 20, b"i" * 20)
PEERS = b"\x7f\0\0\1\x1a\xe1" * 3



def utp_packet(kind, connection_id, seq_nr, ack_nr, payload=b"", extension=0):
    return struct.pack(">BBHIIIHH", kind << 4 | 1, extension, connection_id, 5, 6, 1 << 20, seq_nr, ack_nr) + payload


# tests/fuzz/utp.cpp: what << 2 | peer, then what that needs; 4 | 0: a packet of peer 0 whose numbers fit
UTP_DATAGRAMS = [utp_packet(4, 1, 100, 0), utp_packet(0, 2, 101, 7, b"hello"), utp_packet(1, 2, 102, 7), utp_packet(3, 2, 103, 7),
                 utp_packet(2, 2, 101, 7, b"\0\4\5\0\0\x80", 1), utp_packet(2, 2, 101, 7, b"\1\2ab\0\4\xff\0\0\0", 9)]
UTP_ACCEPTED = b"\0" + bytes([4, 4, 1, 0]) + bytes([4, 2, 2, 0]) + bytes([4, 0, 3, 9])
UTP_CONNECTED = b"\0" + bytes([28]) + bytes([4, 2, 1, 0])
UTP_TALK = bytes([16, 255, 4, 130, 5, 8, 0, 4, 16, 4, 6, 20, 4, 0, 7, 30, 20, 12, 9, 4, 2, 8, 0, 4, 1, 9, 0, 24, 12, 15])
H = b"t" * 20
AT = b"\x7f\0\0\1\x1a\xe1"
FROM_PEER = [{"t": "hello", "v": 1, "id": b"p" * 20, "port": 6881, "client": "c", "resume": b"r" * 16},
             {"t": "join", "h": H, "size": 1000000, "n": 16, "have": b"\xff\xff", "up": 1, "down": 2},
             {"t": "status", "h": H, "seq": 3, "got": [1, 2], "lost": [5, 1], "up": 1, "down": 2, "ur": 3, "dr": 4,
              "to": [[AT, 5, 6]], "ask": 1},
             {"t": "leave", "h": H, "quit": 1}, {"t": "ask_peers", "h": H},
             {"t": "publish", "h": H, "torrent": bencode(OUTER | {"info": V1})}, {"t": "unpublish", "h": H}]
FROM_HUB = [{"t": "welcome", "v": 1, "resume": b"r" * 16, "ip": b"\x7f\0\0\1", "every": 1000, "known": [[H, 3]]},
            {"t": "wait", "wait": 5, "place": 2},
            {"t": "peer_set", "h": H, "whole": 1, "gone": [AT],
             "peers": [{"at": AT, "client": "c", "s": 1, "c": 0, "up": 1, "down": 2, "n": 16, "have": b"\xff\xff", "got": [1, 2]}]},
            {"t": "done", "re": "join", "h": H}, {"t": "refused", "re": "join", "h": H, "why": "no"}]
LOCAL = [b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: " + b"00" * 20
         + b"\r\ncookie: 1a2b3c4d\r\n\r\n\r\n",
         b"BT-SEARCH * HTTP/1.1\ninfohash:" + b"AB" * 20 + b"\nINFOHASH: " + b"01" * 20 + b"\nX-New: y\nport:\t1\n", b""]

NODE = b"n" * 20
NODES = b"".join(bytes([m]) * 20 + bytes([20, m, 1, 7]) + b"\x1a\xe1" for m in (4, 5, 6))
KRPC_QUERIES = [bencode({"a": {"id": NODE} | more, "q": name, "t": "aa", "y": "q"})
                for name, more in (("ping", {}), ("find_node", {"target": H}), ("get_peers", {"info_hash": H, "want": ["n4"]}),
                                   ("announce_peer", {"info_hash": H, "port": 1, "token": "12345678", "implied_port": 1}))]
KRPC_REPLIES = [bencode({"r": {"id": NODE} | more, "t": "aaaa", "y": "r", "ip": AT})
                for more in ({}, {"nodes": NODES}, {"nodes": NODES, "token": "t", "values": [AT, b"\0" * 18]})]
KRPC_FAILURE = bencode({"e": [203, "bad token"], "t": "aaaa", "y": "e"})


# tests/fuzz/http_server.cpp, http_client.cpp, web_socket.cpp: a byte for the steps first
HTTP_ANNOUNCE = (b"GET /announce?info_hash=" + b"%ab" * 20 + b"&peer_id=" + b"p" * 20 + b"&port=6881&left=5&compact=1"
                 b" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x\r\n\r\n")
HTTP_REQUESTS = [HTTP_ANNOUNCE * 2, HTTP_ANNOUNCE.replace(b"HTTP/1.1", b"HTTP/1.0")] + [
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path
    for path in (b"/", b"/healthz", b"/metrics", b"/scrape?info_hash=" + b"h" * 20, b"/api/v1/torrents?search=a*&limit=5&name=n&after=x",
                 b"/api/v1/monitor", b"/api/v1/events", b"/api/v1/torrents/" + b"ab" * 20 + b"/metainfo", b"/../x?y#z")] + [
    b"POST /announce HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcHEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: v\r\n\r\n",
    b"GET /session HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x82\x85\0\0\0\0hello"]
HTTP_REPLIES = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.0 200 OK\r\n\r\nto the end",
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n",
                b"HTTP/1.1 302 Found\r\nLocation: ../b?c#d\r\nContent-Length: 0\r\n\r\n",
                b"HTTP/1.1 301 Moved\r\nLocation: https://h.example/\r\n\r\n"]
URLS = [b"http://t.example/a/announce?k=%2f", b"HTTP://[::1]:81/", b"http://xn--e1afmkfd.example:8080?x", b"https://t.example/"]


def frame(first, payload, mask=b"\1\2\3\4"):
    """A frame of a client: RFC 6455, 5.2."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([first]) + length + mask + bytes(each ^ mask[i % 4] for i, each in enumerate(payload))


FRAMES = [frame(0x82, b"binary"), frame(0x81, "grün".encode()), frame(0x01, b"in ") + frame(0x89, b"ping") + frame(0x80, b"parts"),
          frame(0x82, b"x" * 300), frame(0x8a, b""), frame(0x88, b"\x03\xe8bye")]


def from_node(number, content):
    return bytes([number]) + struct.pack("<H", len(content)) + content


SEEDS = {
    "bencode": [bencode(OUTER | {"info": V1}), b"i-1e", b"le", b"de", b"3:abc", b"i-0e", b"d1:b0:1:a0:e", b"l" * 120],
    "torrent": [bencode(OUTER | {"info": info}) for info in (V1, V1_FILES, V2, HYBRID, V1 | {"private": 1})]
               + [bencode(info) for info in (V1, V1_FILES, V2, HYBRID)],
    "magnet": [b"magnet:?xt=urn:btih:" + b"ab" * 20 + b"&dn=a%20b&tr=http%3A%2F%2Ft.example%2Fa&x.pe=127.0.0.1:1&so=0,2-5",
               b"magnet:?xt=urn:btmh:1220" + b"cd" * 32 + b"&ws=http://w.example/&x.pe=[::1]:2",
               b"magnet:?xt=urn:btih:" + b"A" * 32],
    "names": [b"a\nb\nc.txt", b"..\n.\n/etc/passwd", "grün\u202e\u200b.exe".encode(), b"CON\ncom1.txt\nx. ", b"\xff\xfe\x1b[31m"],
    "http_announce": [b"info_hash=" + b"%ab" * 20 + b"&peer_id=" + b"p" * 20 + b"&port=6881&uploaded=0&downloaded=0&left=5"
                      b"&compact=1&event=started&numwant=50&key=x&ip=127.0.0.1&no_peer_id=1&trackerid=t",
                      b"info_hash=" + b"h" * 20 + b"&info_hash=" + b"i" * 20],
    "http_reply": [bencode({"interval": 1800, "min interval": 60, "peers": PEERS, "peers6": b"\0" * 15 + b"\1\x1a\xe1",
                            "complete": 1, "incomplete": 2, "tracker id": "t", "warning message": "w",
                            "external ip": b"\x7f\0\0\1"}),
                   bencode({"interval": 5, "peers": [{"ip": "127.0.0.1", "port": 6881, "peer id": "p" * 20}]}),
                   bencode({"failure reason": "no", "retry in": "never"}),
                   bencode({"files": {b"h" * 20: {"complete": 1, "incomplete": 2, "downloaded": 3}}})],
    "udp_tracker": [CONNECT, ANNOUNCE, ANNOUNCE + b"\x02\x02/a\x00\x01", SCRAPE],
    "udp_client": [bytes([4, 16]) + struct.pack(">IIQ", 0, 0, 9) + bytes([26]) + struct.pack(">IIIII", 1, 0, 1800, 1, 2) + PEERS[:6],
                   bytes([6, 16]) + struct.pack(">IIQ", 0, 0, 9) + bytes([32]) + struct.pack(">IIIIIIII", 2, 0, 1, 2, 3, 4, 5, 6),
                   bytes([4, 12]) + struct.pack(">II4s", 3, 0, b"oops") + bytes([0, 0])],
    "local_announce": [bytes([how]) + b"".join(struct.pack(">H", len(each)) + each for each in LOCAL)
                       for how in (0, 1, 6, 9, 12)],
    "peer_stream": [bytes([how]) + STREAM for how in (0, 3, 0x3f, 0x33)],
    "extensions": [HELLO, bencode({"msg_type": 1, "piece": 0, "total_size": 20000}) + b"d" * 100,
                   bencode({"msg_type": 0, "piece": 3}), bencode({"msg_type": 2, "piece": 3}),
                   bencode({"added": PEERS, "added.f": b"\2\x10\0", "dropped": PEERS[:6], "added6": b"\0" * 17 + b"\1"}),
                   b"\0" + b"12345678", b"\x13BitTorrent protocol" + b"\0" * 48],
    "metadata_exchange": [bytes([255]) + extended(0, HELLO)
                          + extended(1, bencode({"msg_type": 1, "piece": 0, "total_size": 20000}) + b"m" * 16384)
                          + extended(1, bencode({"msg_type": 1, "piece": 1, "total_size": 20000}) + b"m" * 3616),
                          bytes([3]) + message(5, b"\xff" * 40) + extended(0, HELLO)
                          + extended(1, bencode({"msg_type": 2, "piece": 0}))],
    "utp": [b"\0" + b"".join(bytes([0, len(each)]) + each for each in UTP_DATAGRAMS), UTP_ACCEPTED + UTP_TALK,
            UTP_CONNECTED + UTP_TALK, UTP_ACCEPTED + bytes([24, 4, 1, 4, 0, 12, 15]), b"\2" + UTP_ACCEPTED[1:] + UTP_TALK * 20],
    "dht": [bytes([how]) + b"".join(from_node(0x83, each) for each in KRPC_REPLIES)
            + b"".join(from_node(number, each) for number, each in enumerate(KRPC_QUERIES, 3)) + from_node(1, b"")
            + b"".join(from_node(0x80 | number, KRPC_REPLIES[2]) for number in (4, 5, 6, 1, 2)) + from_node(3, KRPC_FAILURE)
            for how in (0, 2, 6, 15)],
    "http_server": [b"\x0f" + each for each in HTTP_REQUESTS] + [b"\0" + HTTP_ANNOUNCE],
    "http_client": [b"\x0f" + URLS[number % 4] + b"\n" + each for number, each in enumerate(HTTP_REPLIES)]
                   + [b"\x82" + URLS[0] + b"\n" + HTTP_REPLIES[3]],
    "web_socket": [b"\x8f" + b"".join(FRAMES)] + [bytes([how]) + each for how in (0, 0x84) for each in FRAMES],
    "journal": [b"\0" * 65, b"\1", bytes([1, 0, 40, 1, 0]), bytes([1, 0, 90, 0, 255])],
    "session_messages": [bencode(each) for each in FROM_PEER + FROM_HUB],
    "session_client": [b"".join(struct.pack(">H", len(each)) + each for each in map(bencode, FROM_HUB)) + b"\0\0"],
}


def main():
    folder = pathlib.Path(sys.argv[1])
    for target, inputs in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(inputs):
            (folder / target / f"seed-{number}").write_bytes(content)


if __name__ == "__main__":
    main()
