"""Peers that find each other without any tracker, by the DHT or on the local network, and that talk over uTP."""

import contextlib
import itertools
import shutil
import threading

import clients
import isolated
import torrents
from isolated import Process, wait_until

MANY = 12  # nodes of a DHT that Transmission believes in
SECONDS = 100  # aria2 and Transmission take their time with the first announce


class Serverless:
    """Each scenario takes its addresses from `addresses`. Several at once."""

    def __init__(self, work, payload, addresses):
        self.work, self.payload, self.addresses, self.count = work, payload, addresses, itertools.count(1)
        self.alone = threading.Lock()  # on the local network everybody hears everybody
        self.first = work / "first"  # what the DHT's first node shares
        self.first.mkdir(parents=True)
        (self.first / "shared").write_bytes(b"first" * 1000)
        self.other = torrents.create(self.first / "shared", work / "first.torrent", "v1")

    def run(self, seeder, leecher, by, how="torrent"):
        """Moves the payload `by` "dht", "local" or "utp", and compares every byte."""
        folder = self.work / "serverless" / str(next(self.count))
        addresses = self.addresses.get(), self.addresses.get()
        running = []
        try:
            with self.alone if by == "local" else contextlib.nullcontext():
                self._transfer(folder, addresses, running, seeder, leecher, by, how)
        finally:
            for each in reversed(running):
                each.stop()
            shutil.rmtree(folder / "got", ignore_errors=True)
            for address in addresses:
                self.addresses.put(address)

    def _transfer(self, folder, addresses, running, seeder, leecher, by, how):
        torrent = torrents.create(self.payload.root, folder / "v1.torrent", "v1")
        router = self.router(folder, running, leecher if seeder is clients.Shoal else seeder) if by == "dht" else None
        port = isolated.free_port()
        seed = seeder("seed", torrent, self.payload.root.parent, folder / "seed", addresses[0], port, by=by, router=router)
        running.append(seed)
        seed.wait_complete(clients.START_SECONDS)
        wanted = torrents.magnet(torrent) if how == "magnet" else torrent
        connect = f"{addresses[0]}:{port}" if by == "utp" else None
        got = leecher("get", wanted, folder / "got", folder / "get", addresses[1], isolated.free_port(), connect, by=by,
                      router=router)
        running.append(got)
        try:
            got.wait_complete(SECONDS)
        except isolated.Failed as failure:
            raise isolated.Failed(f"{failure} | seeder: {seed.process.complaint()}") from failure
        self.payload.check(folder / "got", leecher.empty_files)

    def router(self, folder, running, other):
        """The first node of a DHT: libtorrent's where both peers are ours, else ours; for Transmission one of many."""
        node = clients.Libtorrent if other is clients.Shoal else clients.Shoal
        at = f"{isolated.HOME}:{isolated.free_port()}"
        if other is clients.Transmission:
            for _ in range(MANY // 2):
                isolated.free_port()
            many = Process([clients.PYTHON, clients.HERE / "dht_nodes.py", at, MANY], folder / "nodes")
            running.append(many)
            wait_until("the nodes find each other", lambda: "together" in many.text(), 30, many)
            return at
        started = node("seed", self.other, self.first, folder / "router", *at.rsplit(":", 1), by="dht",
                       router=at)
        running.append(started)
        if node is clients.Shoal:
            wait_until("the router listens", lambda: '"event":"listening"' in started.process.text(), 20, started.process)
        return at


def is_slow(by, *pair):
    """Takes more than a minute: Transmission's DHT begins slowly, and aria2 and it announce locally after minutes."""
    return (by == "dht" and clients.Transmission in pair) or (by == "local" and clients.Libtorrent not in pair
                                                              and pair != (clients.Shoal, clients.Shoal))


def rows(report, serverless, others, slow_too):
    """For each pair of clients a cell for each way; `n.a.` where a client cannot, and `-` for slow ones unless `slow_too`."""
    pairs = [(clients.Shoal, clients.Shoal)]
    pairs += [pair for other in others for pair in ((clients.Shoal, other), (other, clients.Shoal))]
    made = []
    for seeder, leecher in pairs:
        name = f"{seeder.name} → {leecher.name}"
        row = [name]
        for title, by, how in (("DHT", "dht", "torrent"), ("DHT magnet", "dht", "magnet"), ("local", "local", "torrent"),
                               ("uTP", "utp", "torrent")):
            can = all(by in each.uses for each in (seeder, leecher))
            # Nothing but libtorrent can be told to leave TCP alone; Transmission tries uTP first where it connects.
            shows = by != "utp" or clients.Libtorrent in (seeder, leecher)
            # Transmission does not answer a local announce while it has all itself.
            waits = by == "local" and seeder is clients.Transmission
            if not can or not shows or waits:
                row.append("n.a.")
            elif is_slow(by, seeder, leecher) and not slow_too:
                row.append("-")
            else:
                row.append(report.start(f"{name} by {title}", serverless.run, seeder, leecher, by, how))
        made.append(row)
    return made
