#!/usr/bin/env python3
"""How fast `peer create` and `peer verify` are, beside what `openssl speed` hashes on all cores at once.

Warm cache; median of the runs, one of each in turn. 1 is openssl's speed.
"""
import os
import re
import statistics
import subprocess

import common

DIGESTS = {"v1": ["sha1"], "v2": ["sha256"], "hybrid": ["sha1", "sha256"]}


def openssl_seconds(digest, size, cores):
    text = subprocess.run(["openssl", "speed", "-seconds", "2", "-multi", str(cores), "-evp", digest, "-bytes", "16384"],
                          capture_output=True, text=True, check=True).stdout
    return size / (float(re.findall(r"([\d.]+)k", text.splitlines()[-1])[-1]) * 1000)


def main():
    options = common.arguments(__doc__, mib=(1024, "size of the content"))
    size, cores = options.mib << 20, os.cpu_count()
    with common.place(options) as place:
        peer, content = place.programs["peer"], place.folder / "there" / "content"
        content.parent.mkdir()
        common.random_file(content, size)
        for kind, digests in DIGESTS.items():
            torrent = place.folder / f"{kind}.torrent"
            limit, taken = [], {"create": [], "verify": []}
            for _ in range(options.runs):
                limit.append(sum(openssl_seconds(digest, size, cores) for digest in digests))
                taken["create"].append(common.run(peer, "create", content, "-o", torrent, "--format", kind, "--quiet"))
                taken["verify"].append(common.run(peer, "verify", torrent, content.parent, "--quiet"))
            best = statistics.median(limit)
            for what, each in taken.items():
                wall, processor = map(statistics.median, zip(*each))
                print(f"{kind:6} {what}: {wall:.3f} s, processor {processor:.3f} s; of openssl's speed "
                      f"{best / wall:.2f} by wall, {cores * best / processor:.2f} by processor", flush=True)


if __name__ == "__main__":
    main()
