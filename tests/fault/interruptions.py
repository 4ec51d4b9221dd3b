#!/usr/bin/env python3
"""A peer that is killed, or told to stop, again and again while it fetches and serves (T-KILL, T-STOP).

    interruptions.py PEER [COUNT [SEED]]

One peer seeds 96 MiB; a second one fetches from it and is interrupted COUNT times (default 20) at random moments, half of them by
SIGKILL and half by SIGTERM; a third one fetches from the second alone. Nothing that the third is given may fail its hash, a stop
takes at most 5 s, what was fetched is not fetched again beyond what was under way, and in the end all three hold the same bytes.
Prints what it saw; exit status 0 when all of that held.
"""
import os
import random
import re
import signal
import sys
import time

from rig import MIB, Place, free_port, percentile, require, wait_until

SIZE = 96 * MIB
UPLOAD = "8MiB"  # so that it is not complete before the last interruption
# What one interruption may cost: blocks on their way, and pieces that were half there. Some 130 KiB are seen.
UNDER_WAY = MIB
STOP_SECONDS = 5
PATIENCE = 120


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    with Place(sys.argv[1]) as place:
        folder = place.folder
        content = folder / "there" / "content"
        content.mkdir(parents=True)
        for number in range(6):
            (content / f"file {number}").write_bytes(os.urandom(SIZE // 6))
        torrent = place.create(content, "--piece-length", "256KiB")
        origin_at, middle = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        origin = place.peer("origin", "seed", torrent, content.parent, "--upload-limit", UPLOAD, listen=origin_at)
        origin.wait_for('"start"')
        last = place.peer("last", "get", torrent, "-o", folder / "last", "--connect", middle)

        def fetch():
            return place.peer("middle", "get", torrent, "-o", folder / "middle", "--connect", origin_at, "--seed", listen=middle)

        stops = []
        for number in range(count):
            peer = fetch()
            time.sleep(draw.uniform(0.01, 0.6))
            require(peer.is_alive(), f"it ended by itself with {peer.process.returncode}: {peer.text()[-2000:]}")
            if number % 2:
                peer.end(signal.SIGKILL)
                continue
            status, took = peer.end()
            stops.append(took)
            # 7, or 0 when all of it was there already; a signal that came before it was heeded ends it as any program.
            require(status in (0, 7, -signal.SIGTERM), f"SIGTERM ended it with {status}: {peer.text()[-2000:]}")
        peer = fetch()
        wait_until(lambda: not last.is_alive(), "the third peer's end", PATIENCE)
        require(last.process.returncode == 0, f"the third peer ended with {last.process.returncode}: {last.text()[-2000:]}")
        peer.end()

        for name in ("middle", "last"):
            for path in sorted(content.iterdir()):
                require((folder / name / "content" / path.name).read_bytes() == path.read_bytes(), f"{name}: {path.name} differs")
        bad = len(re.findall(r"failed its hash", last.text()))
        # The origin gives to the second peer alone, and says in the end how much.
        origin.end()
        again = origin.events("progress")[-1]["uploaded"] - SIZE
        print(f"{count} interruptions; stops: median {percentile(stops, 0.5):.2f} s, slowest {max(stops):.2f} s; pieces that failed their "
              f"hash: {bad}; fetched again {again / MIB:.1f} MiB")
        require(not bad, "a block was served that fails its hash")
        require(max(stops) <= STOP_SECONDS, "a stop took too long")
        require(again <= count * UNDER_WAY, "more was fetched again than was under way")


if __name__ == "__main__":
    main()
