"""What the tests of sharing have in common: a hub, peers that share and fetch, and what the hub says of them."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from outside import CLEAN, DONE, PATIENCE, ProgramTest


class WithHub(ProgramTest):
    """A test that has a hub, and a folder that goes away."""
    PEER = TRACKER = ""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-share-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.count = 0
        self.hub = self.start_hub()

    def start_hub(self, *options, name="hub"):
        hub = self.start(self.TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / name, *options)
        self.url = hub.wait_for("listening on").split("listening on ")[1].split("/announce")[0] + "/announce"
        return hub

    def holders(self, torrent, url):
        """Who has the torrent, as the hub at this URL says."""
        try:
            with urllib.request.urlopen(url.replace("/announce", f"/api/v1/torrents/{torrent}"), timeout=PATIENCE) as answer:
                return json.load(answer)["peers"]
        except urllib.error.HTTPError as why:
            self.assertEqual(why.code, 404)
            return []

    def state(self):
        self.count += 1
        return self.folder / f"state{self.count}"

    def start_share(self, *paths, options=(), state=None, **more):
        return self.start(self.PEER, "share", *paths, "--tracker", self.url, "--listen", "127.0.0.1:0", "--state",
                          state or self.state(), "--json", *options, **more)

    def share(self, *paths, options=(), state=None):
        """A sharing peer; all its paths are published."""
        program = self.start_share(*paths, options=options, state=state)
        program.wait_for('"published"', len(paths))
        return program

    def peer(self, *words, expect=DONE, **more):
        done = subprocess.run([self.PEER, *map(str, words), "--tracker", self.url], env=CLEAN, capture_output=True, text=True,
                              timeout=PATIENCE, **more)
        self.assertEqual(done.returncode, expect, done)
        return done

    def get(self, name, out="out", expect=DONE, **more):
        return self.peer("get", name, "-o", self.folder / out, "--listen", "127.0.0.1:0", "--state", self.state(),
                         "--timeout", "30s", expect=expect, **more)

    def found(self, *pattern):
        done = self.peer("find", *pattern, "--json")
        return {line["name"]: line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "torrent"}

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except AssertionError:
                pass
            time.sleep(0.2)
        self.fail("did not come true")

    def made(self, name, size=300_000):
        path = self.folder / "shared" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path

    def bytes_read_by(self, program):
        lines = pathlib.Path(f"/proc/{program.process.pid}/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["rchar"])


def main():
    """Runs the tests of the script that is run: PEER TRACKER [NAME...]."""
    WithHub.PEER, WithHub.TRACKER = (str(pathlib.Path(program).resolve()) for program in sys.argv[1:3])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
