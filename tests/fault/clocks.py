#!/usr/bin/env python3
"""A wall clock that jumps, and processes that stand still (T-CLOCK, M1, M2, I12).

    clocks.py PEER TRACKER SKEWED_CLOCK [FROZEN]

A hub, a peer that seeds by it and one that fetches share a wall clock which jumps by a second, an hour and ten years, there and back,
and to 1970, 2038 and 2106: nobody announces more often for it than the hub saw before, no peer of the hub expires, nobody spins, the
fetch goes on. Then all three stand still for FROZEN seconds (default 3; the figure asks for 60) and the same holds.
Prints what it saw; exit status 0 when all of that held.
"""
import mmap
import os
import pathlib
import re
import signal
import struct
import sys
import time

from rig import CLEAN, MIB, Place, announce_path, get, require, wait_until

HOUR, YEAR = 3600, 31_557_600
LOAD_MAX = 0.25  # fetching takes some
AFTER_JUMP = 0.7  # seconds in which what waits for a moment of the wall clock would wake


class WallClock:
    def __init__(self, path):
        path.write_bytes(bytes(8))
        self.file = path.open("r+b")
        self.map = mmap.mmap(self.file.fileno(), 8)

    def add(self, seconds):
        self.map[:8] = struct.pack("q", int(seconds * 1_000_000_000))


def number(address, name):
    return int(re.search(rf"^{name} (\d+)", get(address, "/metrics").decode(), re.M)[1])


def fetched(fetch):
    return fetch.events("progress")[-1]["downloaded"]


def main():
    frozen = float(sys.argv[4]) if len(sys.argv) > 4 else 3
    with Place(*sys.argv[1:3]) as place:
        clock = WallClock(place.folder / "clock")
        skewed = {"env": CLEAN | {"LD_PRELOAD": str(pathlib.Path(sys.argv[3]).resolve()), "SKEWED_CLOCK": str(place.folder / "clock")}}
        hub = place.tracker("hub", "--interval", "1m", "--min-interval", "1m", **skewed)
        address = hub.address()
        url = f"http://{address}/announce"
        content = place.folder / "there" / "content"
        content.parent.mkdir()
        content.write_bytes(os.urandom(64 * MIB))
        torrent = place.create(content, "--piece-length", "64KiB")
        seeder = place.peer("seeder", "seed", torrent, content.parent, "--tracker", url, **skewed)
        seeder.wait_for('"announce"')
        here = ("get", torrent, "-o", place.folder / "out", "--tracker", url)
        fetch = place.peer("fetch", *here, "--download-limit", "1MiB", **skewed)
        fetch.wait_for('"piece"')
        get(address, announce_path(b"k" * 20, b"1" * 20, 7001))  # somebody else, whom the hub is to keep
        programs = {"hub": hub, "seeder": seeder, "fetch": fetch}

        def watch(what, seconds, announces_max):
            """What happens in so many seconds after `what`."""
            said, had = number(address, "shoal_announces_http_total"), fetched(fetch)
            before = {name: each.processor() for name, each in programs.items()}
            what()
            begin = time.monotonic()
            wait_until(lambda: fetched(fetch) > had, "the fetch going on")
            time.sleep(max(0, begin + seconds - time.monotonic()))
            took = time.monotonic() - begin
            loads = {name: (each.processor() - before[name]) / took for name, each in programs.items()}
            announces = number(address, "shoal_announces_http_total") - said
            require(max(loads.values()) < LOAD_MAX, f"somebody spins: {loads}")
            require(announces <= announces_max, f"{announces} announces")
            require(number(address, "shoal_registry_peers") == 3, "the hub forgot a peer")
            return announces, max(loads.values())

        now = time.time()
        jumps = [step for size in (1, HOUR, 10 * YEAR) for step in (size, 0, -size, 0)]
        jumps += [86400 - now, 2**31 - now - 1, 2**32 - now - 1, 0]  # the last second of 2038 and 2106 pass
        seen = [watch(lambda to=to: clock.add(to), AFTER_JUMP, 0) for to in jumps]
        shown = {event["time"][:4] for event in fetch.events("progress")}
        require({"1970", "2038", "2106"} <= shown, f"the clock did not jump: {sorted(shown)}")
        print(f"{len(seen)} jumps of the wall clock: {sum(announces for announces, _ in seen)} announces for them, "
              f"{max(load for _, load in seen):.1%} of a processor at most")

        def freeze():
            for each in programs.values():
                each.process.send_signal(signal.SIGSTOP)
            time.sleep(frozen)
            for each in programs.values():
                each.process.send_signal(signal.SIGCONT)
        # One announce for each peer may have become due meanwhile.
        announces, load = watch(freeze, 3, 2)
        print(f"frozen for {frozen:.0f} s: {announces} announces after it, {load:.1%} of a processor")
        status, took = fetch.end()
        require(status == 7 and took < 5, f"the fetch ended with {status} after {took:.1f} s")
        again = place.peer("fetch", *here)  # without a limit, by the real clock
        require(again.process.wait(60) == 0, f"the fetch did not go on: {again.text()[-1500:]}")
        complete = again.events("complete")[0]
        require(complete["downloaded"] < complete["bytes"], "what was fetched while the clock jumped was lost")
        require((place.folder / "out" / "content").read_bytes() == content.read_bytes(), "other bytes")
        for each in (seeder, hub):
            require(each.end()[0] == 0, f"{each.log.stem} ended badly")


if __name__ == "__main__":
    main()
