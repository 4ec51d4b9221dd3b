"""`peer console` with other clients: a script that fetches from them, and a console that they fetch from."""

import itertools
import re
import shutil
import subprocess

import clients
import isolated
import torrents
import trackers
from isolated import Failed, Process, wait_until

SECONDS = 90  # Transmission unchokes after ten seconds, and again after a reconnection
FILE = "top.bin"
CHUNK = f"{FILE}.part2"
PIECE = 256 * 1024


class Consoles:
    """Each scenario takes its addresses from `addresses`. Several at once."""

    def __init__(self, work, payload, addresses):
        self.work, self.payload, self.addresses, self.count = work, payload, addresses, itertools.count(1)
        self.chunks = -(-sum(payload.FILES.values()) // PIECE)

    def run(self, scenario, other):
        folder = self.work / "consoles" / str(next(self.count))
        addresses = self.addresses.get(), self.addresses.get()
        running = []
        try:
            scenario(folder, addresses, running, other)
        finally:
            for each in reversed(running):
                each.stop()
            for data in ("got", "given"):
                shutil.rmtree(folder / data, ignore_errors=True)
            for address in addresses:
                self.addresses.put(address)

    def console(self, torrent, data, folder, address, port):
        return [str(part) for part in (clients.Shoal.program, "console", torrent, "-o", data, "--listen",
                                       f"{address}:{port}", "--state", folder / "state")]

    def fetches(self, folder, addresses, running, other):
        """Every command that another peer takes part in, and every word of what the console says to them."""
        torrent = torrents.create(self.payload.root, folder / "v1.torrent", "v1")
        port, own = isolated.free_port(), isolated.free_port()
        seed = other("seed", torrent, self.payload.root.parent, folder / "seed", addresses[0], port)
        running.append(seed)
        seed.wait_complete(clients.START_SECONDS)
        them, me = f"Peer[{addresses[0]},{port}]", f"Peer[{addresses[1]},{own}]"
        script = [f"/connect_peer {addresses[0]} {port}", f"/ping {addresses[0]} {port}",
                  f"/request_download {addresses[0]} {port} {CHUNK}", f"/merge_chunks {FILE}", "/see_connected",
                  f"/disconnect_peer {addresses[0]} {port}", "/auto_download"]
        done = subprocess.run(self.console(torrent, folder / "got", folder, addresses[1], own), capture_output=True,
                              input="".join(line + "\n" for line in script), text=True, timeout=SECONDS)
        # The second connection may be begun by either side.
        compare("says", done.stdout, [
            f"{them} established connection to {me}", f"{them} starts uploading chunk {CHUNK} to {me}",
            "Chunk received successfully", f"{them}: connected", f"{me} disconnected from {them}",
            "(...) connect(...)", f"All {self.chunks} chunks are here", "Merge complete!"])
        compare("complains", done.stderr, [
            f"{them} is connected but cannot be pinged: it lacks Shoal's extension sl_ping",
            f"missing chunks of {FILE}: (...){FILE}.part1, {FILE}.part3..part(...)"])
        if done.returncode != 1:
            raise Failed(f"the console's exit status is {done.returncode}")
        self.payload.check(folder / "got", True)

    def gives(self, folder, addresses, running, other):
        """A console that has everything is found through its session with the tracker."""
        tracker = trackers.Shoal(folder / "tracker")
        running.append(tracker)
        torrent = torrents.create(self.payload.root, folder / "v1.torrent", "v1", tracker.announce("http"))
        own, port = isolated.free_port(), isolated.free_port()
        shutil.copytree(self.payload.root, folder / "given" / self.payload.root.name)
        console = Process(self.console(torrent, folder / "given", folder, addresses[0], own), folder / "console", driven=True)
        running.append(console)
        console.tell("/connect_tracker")
        wait_until("the console connects to the tracker",
                   lambda: "Tracker established connection" in console.text(), SECONDS, console)
        leecher = other("get", torrent, folder / "got", folder / "get", addresses[1], port)
        running.append(leecher)
        leecher.wait_complete(SECONDS)
        self.payload.check(folder / "got", other.empty_files)
        console.end_input()
        wait_until("the console ends", lambda: console.status() is not None, SECONDS)
        said = console.text().splitlines()
        if console.status() != 0 or not any(line.endswith(" connected") for line in said):
            raise Failed(console.complaint())
        sent = {line.removesuffix(" sent successfully") for line in said if line.endswith(" sent successfully")}
        if len(sent) != self.chunks:
            raise Failed(f"the console says that it sent {len(sent)} of {self.chunks} chunks")


def compare(what, got, expected):
    """Line by line; how far `/auto_download` is, and that the peer left in the end, does not matter."""
    lines = [line for line in got.splitlines() if " chunks, " not in line and "[PEER DISCONNECTED]" not in line]
    patterns = [re.escape(line).replace(re.escape("(...)"), ".*") for line in expected]
    if len(lines) != len(patterns) or not all(map(re.fullmatch, patterns, lines)):
        raise Failed(f"the console {what} {lines} instead of {expected}")
