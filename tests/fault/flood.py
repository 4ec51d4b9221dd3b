#!/usr/bin/env python3
"""A hub under floods of UDP packets, bad requests and bad handshakes (T-FLOOD, M10).

    flood.py PEER TRACKER UDP_FLOOD [COUNT [RATE]]

COUNT announces (default 30000; the figure asks for 10000000) of random info-hashes with connection ids that hold, and as many with
forged ones, RATE a second (default 10000): the peer sets stay below the hub's cap, forged ones get no answer, of honest announces
meanwhile 99 of 100 are answered, and who has not proven its address is sent no more than it sent. Then COUNT / 10 packets of random
bytes and some bad requests and handshakes, to the hub and to a peer: what both log stays below 1 MB.
Prints what it saw; exit status 0 when all of that held.
"""
import concurrent.futures
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time

from rig import MIB, PATIENCE, SANITIZED, Place, percentile, require

MEMORY_LIMIT = 256 * MIB  # of the hub's peer sets, by its option
BESIDES = 64 * MIB  # what it has for itself otherwise
ANSWERED = 0.99
LOG_MAX = 1_000_000


class HonestClient:
    """Asks for a connection id as BEP 15 says, and announces."""

    def __init__(self, host, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.4.0.1", 0))
        self.socket.settimeout(1)
        self.socket.connect((host, int(port)))
        self.connection, self.until = None, 0
        self.asked = self.answered = 0
        self.taken = []

    def exchange(self, packet, transaction):
        begin = time.monotonic()
        self.asked += 1
        self.socket.send(packet)
        try:
            while time.monotonic() - begin < 1:
                reply = self.socket.recv(2000)
                if struct.unpack(">I", reply[4:8])[0] == transaction:
                    self.answered += 1
                    self.taken.append(time.monotonic() - begin)
                    return reply
        except TimeoutError:
            pass
        return None

    def announce(self):
        transaction = int.from_bytes(os.urandom(4), "big")
        if time.monotonic() > self.until:
            reply = self.exchange(struct.pack(">QII", 0x41727101980, 0, transaction), transaction)
            if reply:
                self.connection, self.until = reply[8:16], time.monotonic() + 50
            return
        packet = self.connection + struct.pack(">II20s20sQQQIIIiH", 1, transaction, b"h" * 20, b"p" * 20, 0, 1, 0, 0, 0, 0, -1, 7000)
        self.exchange(packet, transaction)


def flooded(hub, program, host, port, kind, count, rate):
    """What the flood saw, an honest client beside it, and the most memory that the hub had."""
    client = HonestClient(host, port)
    most = 0
    running = subprocess.Popen([program, host, str(port), kind, str(count), str(rate)], stdout=subprocess.PIPE, text=True)
    while running.poll() is None:
        client.announce()
        most = max(most, hub.resident())
        time.sleep(0.005)
    require(running.returncode == 0, f"the flood ended with {running.returncode}")
    told = json.loads(running.stdout.read())
    part = client.answered / client.asked
    print(f"{kind}: {told['sent']} packets in {told['seconds']} s, {told['replies']} answers; honest: {part:.2%} of {client.asked} "
          f"answered, p99 {percentile(client.taken, 0.99) * 1000:.1f} ms; memory at most {most / MIB:.0f} MiB")
    require(hub.is_alive(), "the hub ended")
    require(SANITIZED or part >= ANSWERED, "honest announces went unanswered")
    return told, most


BAD_REQUESTS = (b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET /announce?info_hash=short HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                b"POST /announce HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET /announce?info_hash=%zz HTTP/1.1\r\nHost: x\r\n\r\n",
                b"\0" * 100, b"A" * 9000, b"GET /session HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
                b"GET /\x1b[31m HTTP/1.1\r\nHost: \x1b[0m\r\n\r\n")
BAD_HANDSHAKES = (b"\x13BitTorrent protocol" + bytes(48), b"\x14BitTorrent protocols" + bytes(48), bytes(68), b"GET / HTTP/1.1\r\n\r\n" * 4)


def pester(address, kinds, count):
    """Sends them, some at once: a peer keeps who asks for an unknown torrent waiting as it does a stranger at a members' hub."""
    host, port = address.rsplit(":", 1)

    def one(number):
        with socket.socket() as client:
            client.settimeout(PATIENCE)
            client.bind((f"127.5.{number // 200 % 200}.{1 + number % 200}", 0))
            try:
                client.connect((host, int(port)))
                client.sendall(kinds[number % len(kinds)])
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except OSError:
                pass

    with concurrent.futures.ThreadPoolExecutor(50) as some:
        list(some.map(one, range(count)))


def main():
    program = pathlib.Path(sys.argv[3]).resolve()
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 30_000
    rate = int(sys.argv[5]) if len(sys.argv) > 5 else 10_000
    with Place(*sys.argv[1:3]) as place:
        hub = place.tracker("hub", "--memory-limit", f"{MEMORY_LIMIT // MIB}MiB")
        address = hub.address()
        host, port = address.rsplit(":", 1)
        valid, most = flooded(hub, program, host, int(port), "valid", count, rate)
        require(SANITIZED or most <= MEMORY_LIMIT + BESIDES, f"the hub took {most / MIB:.0f} MiB")
        require(valid["connect_bytes_in"] <= valid["connect_bytes_out"], "more was sent than came, before the proof of an address")
        forged, _ = flooded(hub, program, host, int(port), "forged", count, rate)
        require(forged["replies"] == 0, "forged announces were answered")

        content = place.folder / "there" / "content"
        content.parent.mkdir()
        content.write_bytes(os.urandom(100_000))
        peer = place.peer("peer", "seed", place.create(content), content.parent)
        at_peer = peer.address()
        peer.wait_for('"start"')
        flooded(hub, program, host, int(port), "rubbish", count // 10, rate)
        peer_host, peer_port = at_peer.rsplit(":", 1)
        subprocess.run([program, peer_host, peer_port, "rubbish", str(count // 10), str(rate)], check=True, stdout=subprocess.DEVNULL)
        pester(address, BAD_REQUESTS, max(200, count // 100))
        pester(at_peer, BAD_HANDSHAKES, max(200, count // 100))
        sizes = {"hub": hub.log.stat().st_size, "peer": peer.log.stat().st_size}
        print(f"after {count // 10} packets of rubbish to each and {max(200, count // 100)} bad requests and handshakes: " +
              ", ".join(f"log of the {name} {size} bytes" for name, size in sizes.items()))
        require(max(sizes.values()) <= LOG_MAX, "strangers fill the log")
        for each in (hub, peer):
            status, took = each.end()
            require(status == 0 and took < 5, f"{each.log.stem} ended with {status} after {took:.1f} s")


if __name__ == "__main__":
    main()
