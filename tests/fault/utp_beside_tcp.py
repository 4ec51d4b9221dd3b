#!/usr/bin/env python3
"""A transfer by uTP beside one by TCP over a link that both want (T-UTP).

    utp_beside_tcp.py PEER [SECONDS]

Two namespaces and a router, a link of 10 Mbit whose queue holds 400 ms. A peer fetches from another one by uTP (a rule of the
kernel keeps the peers from TCP), first alone, then beside a TCP connection that sends all it can, then alone again, for SECONDS
(default 30) each. What must hold: uTP fills the link, gives way (TCP keeps 80 % of it), and comes back. With a short queue nobody
can see 100 ms of delay, so none is tried. Prints what it saw.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / name) for name in ("interop", "programs")]
import isolated  # noqa: E402
from outside import CLEAN  # noqa: E402

LINK = 10e6 / 8  # bytes a second
SETTLE = 8  # seconds until a flow has found its rate
PORT = 6881

# A TCP connection that sends all it can, and says each tenth of a second how much the other end has (tcpi_bytes_acked). Reno: what
# the figure of T-UTP is about, and what every kernel has.
SEND = """
import socket, struct, sys, threading
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    def tell():
        while True:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
            print(struct.unpack_from("Q", info, 120)[0], flush=True)
            threading.Event().wait(0.1)
    threading.Thread(target=tell, daemon=True).start()
    while True:
        connection.sendall(bytes(1 << 16))
"""
TAKE = """
import socket, sys
with socket.create_server((sys.argv[1], 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    while connection.recv(1 << 16):
        pass
"""


class Host:
    """A namespace at the router that this process is; it lives as long as its process. `address` is 10.9.NUMBER.1."""

    def __init__(self, number):
        self.address = f"10.9.{number}.1"
        self.link = f"to{number}"
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"], stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        ip("address", "add", f"10.9.{number}.254/24", "dev", self.link)
        ip("link", "set", self.link, "up")
        for words in (["address", "add", f"{self.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"],
                      ["route", "add", "default", "via", f"10.9.{number}.254"],
                      # before the table of local addresses, which would let it in
                      ["rule", "add", "pref", "5", "ipproto", "tcp", "dport", PORT, "prohibit"],
                      ["rule", "add", "pref", "10", "lookup", "local"], ["rule", "del", "pref", "0"]):
            subprocess.run(self.inside("ip", *words), check=True)

    def inside(self, *words):
        return ["nsenter", "-t", str(self.holder.pid), "-n", *map(str, words)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.holder.kill()
        self.holder.wait()


@contextlib.contextmanager
def running(words, log):
    with log.open("ab") as out:
        process = subprocess.Popen([str(word) for word in words], env=CLEAN, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True)


def last_number(log):
    """The last whole line of a log that is a number."""
    for line in reversed(log.read_text().split("\n")[:-1]):
        if line.isdigit():
            return int(line)
    return 0


def fetched(log):
    """Bytes that the peer has fetched, as it said last."""
    for line in reversed(log.read_text().splitlines()):
        with contextlib.suppress(ValueError):  # the last line may be half there
            event = json.loads(line)
            if event["event"] == "progress":
                return event["downloaded"]
    return 0


def shares(seconds, *counts):
    """What each count grew by in `seconds`, as a share of the link. Time is what is measured over; nothing is waited for."""
    before, start = [count() for count in counts], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    return [(count() - old) / took / LINK for count, old in zip(counts, before)]


def until(condition, why):
    end = time.monotonic() + 60
    while not (found := condition()):
        if time.monotonic() > end:
            sys.exit(why())
        time.sleep(0.05)
    return found


def main():
    isolated.enter()
    peer = pathlib.Path(sys.argv[1]).resolve()
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    with contextlib.ExitStack() as all_of_it:
        root = pathlib.Path(all_of_it.enter_context(tempfile.TemporaryDirectory()))
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        from_, to = all_of_it.enter_context(Host(1)), all_of_it.enter_context(Host(2))
        # at the router: a queue in the sender's own namespace would hold its TCP back before the link does
        subprocess.run(["tc", "qdisc", "add", "dev", to.link, "root", "tbf", "rate", "10mbit", "burst", "16k", "latency", "400ms"], check=True)
        (root / "from").mkdir()
        (root / "from/content").write_bytes(os.urandom(int(LINK * (3 * seconds + 4 * SETTLE))))
        subprocess.run([peer, "create", root / "from/content", "-o", root / "t.torrent"], check=True, env=CLEAN, stdout=subprocess.DEVNULL)
        logs = {name: root / f"{name}.log" for name in ("seed", "get", "take", "send")}

        def start(name, words):
            return all_of_it.enter_context(running(words, logs[name]))

        def tell_all():
            return "".join(f"{name}: {log.read_text()[-600:]}\n" for name, log in logs.items() if log.exists())

        start("seed", from_.inside(peer, "seed", root / "t.torrent", root / "from", "--listen", f"{from_.address}:{PORT}", "--state", root / "s1"))
        start("get", to.inside(peer, "get", root / "t.torrent", "-o", root / "to", "--connect", f"{from_.address}:{PORT}", "--listen",
                               f"{to.address}:{PORT}", "--state", root / "s2", "--json"))
        until(lambda: fetched(logs["get"]), tell_all)
        time.sleep(SETTLE)
        [alone] = shares(seconds, lambda: fetched(logs["get"]))
        start("take", to.inside(sys.executable, "-c", TAKE, to.address))
        port = until(lambda: last_number(logs["take"]), tell_all)
        sender = start("send", from_.inside(sys.executable, "-c", SEND, to.address, port))
        until(lambda: last_number(logs["send"]), tell_all)
        time.sleep(SETTLE)
        kept, left = shares(seconds, lambda: last_number(logs["send"]), lambda: fetched(logs["get"]))
        sender.kill()
        time.sleep(SETTLE)
        [again] = shares(seconds, lambda: fetched(logs["get"]))
        print(f"uTP alone {alone:.0%} of the link; TCP beside it {kept:.0%}, uTP {left:.0%}; uTP alone again {again:.0%}")
        if min(alone, again) < 0.85 or kept < 0.8:
            sys.exit("wanted: uTP alone at least 85 %, TCP beside it at least 80 %")


main()
