#!/usr/bin/env python3
"""What many small files cost: the same bytes in 1 to 5000 files, from one seeder, from the start of `peer get` to its end.

Every byte is compared. Give --folder a tmpfs to leave the disk out.
"""
import filecmp
import shutil
import subprocess

import common

LONE = ["--no-dht", "--no-lsd", "--no-utp"]


def is_same(one, other):
    compared = filecmp.dircmp(one, other)
    return not (compared.left_only or compared.right_only or
                filecmp.cmpfiles(one, other, compared.common_files, shallow=False)[1:] != ([], []))


def transfers(options, folder, source, kind):
    peer, torrent = options.bin / "peer", folder / f"{kind}.torrent"
    common.run(peer, "create", source, "-o", torrent, "--piece-length", "512KiB", "--format", kind, "--quiet")
    at = f"127.0.0.1:{common.free_port()}"
    log = folder / "seed.log"
    with open(log, "wb") as out:
        seed = subprocess.Popen([peer, "seed", torrent, source.parent, "--listen", at, *LONE, "--state", folder / "seed", "--json"],
                                stdout=out, stderr=subprocess.DEVNULL)
    try:
        common.wait_until("the seeder has checked", lambda: '"checked"' in log.read_text())
        for number in range(options.runs):
            got = folder / f"got-{number}"
            yield common.run(peer, "get", torrent, "--output", got, "--connect", at, *LONE, "--state", folder / f"get-{number}", "--quiet")
            if not is_same(source, got / source.name):
                raise SystemExit("the bytes differ")
            shutil.rmtree(got)
    finally:
        common.stop(seed)
        shutil.rmtree(folder / "seed", ignore_errors=True)


def main():
    options = common.arguments(__doc__, mib=(256, "bytes of all files together"))
    for count in 1, 10, 100, 1000, 5000:
        with common.work_folder(options.folder) as folder:
            source = folder / "there" / "content"
            source.mkdir(parents=True)
            for number in range(count):
                common.random_file(source / f"{number:05}", (options.mib << 20) // count)
            for kind in "hybrid", "v1":
                walls, processor = zip(*transfers(options, folder, source, kind))
                print(f"{count:5} files, {kind:6}: {common.median(walls):.3f} s, processor of the getter "
                      f"{common.median(processor):.3f} s", flush=True)


if __name__ == "__main__":
    main()
