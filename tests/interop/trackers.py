"""The trackers of the matrix: each serves HTTP and UDP on one port number."""

import json
import pathlib
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import isolated
from isolated import Process, wait_until

NPM_SOURCE = pathlib.Path(__file__).resolve().parent / "npm"


class Tracker:
    """A running tracker. Knows `info_hash` (20 bytes) when it serves listed torrents only."""

    name = "?"

    def __init__(self, folder, info_hashes=()):
        folder.mkdir(parents=True)
        self.port = isolated.free_port()
        self.process = Process(self.command(folder, info_hashes), folder)
        wait_until(f"{self.name} starts", self._answers, 20, self.process)

    def command(self, folder, info_hashes):
        raise NotImplementedError

    def announce(self, scheme):
        return f"{scheme}://{isolated.HOME}:{self.port}/announce"

    def stop(self):
        self.process.stop()

    def peers(self, info_hash):
        """(seeders, leechers) by an HTTP scrape."""
        query = "info_hash=" + urllib.parse.quote(info_hash, safe="")  # no "+" for a space, as forms have it
        try:
            with urllib.request.urlopen(f"http://{isolated.HOME}:{self.port}/scrape?{query}", timeout=3) as reply:
                body = reply.read()
        except OSError:
            return 0, 0
        found = [re.search(rb"%d:%si(\d+)e" % (len(key), key), body) for key in (b"complete", b"incomplete")]
        return tuple(int(match[1]) if match else 0 for match in found)

    def _answers(self):
        try:
            urllib.request.urlopen(f"http://{isolated.HOME}:{self.port}/scrape", timeout=3).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


class Shoal(Tracker):
    name = "shoal"
    program = "tracker"

    @classmethod
    def version(cls):
        return subprocess.run([cls.program, "--version"], capture_output=True, text=True).stdout.split()[-1]

    def command(self, folder, info_hashes):
        return [self.program, "--listen", f"{isolated.HOME}:{self.port}", "--data", folder / "data"]


class OpenTracker(Tracker):
    """Debian's build serves the info-hashes of a whitelist only."""

    name = "opentracker"

    @classmethod
    def version(cls):
        query = ["dpkg-query", "-W", "-f", "${Version}", "opentracker"]
        return subprocess.run(query, capture_output=True, text=True).stdout

    def command(self, folder, info_hashes):
        (folder / "whitelist").write_text("".join(each.hex() + "\n" for each in info_hashes))
        return ["opentracker", "-i", isolated.HOME, "-p", self.port, "-P", self.port, "-d", folder, "-u", "nobody",
                "-w", "whitelist"]


class NodeTracker(Tracker):
    name = "bittorrent-tracker"
    folder = None  # where npm put it

    @classmethod
    def version(cls):
        return json.loads((cls.folder / "node_modules/bittorrent-tracker/package.json").read_text())["version"]

    @classmethod
    def install(cls, folder):
        """Needs the network, so it comes before the isolation. Quick when all is there."""
        cls.folder = folder
        lock = NPM_SOURCE / "package-lock.json"
        installed = folder / "installed-lock.json"
        if not installed.exists() or installed.read_bytes() != lock.read_bytes():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(NPM_SOURCE, folder)
            subprocess.run(["npm", "install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--silent"],
                           cwd=folder, check=True, timeout=120)
            shutil.copy(lock, installed)

    def command(self, folder, info_hashes):
        return ["node", self.folder / "node_modules/bittorrent-tracker/bin/cmd.js", "--http", "--udp", "--port", self.port,
                "--http-hostname", isolated.HOME, "--udp-hostname", isolated.HOME, "--stats=false", "--silent"]
