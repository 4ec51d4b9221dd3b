#!/usr/bin/env python3
"""How soon the programs are there: `peer --help`, `peer show`, and a tracker that takes connections."""
import shutil
import socket
import statistics
import time

import common


def listening(place):
    """Seconds until a tracker takes a connection."""
    port = common.rig.free_port()
    begin = time.perf_counter()
    tracker = place.tracker(listen=f"127.0.0.1:{port}")
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            common.rig.require(tracker.is_alive(), "the tracker has ended")
            time.sleep(0.0003)
    took = time.perf_counter() - begin
    tracker.end()
    return took


def main():
    options = common.arguments(__doc__)
    with common.place(options) as place:
        peer, content = place.programs["peer"], place.folder / "content"
        common.random_file(content, 1 << 26)
        torrent = place.create(content)

        def anew():
            shutil.rmtree(place.folder / "tracker-data", ignore_errors=True)
            return listening(place)

        for name, seconds in {"peer --help": lambda: common.run(peer, "--help")[0],
                              "peer show": lambda: common.run(peer, "show", torrent)[0],
                              "tracker, new folder": anew,
                              "tracker, kept folder": lambda: listening(place)}.items():
            print(f"{name}: {1000 * statistics.median(seconds() for _ in range(4 * options.runs)):.1f} ms", flush=True)


if __name__ == "__main__":
    main()
