#!/usr/bin/python3
"""Shoal's programs with other clients and trackers: who can transfer to whom, and who reads whose torrents.

    interop.py --peer build/dev/bin/peer --tracker build/dev/bin/tracker --work build/interop [--only TEXT]

Prints its matrix as Markdown. Exit status 0 when every scenario passed, 1 when one failed, 77 when another program is
not installed (cmake/bootstrap.sh --interop installs them all).
"""

import argparse
import concurrent.futures
import itertools
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import time

import clients
import consoles
import isolated
import serverless
import torrents
import trackers
from isolated import Failed, wait_until

TRANSFER_SECONDS = 60
NEEDED = ["unshare", "ip", "node", "npm", "opentracker", "transmission-daemon", "transmission-create", "transmission-show",
          "aria2c", "mktorrent"]
OTHERS = [clients.Libtorrent, clients.Transmission, clients.Aria2]


def missing():
    """Programs that this needs and that are not there."""
    names = [name for name in NEEDED if shutil.which(name) is None]
    if subprocess.run([clients.PYTHON, "-c", "import libtorrent"], capture_output=True, check=False).returncode != 0:
        names.append("python3-libtorrent")
    return names


class Transfers:
    """Moves the payload from one client to another and compares every byte. Several at once."""

    def __init__(self, work, payload):
        self.work, self.payload, self.count = work, payload, itertools.count(1)
        self.info_hash = {kind: torrents.swarm_hash(torrents.create(payload.root, work / f"{kind}.torrent", kind))
                          for kind in ("v1", "hybrid")}
        self.addresses = queue.SimpleQueue()
        for address in isolated.PEERS:
            self.addresses.put(address)

    def run(self, seeder, leecher, tracker_class, scheme, kind, how="torrent"):
        """`how` the leecher knows: by the "torrent", by its "magnet" link, or "direct" of the seeder and of no tracker."""
        folder = self.work / "transfers" / str(next(self.count))
        addresses = self.addresses.get(), self.addresses.get()
        running = []
        try:
            self._transfer(folder, addresses, running, seeder, leecher, tracker_class, scheme, kind, how)
        finally:
            for each in reversed(running):
                each.stop()
            shutil.rmtree(folder / "got", ignore_errors=True)
            for address in addresses:
                self.addresses.put(address)

    def _transfer(self, folder, addresses, running, seeder, leecher, tracker_class, scheme, kind, how):
        tracker = tracker_class(folder / "tracker", self.info_hash.values())
        running.append(tracker)
        torrent = torrents.create(self.payload.root, folder / f"{kind}.torrent", kind, tracker.announce(scheme))
        port = isolated.free_port()
        seed = seeder("seed", torrent, self.payload.root.parent, folder / "seed", addresses[0], port)
        running.append(seed)
        seed.wait_complete(clients.START_SECONDS)
        wait_until(f"{seeder.name} announces to {tracker.name} by {scheme}",
                   lambda: tracker.peers(self.info_hash[kind])[0] > 0, clients.START_SECONDS, seed.process,
                   tracker.process)
        connect = None
        if how == "magnet":
            torrent = torrents.magnet(torrent)
        if how == "direct":
            torrent = torrents.create(self.payload.root, folder / "plain.torrent", kind)
            connect = f"{addresses[0]}:{port}"
        got = leecher("get", torrent, folder / "got", folder / "get", addresses[1], isolated.free_port(), connect)
        running.append(got)
        try:
            got.wait_complete(TRANSFER_SECONDS)
        except Failed as failure:
            raise Failed(f"{failure} | seeder: {seed.process.complaint()}") from failure
        self.payload.check(folder / "got", leecher.empty_files)


class Report:
    """Runs scenarios, several at once, and keeps what came of them."""

    def __init__(self, only):
        self.only, self.failed, self.passed = only, [], 0
        self.workers = concurrent.futures.ThreadPoolExecutor(len(isolated.PEERS) // 2)

    def start(self, name, scenario, *arguments, **more):
        """A cell of a table, which becomes `PASS 1.2 s` or `FAIL`; `-` when it was not asked for."""
        if self.only and self.only not in name:
            return "-"
        return self.workers.submit(self._run, name, scenario, arguments, more)

    def _run(self, name, scenario, arguments, more):
        begin = time.monotonic()
        try:
            scenario(*arguments, **more)
        except Exception as failure:  # whatever it is, the scenario has failed and the others go on
            print(f"FAIL {name}: {failure!r}" if not isinstance(failure, Failed) else f"FAIL {name}: {failure}",
                  file=sys.stderr, flush=True)
            self.failed.append(name)
            return "FAIL"
        self.passed += 1
        return f"PASS {time.monotonic() - begin:.1f} s"


def table(title, headings, rows):
    cells = [[cell if isinstance(cell, str) else cell.result() for cell in row] for row in rows]
    lines = [headings, ["---"] * len(headings), *cells]
    print(f"\n{title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines), flush=True)


def transfer_row(report, transfers, columns, seeder, leecher):
    other = leecher if seeder is clients.Shoal else seeder
    name = f"{seeder.name} → {leecher.name}"
    row = [name]
    for scheme, kind in columns:
        possible = (other.udp or scheme == "http") and (other.hybrid or kind == "v1")
        row.append(report.start(f"{name} by shoal {scheme} {kind}", transfers.run, seeder, leecher, trackers.Shoal, scheme,
                                kind) if possible else "n.a.")
    for kind in ("v1", "hybrid"):
        row.append(report.start(f"{name} by magnet link {kind}", transfers.run, seeder, leecher, trackers.Shoal, "http", kind,
                                how="magnet") if other.hybrid or kind == "v1" else "n.a.")
    row.append(report.start(f"{name} direct", transfers.run, seeder, leecher, trackers.Shoal, "http", "v1", how="direct")
               if leecher is clients.Shoal else "n.a.")
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, type=pathlib.Path)
    parser.add_argument("--tracker", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for everything that is written")
    parser.add_argument("--slow", action="store_true", help="also scenarios that take minutes")
    parser.add_argument("--only", help="only scenarios whose name has this in it")
    options = parser.parse_args()
    if missing():
        print("not installed: " + ", ".join(missing()), file=sys.stderr)
        return 77
    work = options.work.resolve()
    if isolated.MARK not in os.environ:
        trackers.NodeTracker.install(work / "npm")
    trackers.NodeTracker.folder = work / "npm"
    isolated.enter()
    clients.Shoal.program = torrents.PEER = str(options.peer.resolve())
    trackers.Shoal.program = str(options.tracker.resolve())
    run_folder = work / "run"
    shutil.rmtree(run_folder, ignore_errors=True)
    run_folder.mkdir(parents=True)

    begin, report = time.monotonic(), Report(options.only)
    payload = torrents.Payload(run_folder / "payload")
    print("Versions: " + ", ".join(f"{each.name} {each.version()}" for each in
                                   [clients.Shoal, *OTHERS, trackers.OpenTracker, trackers.NodeTracker]), flush=True)

    checks = torrents.Checks(run_folder, payload)
    torrent_rows = [[maker, *(report.start(f"torrent {maker} read by {reader}", checks.run, maker, reader)
                              if checks.applies(maker, reader) else "n.a." for reader in checks.readers)]
                    for maker in checks.makers]
    transfers = Transfers(run_folder, payload)
    columns = [(scheme, kind) for scheme in ("http", "udp") for kind in ("v1", "hybrid")]
    transfer_rows = [transfer_row(report, transfers, columns, *pair) for other in OTHERS
                     for pair in ((clients.Shoal, other), (other, clients.Shoal))]
    tracker_rows = [[each.name, *(report.start(f"shoal → shoal by {each.name} {scheme}", transfers.run, clients.Shoal,
                                               clients.Shoal, each, scheme, "hybrid") for scheme in ("http", "udp"))]
                    for each in (trackers.OpenTracker, trackers.NodeTracker)]
    by_hand = consoles.Consoles(run_folder, payload, transfers.addresses)
    console_rows = [[each.name, report.start(f"console ← {each.name}", by_hand.run, by_hand.fetches, each),
                     report.start(f"console → {each.name}", by_hand.run, by_hand.gives, each)] for each in OTHERS]

    alone = serverless.Serverless(run_folder, payload, transfers.addresses)
    serverless_rows = serverless.rows(report, alone, OTHERS, options.slow)

    table("Torrents: made by the row, read by the column, with equal info-hashes", ["made by", *checks.readers],
          torrent_rows)
    table("Transfers of 64 MiB between peers that find each other through Shoal's tracker, or by --connect",
          ["seeder → leecher", *(f"{scheme} {kind}" for scheme, kind in columns), "magnet v1", "magnet hybrid", "direct v1"], transfer_rows)
    table("Shoal's peers through other trackers, hybrid", ["tracker", "http", "udp"], tracker_rows)
    table("The console with other clients, v1", ["client", "commands, and fetched from", "fetches from the console"],
          console_rows)
    table("Peers without any tracker, v1", ["seeder → leecher", "DHT", "DHT, magnet link", "local discovery", "uTP"],
          serverless_rows)
    print(f"\n{report.passed} passed, {len(report.failed)} failed in {time.monotonic() - begin:.0f} s")
    if not report.failed:
        shutil.rmtree(run_folder)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
