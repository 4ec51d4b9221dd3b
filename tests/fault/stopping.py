#!/usr/bin/env python3
"""A peer and a hub that are told to stop, while trackers are silent and at random moments (J6, M4).

    stopping.py PEER TRACKER [COUNT [SEED]]

COUNT times (default 3) for each kind of tracker, which speaks HTTP or UDP, and is silent from the start, or falls silent after its
first answer: a peer that announces there ends within 5 s of SIGTERM, and at once at a second signal. COUNT times a hub is stopped at a
random moment while clients announce and while one is half-way through a request: it ends with 0 within 5 s.
Prints what it saw; exit status 0 when all of that held.
"""
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

from rig import PATIENCE, Place, announce_path, get, require, wait_until

STOP_SECONDS = 5
AT_ONCE_SECONDS = 0.5


class HttpTracker:
    """Answers so many announces, and after that none."""

    def __init__(self, answers):
        self.answers, self.asked = answers, 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/announce"
        self.kept = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            client = self.socket.accept()[0]
            self.kept.append(client)
            client.recv(65536)
            self.asked += 1
            if self.asked <= self.answers:
                body = b"d8:intervali1800e5:peers0:e"
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                client.close()


class UdpTracker:
    """The same by UDP (BEP 15); a request for a connection id counts for none."""

    def __init__(self, answers):
        self.answers, self.asked = answers, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"udp://127.0.0.1:{self.socket.getsockname()[1]}/announce"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            packet, sender = self.socket.recvfrom(2000)
            action, transaction = struct.unpack(">II", packet[8:16])
            if action == 0 and self.asked < self.answers:
                self.socket.sendto(struct.pack(">IIQ", 0, transaction, 7), sender)
            elif action == 0 and self.answers == 0:
                self.asked += 1
            elif action == 1:
                self.asked += 1
                if self.asked <= self.answers:
                    self.socket.sendto(struct.pack(">IIIII", 1, transaction, 1800, 0, 0), sender)


def stop_peers(place, count):
    content = place.folder / "there" / "content"
    content.parent.mkdir()
    content.write_bytes(os.urandom(500_000))
    torrent = place.create(content)
    slowest, at_once = 0.0, 0.0
    for kind in (HttpTracker, UdpTracker):
        for answers in (0, 1):
            for twice in (False, True):
                for _ in range(count):
                    tracker = kind(answers)
                    peer = place.peer("peer", "seed", torrent, content.parent, "--tracker", tracker.url)
                    peer.wait_for('"start"')
                    if answers:
                        peer.wait_for('"announce"')
                    else:
                        wait_until(lambda: tracker.asked > 0, "an announce")
                    if twice:
                        if answers and kind is HttpTracker:  # while the peer says goodbye
                            peer.process.send_signal(signal.SIGTERM)
                            wait_until(lambda: tracker.asked > 1, "a farewell")
                            status, took = peer.end(signal.SIGINT)
                        else:  # both before it heeds the first
                            for each in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT):
                                peer.process.send_signal(each)
                            status, took = peer.end(signal.SIGCONT)
                        at_once = max(at_once, took)
                        require(status in (0, -signal.SIGINT, -signal.SIGTERM), f"two signals ended it with {status}")
                    else:
                        status, took = peer.end()
                        slowest = max(slowest, took)
                        require(status == 0, f"SIGTERM ended it with {status}: {peer.text()[-1500:]}")
    print(f"peer, trackers silent: {4 * count} stops in {slowest:.2f} s at most; by a second signal in {at_once:.2f} s at most")
    require(slowest < STOP_SECONDS, "a stop took too long")
    require(at_once < AT_ONCE_SECONDS, "a second signal did not end it at once")


def stop_hubs(place, count, draw):
    slowest = at_once = 0.0
    for number in range(2 * count):
        hub = place.tracker("hub")
        address = hub.address()
        host, port = address.split(":")
        ended = threading.Event()

        def announce():
            at = 0
            while not ended.is_set():
                at += 1
                try:
                    get(address, announce_path(os.urandom(20), b"p" * 20, 1 + at % 60000))
                except OSError:
                    time.sleep(0.01)
        clients = [threading.Thread(target=announce, daemon=True) for _ in range(2)]
        for each in clients:
            each.start()
        with socket.create_connection((host, int(port)), PATIENCE) as half:
            half.sendall(b"GET /ann")
            time.sleep(draw.uniform(0, 0.3))
            if number % 2:
                hub.process.send_signal(signal.SIGTERM)
                status, took = hub.end()
                at_once = max(at_once, took)
                require(status in (0, -signal.SIGTERM), f"two signals ended the hub with {status}")
            else:
                status, took = hub.end()
                slowest = max(slowest, took)
                require(status == 0, f"SIGTERM ended the hub with {status}: {hub.text()[-1500:]}")
        ended.set()
    print(f"hub, clients announcing: {count} stops in {slowest:.2f} s at most; by a second signal in {at_once:.2f} s at most")
    require(slowest < STOP_SECONDS and at_once < AT_ONCE_SECONDS, "a stop took too long")


def main():
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    with Place(*sys.argv[1:3]) as place:
        stop_peers(place, count)
        stop_hubs(place, count, random.Random(seed))


if __name__ == "__main__":
    main()
