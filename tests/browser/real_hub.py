#!/usr/bin/env python3
"""The page of a real hub in Chromium, while a real transfer goes on: live and clean, as run.mjs --hub checks it.

    real_hub.py NODE TRACKER PEER
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "programs"))
from outside import CLEAN, ProgramTest

NODE = TRACKER = PEER = ""


class RealHub(ProgramTest):
    def test_the_page_is_live_and_clean_during_a_transfer(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-browser-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        (folder / "film &amp; co.bin").write_bytes(os.urandom(20_000_000))
        hub = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", folder / "hub")
        root = hub.wait_for("listening on").split("listening on ")[1].split("/announce")[0]
        common = ("--tracker", f"{root}/announce", "--listen", "127.0.0.1:0", "--json")
        share = self.start(PEER, "share", folder / "film &amp; co.bin", "--upload-limit", "1MB", "--state", folder / "one", *common)
        share.wait_for('"published"')
        get = self.start(PEER, "get", "film &amp; co.bin", "-o", folder / "out", "--state", folder / "two", "--seed", *common)
        get.wait_for('"piece"')
        checked = subprocess.run([NODE, HERE / "run.mjs", "--hub", f"{root}/", "--fetched", "film &amp; co.bin"], env=CLEAN, capture_output=True, text=True,
                                 timeout=300)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


if __name__ == "__main__":
    NODE, TRACKER, PEER = sys.argv[1:4]
    unittest.main(argv=sys.argv[:1], verbosity=2)
