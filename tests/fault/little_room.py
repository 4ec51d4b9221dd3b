#!/usr/bin/env python3
"""Little memory, many files, and a disk that hangs (L11, L12, L13).

    little_room.py PEER [FILES [MEBIBYTES]]

A folder of FILES small files (default 2000; the class asks for 100000) is shared and fetched. A torrent of MEBIBYTES (default 320;
1024) is fetched and served by peers that have 256 MiB of memory, page cache and all. Of two torrents that are fetched by one peer one
lies on a file system that hangs: the peer's loop goes on, and when the disk does, both are complete. Needs root, for cgroups
(version 1) and mounts; what is missing is said.
Prints what it saw; exit status 0 when all of that held.
"""
import datetime
import os
import pathlib
import subprocess
import sys
import time

from rig import MIB, PATIENCE, SANITIZED, Place, require

MEMORY = 256 * MIB
HANGING_SECONDS = 6
GROUPS = pathlib.Path("/sys/fs/cgroup/memory")


def mappings(program):
    return len(pathlib.Path(f"/proc/{program.pid}/maps").read_text().splitlines())


def many_files(place, count):
    folder = place.folder / "there" / "many"
    for number in range(count):
        into = folder / f"{number // 1000}"
        into.mkdir(parents=True, exist_ok=True)
        (into / f"{number}").write_bytes(os.urandom(1000))
    begin = time.monotonic()
    torrent = place.create(folder)
    made = time.monotonic() - begin
    seeder = place.peer("seeder", "seed", torrent, folder.parent)
    address = seeder.address()
    checked = seeder.wait_for('"start"', patience=600)
    fetch = place.peer("fetch", "get", torrent, "-o", place.folder / "out", "--connect", address)
    most = {"seeder": 0, "fetch": 0}
    begin = time.monotonic()
    while fetch.is_alive():
        try:
            for each in (seeder, fetch):
                most[each.log.stem] = max(most[each.log.stem], mappings(each))
            resident = seeder.resident() // MIB, fetch.resident() // MIB
        except (OSError, TypeError):  # it ended just then
            pass
        require(time.monotonic() - begin < 900, "the fetch takes too long")
        time.sleep(0.2)
    require(fetch.process.returncode == 0, f"the fetch ended with {fetch.process.returncode}: {fetch.text()[-1500:]}")
    require(subprocess.run(["diff", "-r", folder, place.folder / "out" / "many"], check=False).returncode == 0, "other bytes")
    status, took = seeder.end()
    require(status == 0 and took < 5, f"the seeder ended with {status} after {took:.1f} s")
    print(f"{count} files: torrent made in {made:.1f} s, checked in {checked:.1f} s, fetched in {time.monotonic() - begin:.1f} s; "
          f"mappings at most {most['seeder']} and {most['fetch']}, memory of the seeder {resident[0]} MiB, of who fetches {resident[1]} "
          "MiB")
    require(max(most.values()) < 4096, "mappings are not bounded")


def little_memory(place, mebibytes):
    if SANITIZED:
        return
    group = GROUPS / f"shoal-fault-{os.getpid()}"
    groups = [group / name for name in ("seeder", "fetch")]
    try:
        for each in [group, *groups]:
            each.mkdir()
        for each in groups:
            (each / "memory.limit_in_bytes").write_text(str(MEMORY))
    except OSError as why:
        print(f"little memory: not run, {why}")
        return
    try:
        def within(at):
            return {"preexec_fn": lambda: (at / "cgroup.procs").write_text(str(os.getpid()))}
        content = place.folder / "there" / "large"
        with content.open("wb") as file:
            for _ in range(mebibytes // 16):
                file.write(os.urandom(16 * MIB))
            os.fsync(file.fileno())
        torrent = place.create(content)
        with content.open("rb") as file:  # so that the seeder's group is charged for what it reads
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        seeder = place.peer("seeder", "seed", torrent, content.parent, **within(groups[0]))
        address = seeder.address()
        seeder.wait_for('"start"', patience=300)
        begin = time.monotonic()
        fetch = place.peer("fetch", "get", torrent, "-o", place.folder / "out", "--connect", address, **within(groups[1]))
        status = fetch.process.wait(900)
        took = time.monotonic() - begin
        require(status == 0, f"with {MEMORY // MIB} MiB the fetch ended with {status}: {fetch.text()[-1500:]}")
        require(subprocess.run(["cmp", content, place.folder / "out" / "large"], check=False).returncode == 0, "other bytes")
        require(seeder.is_alive(), "the seeder ended")
        seeder.end()
        most = [int((at / "memory.max_usage_in_bytes").read_text()) // MIB for at in groups]
        print(f"little memory: {mebibytes} MiB fetched in {took:.1f} s with {MEMORY // MIB} MiB on each side; most in use {most[0]} and "
              f"{most[1]} MiB")
    finally:
        for each in (*groups, group):
            for _ in range(50):
                try:
                    each.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)


def hanging_disk(place):
    folder = place.folder / "there"
    for name in ("hangs", "goes on"):
        (folder / name).mkdir()
        (folder / name / "content").write_bytes(os.urandom(16 * MIB))
    torrents = [place.create(folder / name, "--piece-length", "256KiB") for name in ("hangs", "goes on")]
    seeder = place.peer("seeder", "get", *torrents, "-o", folder, "--seed")
    address = seeder.address()
    seeder.wait_for('"complete"', 2)
    disk = place.folder / "out" / "hangs"
    disk.mkdir(parents=True)
    image = place.folder / "image"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        fetch = place.peer("fetch", "get", *torrents, "-o", place.folder / "out", "--connect", address, "--download-limit", "4MiB")
        fetch.wait_for('"piece"', 4)
        subprocess.run(["fsfreeze", "-f", disk], check=True)  # whoever writes there waits until it is undone
        try:
            # Its loop goes on: it says every 200 ms how far it is, and answers whoever connects.
            said = len(fetch.events("progress"))
            other = place.folder / "out" / "goes on" / "content"
            time.sleep(HANGING_SECONDS)
            moments = [datetime.datetime.fromisoformat(event["time"]) for event in fetch.events("progress")[said:]]
            gap = max((later - earlier).total_seconds() for earlier, later in zip(moments, moments[1:]))
            print(f"hanging disk: for {HANGING_SECONDS} s the loop took at most {gap:.2f} s for a turn of 0.2 s; the torrent on another "
                  f"disk was {'complete' if other.exists() else 'not complete'} by then")
            require(gap < 1 and len(moments) > HANGING_SECONDS, "the loop waits for the disk")
        finally:
            subprocess.run(["fsfreeze", "-u", disk], check=True)
        require(fetch.process.wait(PATIENCE) == 0, f"it ended with {fetch.process.returncode}: {fetch.text()[-1500:]}")
        require(subprocess.run(["cmp", folder / "hangs" / "content", disk / "content"], check=False).returncode == 0, "other bytes")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def main():
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    mebibytes = int(sys.argv[3]) if len(sys.argv) > 3 else 320
    if os.geteuid() != 0:
        sys.exit(77)
    if not os.environ.get("SHOAL_OWN_MOUNTS"):
        os.environ["SHOAL_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])
    for run in (lambda place: many_files(place, files), lambda place: little_memory(place, mebibytes), hanging_disk):
        with Place(sys.argv[1]) as place:
            (place.folder / "there").mkdir()
            run(place)


if __name__ == "__main__":
    main()
