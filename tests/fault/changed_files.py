#!/usr/bin/env python3
"""Files that others cut, remove, replace, lock or overwrite while a peer gives them (T-TRUNC).

    changed_files.py PEER [COUNT]

One peer seeds twenty-five torrents and one more. In each round a file of each of the twenty-five is damaged while somebody fetches
it, until COUNT (default 25) were. The peer lives and says which torrents failed; when the file is back it gives it again, whole and
right; and the rate of the one more, fetched all the while, falls by less than a tenth. A file that it may not open any more it goes
on giving while it has it open, and says nothing.
Prints what it saw; exit status 0 when all of that held.
"""
import datetime
import os
import shutil
import sys
import time

from rig import MIB, Place, heed_permissions, require, wait_until

TORRENTS = 25
RATE = 4 * MIB  # of the torrent that nobody touches; far below what a machine can do, so that only stalls show
SIZE = 1_000_000
QUIET_SECONDS = 5  # before anything is damaged
ROUND_SECONDS = 25  # a round takes less


def truncate(path):
    os.truncate(path, SIZE // 3)


def unlink(path):
    path.unlink()


def replace(path):
    fresh = path.with_name("fresh")
    fresh.write_bytes(os.urandom(SIZE))
    fresh.rename(path)


def lock(path):
    path.chmod(0)


def overwrite(path):
    with path.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(os.urandom(50_000))


KINDS = (truncate, unlink, replace, lock, overwrite)


def rate(progress):
    """Bytes a second between the first and the last of these events."""
    moments = [datetime.datetime.fromisoformat(progress[at]["time"]) for at in (0, -1)]
    return (progress[-1]["downloaded"] - progress[0]["downloaded"]) / (moments[1] - moments[0]).total_seconds()


class Shared:
    """A torrent of two files, one of which is damaged."""

    def __init__(self, place, folder, number):
        self.folder = folder / f"content {number:02}"
        self.folder.mkdir()
        for name in ("damaged", "whole"):
            (self.folder / name).write_bytes(os.urandom(SIZE))
        self.path = self.folder / "damaged"
        self.original = self.path.read_bytes()
        self.torrent = place.create(self.folder, "--piece-length", "64KiB")

    def troubles(self, seeder):
        """How often the seeder said something of it, and how often that it goes on."""
        text = seeder.text()
        return text.count(f"{self.folder.name}: "), text.count(f"{self.folder.name}: goes on")

    def restore(self):
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(self.original)

    def is_same(self, there):
        return all((there / self.folder.name / path.name).read_bytes() == path.read_bytes() for path in self.folder.iterdir())


def damage(seeder, shared, turn):
    """Damages a file of each, and restores it once the seeder has noticed. Seconds until it had, and until it went on."""
    before = {each: each.troubles(seeder) for each in shared}
    kinds = {each: KINDS[(number + turn) % len(KINDS)] for number, each in enumerate(shared)}
    for each, kind in kinds.items():
        kind(each.path)

    def are_told():
        require(seeder.is_alive(), f"it ended with {seeder.process.returncode}: {seeder.text()[-2000:]}")
        return all(each.troubles(seeder)[0] > before[each][0] for each in shared if kinds[each] is not lock)
    noticed = wait_until(are_told, "an error of each torrent")
    failed = [each for each in shared if each.troubles(seeder)[0] > before[each][0]]
    for each in shared:
        each.restore()
    return noticed, wait_until(lambda: all(each.troubles(seeder)[1] > before[each][1] for each in failed), "each torrent going on")


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else TORRENTS
    rounds = -(-count // TORRENTS)
    with Place(sys.argv[1]) as place:
        folder = place.folder / "there"
        folder.mkdir()
        shared = [Shared(place, folder, number) for number in range(min(count, TORRENTS))]
        torrents = [each.torrent for each in shared]
        bystander = folder / "bystander"
        some = os.urandom(MIB)
        with bystander.open("wb") as file:
            for _ in range((2 * QUIET_SECONDS + ROUND_SECONDS * rounds) * RATE // MIB):
                file.write(some)
        other = place.create(bystander, "--piece-length", "256KiB")
        # `get --seed` gives many torrents; what is there already it only checks. Root too is kept out by `chmod 0`.
        seeder = place.peer("seeder", "get", *torrents, other, "-o", folder, "--seed", preexec_fn=heed_permissions)
        address = seeder.address()
        seeder.wait_for('"complete"', len(torrents) + 1)
        beside = place.peer("beside", "get", other, "-o", place.folder / "beside", "--connect", address, "--download-limit", str(RATE))
        beside.wait_for('"piece"')

        def fetch(name, *words):
            for each in (place.folder / name, place.folder / f"{name}-state"):
                shutil.rmtree(each, ignore_errors=True)
            return place.peer(name, "get", *torrents, "-o", place.folder / name, "--connect", address, *words)

        time.sleep(QUIET_SECONDS)
        quiet = beside.events("progress")
        noticed, returned, refused, done = [], [], 0, 0
        for turn in range(rounds):
            during = fetch("during", "--download-limit", "4MiB")
            during.wait_for('"piece"', 20)
            some = shared[:count - done]
            for times, took in zip((noticed, returned), damage(seeder, some, turn)):
                times.append(took)
            done += len(some)
            refused += during.text().count("failed its hash")
            during.end()
            after = fetch("after")
            require(after.process.wait(60) == 0, f"after the files were back: {after.text()[-2000:]}")
            require("failed its hash" not in after.text(), "bytes that fail their hash were served of files that are back")
            require(all(each.is_same(place.folder / "after") for each in shared), "other bytes")
        require(beside.is_alive(), "the torrent beside was too small")
        rates = rate(quiet), rate(beside.events("progress")[len(quiet):])
        print(f"{done} files damaged; noticed after {max(noticed):.1f} s at most, given again after {max(returned):.1f} s at most; pieces "
              f"that failed their hash at who fetched meanwhile: {refused}; torrent beside: {rates[0] / MIB:.2f} MiB/s, "
              f"then {rates[1] / MIB:.2f} MiB/s")
        require(rates[1] > 0.9 * rates[0], "the rate of another torrent fell by more than a tenth")


if __name__ == "__main__":
    main()
