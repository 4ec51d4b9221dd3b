#!/usr/bin/env python3
"""A peer that fetches onto a disk which is full, or whose records lie on one (T-FULL).

    full_disk.py PEER [LEVELS]

For ext4 of 16 MiB and tmpfs of 8 MiB, for the content and for the state apart, and for LEVELS (default 3) amounts of room that a
stranger's file leaves: the file goes after 5 s. Nothing ends, the fetch goes on by itself within 30 s, what it fetched is right, and a
second start without anybody to fetch from finds all of it. Needs root, for mounts in a namespace of its own.
Prints what it saw; exit status 0 when all of that held, 77 where nothing may be mounted.
"""
import os
import pathlib
import subprocess
import sys
import time

from rig import MIB, Place, require

KINDS = {"ext4": 16 * MIB, "tmpfs": 8 * MIB}
AT_ONCE = 10
FULL_SECONDS = 5
RETURN_SECONDS = 30


class Disk:
    """A small file system at `at`, that holds as much of a stranger's as it is told to."""

    def __init__(self, kind, at):
        self.at, self.filler = at, at / "of somebody else"
        at.mkdir()
        if kind == "tmpfs":
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={KINDS[kind]}", "none", at], check=True)
            return
        image = at.with_suffix(".image")
        with image.open("wb") as file:
            file.truncate(KINDS[kind])
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, at], check=True)

    def free(self):
        kept = os.statvfs(self.at)
        return kept.f_bfree * kept.f_frsize  # root may use what is reserved

    def leave(self, room):
        with self.filler.open("wb") as file:
            while (more := min(self.free() - room, 65536)) > 0:
                try:
                    file.write(bytes(more))
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    return

    def close(self):
        subprocess.run(["umount", "-l", self.at], check=True)


class Fetch:
    """One fetch with the content or the state on a full disk."""

    def __init__(self, place, number, torrent, address, kind, what, level):
        self.name, self.place, self.torrent = f"{number}", place, torrent
        self.what = f"{kind}, {what} at {level:.0%}"
        self.disk = Disk(kind, place.folder / f"disk-{number}")
        self.inside = self.disk.at / "inside"
        self.inside.mkdir()
        # Content asks for the room of its size, a journal for some pages.
        wanted = place.size if what == "content" else 65536
        self.disk.leave(int(wanted * level) // 4096 * 4096)
        self.out = self.inside if what == "content" else place.folder / f"out-{number}"
        self.state = self.inside if what == "state" else place.folder / f"state-{number}"
        self.peer = self.start("--connect", address)

    def start(self, *words):
        return self.place.start(self.name, [self.place.programs["peer"], "get", self.torrent, "-o", self.out, "--state", self.state,
                                            "--listen", "127.0.0.1:0", "--json", *words])

    def finish(self, freed_at):
        status = self.peer.process.wait(max(1, RETURN_SECONDS - (time.monotonic() - freed_at)))
        took = time.monotonic() - freed_at
        require(status == 0, f"{self.what}: it ended with {status}: {self.peer.text()[-1500:]}")
        right = (self.place.folder / "there" / "content").read_bytes()
        require((self.out / "content").read_bytes() == right, f"{self.what}: other bytes")
        again = self.start("--timeout", "20s")
        require(again.process.wait(30) == 0, f"{self.what}: not found again: {again.text()[-1500:]}")
        require(list(self.state.glob("*.journal")), f"{self.what}: no journal")
        return took


def main():
    levels = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    if not os.environ.get("SHOAL_OWN_MOUNTS"):
        if os.geteuid() != 0:
            sys.exit(77)
        os.environ["SHOAL_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])
    with Place(sys.argv[1]) as place:
        content = place.folder / "there" / "content"
        content.parent.mkdir()
        place.size = 6 * MIB
        content.write_bytes(os.urandom(place.size))
        torrent = place.create(content, "--piece-length", "64KiB")
        seeder = place.peer("seeder", "seed", torrent, content.parent)
        address = seeder.address()
        seeder.wait_for('"start"')
        wanted = [(kind, what, number / max(1, levels - 1)) for kind in KINDS for what in ("content", "state")
                  for number in range(levels)]
        slowest, full = 0.0, 0
        while wanted:
            some = [Fetch(place, len(wanted) - at, torrent, address, *each) for at, each in enumerate(wanted[:AT_ONCE])]
            wanted = wanted[AT_ONCE:]
            time.sleep(FULL_SECONDS)
            for each in some:
                full += each.peer.is_alive()
                each.disk.filler.unlink()
            begin = time.monotonic()
            for each in some:
                slowest = max(slowest, each.finish(begin))
                each.disk.close()
        print(f"{len(KINDS) * 2 * levels} fetches onto full disks, {full} of them waited for room; complete {slowest:.1f} s after "
              "there was some, at the latest")
        require(full > 0, "no disk was full")


if __name__ == "__main__":
    main()
