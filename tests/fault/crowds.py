#!/usr/bin/env python3
"""Many connections that do nothing, or next to nothing (T-IDLE, T-SLOW).

    crowds.py PEER TRACKER [IDLE [PEERS [SLOW]]]

IDLE connections that have announced and stay (default 500; the figure asks for 10000) cost the hub at most 8 KiB of memory each, and
honest announces beside them take at most 20 ms, but for one in a hundred. PEERS idle peers (default 200; 2000) cost a peer at most
16 KiB each. SLOW connections (default 150; 10000) that send a byte every 5 s, of a request of the tracker's, of one for the page, of a
handshake of a peer's, are all closed within 15 s, and honest ones meanwhile take at most 100 ms.
Prints what it saw; exit status 0 when all of that held.
"""
import json
import os
import socket
import subprocess
import sys
import time

from crowd import ANYONE
from rig import PATIENCE, SANITIZED, Place, announce_path, percentile, require, wait_until

CROWD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "crowd.py")
PER_ADDRESS = 150
IDLE_BYTES, IDLE_PEER_BYTES = 8 * 1024, 16 * 1024
IDLE_SECONDS, SLOW_SECONDS = 0.020, 0.100
CLOSED_SECONDS = 15
HONEST = 300  # requests that are timed


class Crowd:
    def __init__(self, address, count, first, drip=b"", per_address=PER_ADDRESS):
        words = [*address.rsplit(":", 1), count, per_address, 5, first.hex()] + ([drip.hex()] if drip else [])
        self.process = subprocess.Popen([sys.executable, CROWD, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.begin = time.monotonic()

    def there(self):
        return int(self.process.stdout.readline().split()[1])

    def leave(self):
        """What became of it; sends it away if it is still there."""
        told = self.process.communicate()[0]
        return json.loads(told)

    def ended(self, patience):
        """What became of it, once every connection was closed."""
        return json.loads(self.process.stdout.readline()) if self.process.wait(patience) == 0 else None


def times_of(request, count=HONEST):
    """Seconds that each of so many requests took."""
    taken = []
    for _ in range(count):
        begin = time.monotonic()
        request()
        taken.append(time.monotonic() - begin)
    return taken


def ask(address, path):
    """A request on a connection of its own; the status line is the answer."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        with client.makefile("rb") as reply:
            require(reply.readline().startswith(b"HTTP/1.1 200"), "an honest client was refused")
            reply.read()


HONEST_ANNOUNCE = announce_path(b"h" * 20, b"p" * 20, 7000)


def idle_hub(place, count):
    hub = place.tracker("idle", "--connections-max", str(count + 100))
    address = hub.address()
    times_of(lambda: ask(address, HONEST_ANNOUNCE))
    before = hub.resident()
    crowd = Crowd(address, count, f"GET {HONEST_ANNOUNCE} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    require(crowd.there() == count, "some were refused")
    wait_until(lambda: hub.descriptors() >= count, "all connections taken")
    each = (hub.resident() - before) / count
    taken = times_of(lambda: ask(address, HONEST_ANNOUNCE))
    load = hub.load(1)
    require(crowd.leave()["left"] == count, "some were closed")
    print(f"hub with {count} idle connections: {each / 1024:.1f} KiB each; honest announces: median "
          f"{percentile(taken, 0.5) * 1000:.1f} ms, p99 {percentile(taken, 0.99) * 1000:.1f} ms; {load:.1%} of a processor")
    require(SANITIZED or each <= IDLE_BYTES, "too much memory for an idle connection")
    require(SANITIZED or percentile(taken, 0.99) <= IDLE_SECONDS, "honest announces took too long")


def handshake(info_hash, peer_id):
    return b"\x13BitTorrent protocol" + bytes(5) + b"\x10\0\x05" + info_hash + peer_id


def info_hash_of(place, torrent):
    shown = subprocess.run([place.programs["peer"], "show", torrent, "--json"], capture_output=True, check=True).stdout
    return bytes.fromhex(json.loads(shown)["info_hash_v1"])


def shake_hands(address, info_hash, source="127.3.0.1"):
    host, port = address.rsplit(":", 1)
    with socket.socket() as client:
        client.settimeout(PATIENCE)
        client.bind((source, 0))
        client.connect((host, int(port)))
        client.sendall(handshake(info_hash, os.urandom(20)))
        reply = b""
        while len(reply) < 68:
            more = client.recv(68 - len(reply))
            require(more, "an honest peer was refused")
            reply += more


def contents(place, count):
    folder = place.folder / "there"
    folder.mkdir()
    torrents = []
    for number in range(count):
        (folder / f"content {number}").write_bytes(os.urandom(100_000))
        torrents.append(place.create(folder / f"content {number}"))
    return folder, torrents


def idle_peers(place, count):
    each_torrent = 150
    folder, torrents = contents(place, -(-count // each_torrent))
    peer = place.peer("peer", "get", *torrents, "-o", folder, "--seed", "--no-utp")
    address = peer.address()
    peer.wait_for('"complete"', len(torrents))
    before, was_open = peer.resident(), peer.descriptors()
    crowds = []
    for at, torrent in enumerate(torrents):
        # Interested, so that there is a reason to keep them.
        crowds.append(Crowd(address, min(each_torrent, count - at * each_torrent),
                            handshake(info_hash_of(place, torrent), ANYONE) + b"\0\0\0\x01\x02", per_address=10))
        crowds[-1].there()
    wait_until(lambda: peer.text().count('"joined"') >= count, "all peers joined")
    time.sleep(1)
    held = peer.descriptors() - was_open
    each = (peer.resident() - before) / held
    load = peer.load(2)
    for crowd in crowds:
        crowd.leave()
    print(f"peer with {held} idle peers: {each / 1024:.1f} KiB each, {load:.1%} of a processor")
    require(held >= count, f"{count - held} of the idle peers were closed")
    require(SANITIZED or each <= IDLE_PEER_BYTES, "too much memory for an idle peer")
    return address, info_hash_of(place, torrents[0])


def slow(what, address, first, drip, count, honest):
    crowd = Crowd(address, count, first, drip)
    there = crowd.there()
    up = time.monotonic()
    taken = []
    while time.monotonic() - up < 3:
        taken += times_of(honest, 20)
    became = crowd.ended(PATIENCE)
    print(f"{what} with {there} of {count} slow connections: honest p99 {percentile(taken, 0.99) * 1000:.1f} ms; closed after "
          f"{became['longest']:.1f} s at most")
    require(became["longest"] <= CLOSED_SECONDS, "slow connections were kept too long")
    require(SANITIZED or percentile(taken, 0.99) <= SLOW_SECONDS, "honest ones took too long")


def main():
    idle, peers, slow_count = (int(word) for word in (sys.argv[3:] + ["500", "200", "150"][len(sys.argv) - 3:])[:3])
    with Place(*sys.argv[1:3]) as place:
        idle_hub(place, idle)
        at_peer, info_hash = idle_peers(place, peers)
        hub = place.tracker("slow", "--connections-max", str(slow_count + 200))
        address = hub.address()
        tail = b"\r\nX-Long: " + b"a" * 100
        slow("tracker", address, f"GET {HONEST_ANNOUNCE} HTTP/1.1\r\nHost: {address}".encode(), tail, slow_count,
             lambda: ask(address, HONEST_ANNOUNCE))
        slow("page", address, b"G", b"ET / HTTP/1.1\r\nHost: x\r\n" + tail, slow_count, lambda: ask(address, "/"))
        whole = handshake(info_hash, b"-XX0000-slowloris000")
        slow("peer", at_peer, whole[:1], whole[1:], slow_count, lambda: shake_hands(at_peer, info_hash))


if __name__ == "__main__":
    main()
