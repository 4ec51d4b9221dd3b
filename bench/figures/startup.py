#!/usr/bin/env python3
"""How soon the programs are there: `peer --help`, `peer show`, and a tracker that takes connections."""
import shutil
import time

import common


def milliseconds(*command):
    return common.run(*command)[0] * 1000


def listening(options, folder):
    begin = time.perf_counter()
    process, _ = common.start_tracker(options, folder)
    took = (time.perf_counter() - begin) * 1000
    common.stop(process)
    return took


def main():
    options = common.arguments(__doc__)
    with common.work_folder(options.folder) as folder:
        content, torrent, data = folder / "content", folder / "content.torrent", folder / "hub"
        common.random_file(content, 1 << 26)
        common.run(options.bin / "peer", "create", content, "-o", torrent, "--quiet")
        rows = {"peer --help": lambda: milliseconds(options.bin / "peer", "--help"),
                "peer show": lambda: milliseconds(options.bin / "peer", "show", torrent),
                "tracker, kept folder": lambda: listening(options, data)}
        listening(options, data)
        for name, measure in rows.items():
            print(f"{name}: {common.median([measure() for _ in range(4 * options.runs)]):.1f} ms", flush=True)
        fresh = []
        for _ in range(2 * options.runs):
            shutil.rmtree(data)
            fresh.append(listening(options, data))
        print(f"tracker, new folder: {common.median(fresh):.1f} ms")


if __name__ == "__main__":
    main()
