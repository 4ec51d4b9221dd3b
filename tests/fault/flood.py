#!/usr/bin/env python3
"""A tracker in a flood of invented torrents (T-FLOOD).

    flood.py TRACKER [COUNT]

COUNT announces (default 10 000 000) of random info-hashes with connection ids that hold, and as many with forged ones, go to
the tracker by UDP from eight addresses, as fast as it answers. Meanwhile the twenty members of a swarm announce in turn, and in
the end who alone seeds something is asked for. At least 99 % of the swarm's answers come and are right, nobody who is alone was
forgotten, no forged packet is answered, and the process never took more than 256 MiB. Prints what it saw; exit status 0 when
all of that held.
"""
import os
import pathlib
import random
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
from outside import CLEAN  # noqa: E402

CAP = 256 << 20
BATCH = 64
PATIENCE = 5
SWARM = b"s" * 20
MEMBERS = [f"127.0.1.{number}" for number in range(1, 21)]
ALONE = [f"127.0.2.{number}" for number in range(1, 51)]


class Client:
    """One that speaks BEP 15 from an address of this machine."""

    def __init__(self, address, tracker):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((address, 0))
        self.socket.connect(tracker)
        self.transaction = 0
        self.connection, = struct.unpack(">Q", self.ask(lambda number: struct.pack(">QII", 0x41727101980, 0, number))[8:16])

    def ask(self, packet):
        """The reply to `packet(transaction)`; empty when none comes in time."""
        self.transaction += 1
        self.socket.send(packet(self.transaction))
        end = time.monotonic() + PATIENCE
        while select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]:
            reply = self.socket.recv(2000)
            if struct.unpack_from(">I", reply, 4)[0] == self.transaction:
                return reply
        return b""

    def announce(self, torrent, left, connection=None):
        return lambda number: struct.pack(">QII20s20sQQQIIIiH", connection or self.connection, 1, number, torrent, b"p" * 20, 0, left, 0,
                                          2, 0, 0, 50, 6881)

    def scrape(self, torrent):
        return struct.unpack_from(">III", self.ask(lambda number: struct.pack(">QII20s", self.connection, 2, number, torrent)), 8)


def peak(process):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]) << 10


def flood(client, draw, count):
    """A batch of announces that are answered, with as many that are not in between. How many too many replies came."""
    packet = bytearray(client.announce(b"r" * 20, 1)(0))
    forged = bytearray(client.announce(b"f" * 20, 1, connection=draw.getrandbits(64) | 1)(1 << 31))
    send, pack = client.socket.send, packet.__setitem__
    for number in range(count):
        pack(slice(16, 36), draw.randbytes(20))
        forged[16:36] = packet[16:36]
        send(packet)
        send(forged)
    too_many = 0
    for number in range(count):
        if not select.select([client.socket], [], [], PATIENCE)[0]:
            break
        too_many += client.socket.recv(2000)[4] != 0
    return too_many


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    draw = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="shoal-flood-") as folder:
        log = open(os.path.join(folder, "log"), "w+")
        # A small flood is to press as hard as a large one.
        bound = [] if count > 1_000_000 else ["--torrents-max", str(count // 10)]
        process = subprocess.Popen([sys.argv[1], "--listen", "127.0.0.1:0", "--data", folder, *bound], env=CLEAN, stderr=log)
        try:
            end = time.monotonic() + 60
            while not (port := re.search(r"udp://127.0.0.1:(\d+)", pathlib.Path(log.name).read_text())):
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit("it does not start: " + pathlib.Path(log.name).read_text())
                time.sleep(0.02)
            tracker = ("127.0.0.1", int(port[1]))
            members = [Client(address, tracker) for address in MEMBERS]
            alone = {os.urandom(20): Client(address, tracker) for address in ALONE}
            for each in members:
                each.ask(each.announce(SWARM, 1))
            for torrent, each in alone.items():
                each.ask(each.announce(torrent, 0))
            flooders = [Client(f"127.0.0.{number}", tracker) for number in range(2, 10)]
            begin, asked, right, too_many = time.monotonic(), 0, 0, 0
            renewed = begin
            for number in range(0, count, BATCH):
                too_many += flood(flooders[number // BATCH % len(flooders)], draw, min(BATCH, count - number))
                if number // BATCH % 10 == 0:
                    each = members[asked % len(members)]
                    reply = each.ask(each.announce(SWARM, 1))
                    told = {socket.inet_ntoa(reply[at:at + 4]) for at in range(20, len(reply), 6)}
                    asked += 1
                    right += told == set(MEMBERS) - {MEMBERS[(asked - 1) % len(MEMBERS)]}
                if time.monotonic() - renewed > 60:  # a connection id holds for two minutes
                    renewed = time.monotonic()
                    for each in members + flooders:
                        each.connection, = struct.unpack(">Q", each.ask(lambda of: struct.pack(">QII", 0x41727101980, 0, of))[8:16])
            took = time.monotonic() - begin
            asking = Client("127.0.3.1", tracker)
            kept = sum(asking.scrape(torrent)[0] == 1 for torrent in alone)
            most = peak(process)
        finally:
            process.kill()
            process.wait()
            log.close()
    print(f"{count} announces and as many forged in {took:.0f} s; {right} of {asked} answers to the swarm right; "
          f"{kept} of {len(alone)} alone kept; {too_many} forged answered; at most {most / (1 << 20):.0f} MiB resident")
    if right < 0.99 * asked or kept < len(alone) or too_many or most > CAP:
        raise SystemExit("it does not hold")


if __name__ == "__main__":
    main()
