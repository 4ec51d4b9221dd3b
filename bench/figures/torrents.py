#!/usr/bin/env python3
"""What many torrents at rest cost: one `peer share --each` of so many small files, at a hub on this machine.

Tells memory of each, processor while nothing happens, how long the first start takes, one from saved state, and the end.
"""
import os
import subprocess
import time

import common

LONE = ["--no-dht", "--no-lsd", "--no-utp"]


def share(options, folder, url, name):
    log = folder / name
    with open(log, "wb") as out:
        process = subprocess.Popen([options.bin / "peer", "share", "--each", folder / "files", "--tracker", url, *LONE,
                                    "--state", folder / "state", "--json"], stdout=out, stderr=subprocess.DEVNULL)
    return process, log


def told(log, what):
    return log.read_bytes().count(b'"' + what + b'"')


def main():
    options = common.arguments(__doc__, count=(10_000, "torrents"), bytes=(20_000, "of each"), idle=(30, "seconds to look at"))
    with common.work_folder(options.folder) as folder:
        (folder / "files").mkdir()
        for number in range(options.count):
            common.random_file(folder / "files" / f"{number:06}", options.bytes)
        hub, port = common.start_tracker(options, folder / "hub")
        try:
            for name in "first", "second":
                begin = time.monotonic()
                process, log = share(options, folder, f"http://127.0.0.1:{port}/announce", name)
                for what in b"shared", b"published":
                    common.wait_until(what.decode(), lambda: told(log, what) >= options.count)  # pylint: disable=cell-var-from-loop
                    print(f"{name} start: all {what.decode()} after {time.monotonic() - begin:.2f} s", flush=True)
                time.sleep(12)  # what follows the start is over
                before = common.processor_seconds(process.pid)
                time.sleep(options.idle)
                used = common.processor_seconds(process.pid) - before
                print(f"at rest: {common.anonymous_kib(process.pid) / options.count:.1f} KiB each, "
                      f"{100 * used / options.idle:.2f} % of a core, {len(os.listdir(f'/proc/{process.pid}/fd'))} descriptors", flush=True)
                begin = time.monotonic()
                common.stop(process)
                print(f"stopped in {time.monotonic() - begin:.2f} s", flush=True)
        finally:
            common.stop(hub)


if __name__ == "__main__":
    main()
