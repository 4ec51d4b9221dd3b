#!/usr/bin/env python3
"""A peer that is killed, or told to stop, again and again while it fetches and serves (T-KILL, T-STOP).

    interruptions.py PEER [COUNT [SEED]]

One peer seeds 96 MiB; a second one fetches from it and is interrupted COUNT times (default 20) at random moments, half of them by
SIGKILL and half by SIGTERM; a third one fetches from the second alone. Nothing that the third is given may fail its hash, a stop
takes at most 5 s, what was fetched is not fetched again beyond what was under way, and in the end all three hold the same bytes.
Prints what it saw; exit status 0 when all of that held.
"""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
from outside import CLEAN  # noqa: E402

SIZE = 96 << 20
UPLOAD = "8MiB"  # so that it is not complete before the last interruption
# What one interruption may cost: blocks on their way, and pieces that were half there. Some 130 KiB are seen.
UNDER_WAY = 1 << 20
STOP_SECONDS = 5
PATIENCE = 120


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class Peer:
    """A running `peer`; what it prints goes to a file."""

    def __init__(self, log, *words):
        self.log = log
        self.process = subprocess.Popen([str(word) for word in words], env=CLEAN, stdout=log.open("ab"), stderr=subprocess.STDOUT)

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, text):
        end = time.monotonic() + PATIENCE
        while text not in self.text():
            if time.monotonic() > end:
                raise SystemExit(f"no {text!r} in {self.text()[-2000:]}")
            time.sleep(0.02)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def main():
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-fault-"))
    running = []

    def start(name, *words):
        peer = Peer(folder / f"{name}.log", program, *words, "--json", "--no-pex")
        running.append(peer)
        return peer

    try:
        content = folder / "there" / "content"
        content.mkdir(parents=True)
        for number in range(6):
            (content / f"file {number}").write_bytes(os.urandom(SIZE // 6))
        torrent = folder / "content.torrent"
        subprocess.run([program, "create", content, "-o", torrent, "--piece-length", "256KiB", "--quiet"], check=True, env=CLEAN,
                       stdout=subprocess.DEVNULL)
        origin_at, middle = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        origin = start("origin", "seed", torrent, content.parent, "--listen", origin_at, "--upload-limit", UPLOAD, "--state",
                       folder / "origin-state")
        origin.wait_for('"start"')
        last = start("last", "get", torrent, "-o", folder / "last", "--listen", "127.0.0.1:0", "--connect", middle, "--state",
                     folder / "last-state")

        def fetch():
            return start("middle", "get", torrent, "-o", folder / "middle", "--listen", middle, "--connect", origin_at, "--seed",
                         "--state", folder / "middle-state")

        slowest = 0.0
        for number in range(count):
            peer = fetch()
            time.sleep(draw.uniform(0.01, 0.6))
            if peer.process.poll() is not None:
                raise SystemExit(f"it ended by itself with {peer.process.returncode}: {peer.text()[-2000:]}")
            if number % 2:
                peer.end(signal.SIGKILL)
                continue
            begin = time.monotonic()
            status = peer.end(signal.SIGTERM)
            slowest = max(slowest, time.monotonic() - begin)
            # 7, or 0 when all of it was there already; a signal that came before it was heeded ends it as any program.
            if status not in (0, 7, -signal.SIGTERM):
                raise SystemExit(f"SIGTERM ended it with {status}: {peer.text()[-2000:]}")
        peer = fetch()
        end = time.monotonic() + PATIENCE
        while last.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        if last.process.returncode != 0:
            raise SystemExit(f"the third peer ended with {last.process.returncode}: {last.text()[-2000:]}")
        peer.end(signal.SIGTERM)

        for name in ("middle", "last"):
            for path in sorted(content.iterdir()):
                if (folder / name / "content" / path.name).read_bytes() != path.read_bytes():
                    raise SystemExit(f"{name}: {path.name} differs")
        bad = len(re.findall(r"failed its hash", last.text()))
        # The origin gives to the second peer alone, and says in the end how much.
        origin.end(signal.SIGTERM)
        sent = [json.loads(line)["uploaded"] for line in origin.text().splitlines() if '"event":"progress"' in line]
        again = sent[-1] - SIZE
        print(f"{count} interruptions; slowest stop {slowest:.2f} s; pieces that failed their hash: {bad}; "
              f"fetched again {again / (1 << 20):.1f} MiB")
        if bad:
            raise SystemExit("a block was served that fails its hash")
        if slowest > STOP_SECONDS:
            raise SystemExit("a stop took too long")
        if again > count * UNDER_WAY:
            raise SystemExit("more was fetched again than was under way")
    finally:
        for peer in running:
            if peer.process.poll() is None:
                peer.process.kill()
            peer.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
