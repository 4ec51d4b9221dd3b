#!/usr/bin/env python3
"""What many torrents at rest cost: one `peer share --each` of so many small files, at a hub on this machine.

Tells memory of each, processor while nothing happens, how long the first start takes, one from saved state, and the end.
"""
import time

import common

PATIENCE = 600  # seconds


def main():
    options = common.arguments(__doc__, count=(10_000, "torrents"), bytes=(20_000, "of each"), idle=(30, "seconds to look at"))
    with common.place(options) as place:
        files = place.folder / "files"
        files.mkdir()
        for number in range(options.count):
            common.random_file(files / f"{number:06}", options.bytes)
        hub = place.tracker()
        url = f"http://{hub.address()}/announce"
        for start in "first", "second":
            begin = time.monotonic()
            peer = place.peer("share", "share", "--each", files, "--tracker", url, *common.LONE)
            for what in "shared", "published":
                peer.wait_for(f'"{what}"', options.count, PATIENCE)
                print(f"{start} start: all {what} after {time.monotonic() - begin:.2f} s", flush=True)
            time.sleep(12)  # what follows the start is over
            load = peer.load(options.idle)
            print(f"at rest: {peer.resident() / 1024 / options.count:.1f} KiB each, {100 * load:.2f} % of a core, "
                  f"{peer.descriptors()} descriptors", flush=True)
            print(f"stopped in {peer.end()[1]:.2f} s", flush=True)


if __name__ == "__main__":
    main()
