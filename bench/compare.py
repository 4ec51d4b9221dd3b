#!/usr/bin/python3
"""Shoal beside other clients and trackers: compare.py PEER TRACKER [--size MIB] [--runs N]

Each client moves one file from itself to itself on this machine, the clients in turn; wall is from the start of the getter to its
own report of completion, and every byte is compared. Each tracker answers what `tracker bench` asks. Medians; a program that is
not installed is left out.
"""
import argparse
import filecmp
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "interop"))
import clients  # noqa: E402
import isolated  # noqa: E402
import torrents  # noqa: E402
import trackers  # noqa: E402

SECONDS = 300  # for one transfer
TORRENTS = 1000  # of `tracker bench`
NEEDS = {clients.Shoal: [], clients.Libtorrent: [], clients.Transmission: ["transmission-daemon"], clients.Aria2: ["aria2c"],
         trackers.OpenTracker: ["opentracker"]}


def is_there(program):
    if program is clients.Libtorrent:
        return subprocess.run([clients.PYTHON, "-c", "import libtorrent"], capture_output=True, check=False).returncode == 0
    return all(shutil.which(name) for name in NEEDS[program])


def processor(process):
    """Seconds of processor time of a process and those of its children that have ended."""
    try:
        fields = pathlib.Path(f"/proc/{process.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def transfer(client, content, folder):
    """Seconds of wall and processor time."""
    tracker = trackers.Shoal(folder / "tracker")
    running = [tracker]
    try:
        torrent = torrents.create(content, folder / "x.torrent", "v1", tracker.announce("http"))
        seed = client("seed", torrent, content.parent, folder / "seed", isolated.PEERS[0], isolated.free_port())
        running.append(seed)
        seed.wait_complete(clients.START_SECONDS)
        isolated.wait_until("the seeder announces", lambda: tracker.peers(torrents.swarm_hash(torrent))[0] > 0, 60, seed.process)
        before, begin = processor(seed.process), time.monotonic()
        got = client("get", torrent, folder / "got", folder / "get", isolated.PEERS[1], isolated.free_port())
        running.append(got)
        used = 0.0
        while not got.is_complete():
            used = max(used, processor(got.process))
            if time.monotonic() > begin + SECONDS:
                raise isolated.Failed(f"{client.name} does not complete")
            time.sleep(0.005)
        wall = time.monotonic() - begin
        used = max(used, processor(got.process)) + processor(seed.process) - before
        if not filecmp.cmp(content, folder / "got" / content.name, shallow=False):
            time.sleep(1)  # some tell before all is written
            if not filecmp.cmp(content, folder / "got" / content.name, shallow=False):
                raise isolated.Failed(f"{client.name}: what came is not what was sent")
        return wall, used
    finally:
        for each in reversed(running):
            each.stop()
        shutil.rmtree(folder, ignore_errors=True)


def limit(peer, size, runs):
    """Seconds of a raw copy."""
    text = subprocess.run([peer, "bench", "--json", "--size", f"{size}MiB", "--runs", str(runs)], check=True, capture_output=True,
                          text=True).stdout
    found = [json.loads(line) for line in text.splitlines()]
    return next(each["seconds"] for each in found if each["event"] == "result" and each["what"] == "limit")


def compare_clients(options, work):
    content = work / "content" / "content.bin"
    content.parent.mkdir()
    content.write_bytes(os.urandom(options.size << 20))
    there = [each for each in NEEDS if issubclass(each, clients.Client) and is_there(each)]
    took = {each: [] for each in there}
    for run in range(options.runs):
        for each in there[run % len(there):] + there[:run % len(there)]:
            took[each].append(transfer(each, content, work / f"{each.name}-{run}"))
    least = limit(options.peer, options.size, options.runs)
    print(f"| {options.size} MiB, {options.runs} runs | seconds | MB/s | CPU s/GB | of the limit |\n| --- | ---: | ---: | ---: | ---: |")
    bytes_moved = options.size << 20
    print(f"| limit | {least:.3f} | {bytes_moved / least / 1e6:.0f} | | 1.00 |")
    for each in there:
        wall, used = (statistics.median(values) for values in zip(*took[each]))
        print(f"| {each.name} {each.version()} | {wall:.3f} | {bytes_moved / wall / 1e6:.0f} | {used / bytes_moved * 1e9:.2f} | {wall / least:.2f} |")


class BusyShoal(trackers.Shoal):
    """Takes as many connections from this machine as it would from many."""

    def command(self, folder, info_hashes):
        return [*super().command(folder, info_hashes), "--connections-per-address", "1000", "--quiet"]


def compare_trackers(options, work):
    isolated.HOME = "127.0.0.1"  # one address of another kind may not have so many peers, nor ask so often
    hashes = [number.to_bytes(4, "big") + bytes(16) for number in range(1, TORRENTS + 1)]
    print("\n| tracker | by | announces/s | of the limit | p99 ms | wrong |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for each in [BusyShoal] + [each for each in NEEDS if issubclass(each, trackers.Tracker) and is_there(each)]:
        tracker = each(work / f"tracker-{each.name}", hashes)
        try:
            for url in (f"udp://{isolated.HOME}:{tracker.port}", f"http://{isolated.HOME}:{tracker.port}/announce"):
                told = subprocess.run([options.tracker, "bench", url, "--json", "--torrents", str(TORRENTS)], capture_output=True, text=True).stdout
                for line in map(json.loads, told.splitlines()):
                    if line["event"] == "result" and line["what"] == url:
                        print(f"| {each.name} {each.version()} | {line['by']} | {line['announces_per_second']:,.0f} | {line['times_limit']:.2f} | "
                              f"{line['p99_milliseconds']:.2f} | {line['wrong']} |")
        finally:
            tracker.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("tracker")
    parser.add_argument("--size", type=int, default=256, help="MiB")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.peer, options.tracker = (str(pathlib.Path(each).resolve()) for each in (options.peer, options.tracker))
    isolated.enter()
    clients.Shoal.program = torrents.PEER = options.peer
    trackers.Shoal.program = options.tracker
    with tempfile.TemporaryDirectory(prefix="shoal-compare-") as work:
        compare_clients(options, pathlib.Path(work))
        compare_trackers(options, pathlib.Path(work))


if __name__ == "__main__":
    main()
