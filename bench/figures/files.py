#!/usr/bin/env python3
"""What many small files cost: the same bytes in 1 to 5000 files, from one seeder, from the start of `peer get` to its end.

Every byte is compared. Give --folder a tmpfs to leave the disk out.
"""
import filecmp
import shutil
import statistics

import common


def is_same(one, other):
    compared = filecmp.dircmp(one, other)
    return not (compared.left_only or compared.right_only or
                filecmp.cmpfiles(one, other, compared.common_files, shallow=False)[1:] != ([], []))


def transfers(options, place, source, kind):
    torrent = place.create(source, "--piece-length", "512KiB", "--format", kind)
    seed = place.peer(f"seed-{kind}", "seed", torrent, source.parent, *common.LONE)
    seed.wait_for('"start"')  # it has checked what is there
    for number in range(options.runs):
        got = place.folder / f"got-{number}"
        yield common.run(place.programs["peer"], "get", torrent, "--output", got, "--connect", seed.address(), *common.LONE,
                         "--state", place.folder / f"get-{kind}-{number}", "--quiet")
        common.rig.require(is_same(source, got / source.name), "the bytes differ")
        shutil.rmtree(got)
    seed.end()


def main():
    options = common.arguments(__doc__, mib=(256, "size of all files together"))
    for count in 1, 10, 100, 1000, 5000:
        with common.place(options) as place:
            source = place.folder / "there" / "content"
            source.mkdir(parents=True)
            for number in range(count):
                common.random_file(source / f"{number:05}", (options.mib << 20) // count)
            for kind in "hybrid", "v1":
                walls, processor = zip(*transfers(options, place, source, kind))
                print(f"{count:5} files, {kind:6}: {statistics.median(walls):.3f} s, processor of the getter "
                      f"{statistics.median(processor):.3f} s", flush=True)


if __name__ == "__main__":
    main()
