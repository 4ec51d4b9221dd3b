"""The clients of the matrix. Each seeds or fetches one torrent at one address; PEX and UPnP are off, and so are DHT, local
discovery and uTP, but for the one of "dht", "local" and "utp" that a client is told to use."""

import base64
import json
import pathlib
import subprocess
import urllib.error
import urllib.request

from isolated import Failed, Process, wait_until

PYTHON = "/usr/bin/python3"  # Debian's, which has python3-libtorrent
HERE = pathlib.Path(__file__).resolve().parent
START_SECONDS = 30  # until data on disk is verified and the first announce is due


def output_of(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=20)
    return result.stdout + result.stderr


class Client:
    """A running client; `torrent` is a path or a magnet link, `data` the folder that holds or gets the content's root folder."""

    name = "?"
    udp = True  # announces over UDP
    hybrid = True  # reads hybrid torrents
    empty_files = True  # creates them
    uses = ("dht", "local", "utp")

    def __init__(self, role, torrent, data, folder, address, port, connect=None, by=None, router=None):
        self.by, self.router = by, router  # of `uses`; ADDRESS:PORT of a node of the DHT
        self.role, self.torrent, self.data, self.folder = role, torrent, data, folder
        self.address, self.port, self.connect = address, port, connect
        folder.mkdir(parents=True)
        data.mkdir(parents=True, exist_ok=True)
        self.process = Process(self.command(), folder)
        self.started()

    def command(self):
        raise NotImplementedError

    def started(self):
        """What remains to do once the process runs."""

    def is_complete(self):
        """Everything is there and verified."""
        raise NotImplementedError

    def wait_complete(self, seconds):
        wait_until(f"{self.name} ({self.role}) completes", self.is_complete, seconds, self.process)

    def stop(self):
        self.process.stop()


class Shoal(Client):
    name = "shoal"
    program = "peer"

    @classmethod
    def version(cls):
        return output_of(cls.program, "--version").split()[-1]

    def command(self):
        command = [self.program, self.role, self.torrent]
        command += [self.data] if self.role == "seed" else ["-o", self.data]
        command += ["--listen", f"{self.address}:{self.port}", "--state", self.folder / "state", "--json", "--no-pex"]
        command += [flag for flag, of in (("--no-dht", "dht"), ("--no-lsd", "local"), ("--no-utp", "utp")) if of != self.by]
        command += ["--dht-node", self.router] if self.router else []
        return command + (["--connect", self.connect] if self.connect else [])

    def is_complete(self):
        if self.role == "seed":
            return '"event":"listening"' in self.process.text()
        return self.process.status() == 0


class Libtorrent(Client):
    name = "libtorrent"

    @classmethod
    def version(cls):
        return output_of(PYTHON, "-c", "import libtorrent; print(libtorrent.__version__)").strip()

    def command(self):
        return [PYTHON, HERE / "libtorrent_client.py", self.torrent, self.data, f"{self.address}:{self.port}",
                self.by or "tcp", self.router or "", self.connect or ""]

    def is_complete(self):
        return "seeding" in self.process.text()


class Transmission(Client):
    name = "transmission"
    hybrid = False  # 3.00 refuses empty keys, and each file of a v2 file tree has one (its issue 1339)
    empty_files = False
    rpc_session = ""

    @classmethod
    def version(cls):
        return output_of("transmission-daemon", "--version").split()[1]

    def command(self):
        (self.folder / "settings.json").write_text(json.dumps({
            "bind-address-ipv4": self.address, "peer-port": self.port, "download-dir": str(self.data),
            "rpc-bind-address": self.address, "rpc-port": self.port + 1, "rpc-whitelist-enabled": False,
            "rpc-host-whitelist-enabled": False, "rpc-authentication-required": False, "dht-enabled": self.by == "dht",
            "lpd-enabled": self.by == "local", "pex-enabled": False, "utp-enabled": self.by == "utp",
            "port-forwarding-enabled": False,
            "rename-partial-files": False, "preallocation": 0, "encryption": 0}))
        if self.router:
            (self.folder / "dht.bootstrap").write_text(self.router.replace(":", " ") + "\n")
        return ["transmission-daemon", "--foreground", "--config-dir", self.folder]

    def started(self):
        wait_until("transmission answers", lambda: self.call("session-get") is not None, START_SECONDS, self.process)
        if isinstance(self.torrent, str):
            self.call("torrent-add", filename=self.torrent)
        else:
            self.call("torrent-add", metainfo=base64.b64encode(self.torrent.read_bytes()).decode())
        if self.role == "seed":
            self.call("torrent-verify")

    def is_complete(self):
        torrents = (self.call("torrent-get", fields=["status", "percentDone"]) or {}).get("torrents")
        return torrents and torrents[0]["status"] == 6 and torrents[0]["percentDone"] == 1

    def call(self, method, **arguments):
        """The arguments of the reply; None when the daemon does not answer."""
        url = f"http://{self.address}:{self.port + 1}/transmission/rpc"
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            try:
                request = urllib.request.Request(url, body, {"X-Transmission-Session-Id": self.rpc_session})
                with urllib.request.urlopen(request, timeout=5) as reply:
                    return json.load(reply)["arguments"]
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    raise Failed(f"transmission answers {error.code}") from error
                self.rpc_session = error.headers["X-Transmission-Session-Id"]
            except OSError:
                return None
        return None


class Aria2(Client):
    name = "aria2"
    udp = False  # its UDP tracker client comes with the DHT only
    uses = ("dht", "local")
    hybrid = False  # it drops empty keys before it hashes, and each file of a v2 file tree has one

    @classmethod
    def version(cls):
        return output_of("aria2c", "--version").split()[2]

    def command(self):
        hook = self.folder / "complete.sh"
        hook.write_text("#!/bin/sh\necho shoal-complete\n")
        hook.chmod(0o755)
        command = ["aria2c", self.torrent, f"--dir={self.data}", "--no-conf=true", "--enable-dht6=false",
                   "--enable-peer-exchange=false", "--disable-ipv6=true",
                   f"--enable-dht={'true' if self.by == 'dht' else 'false'}",
                   f"--bt-enable-lpd={'true' if self.by == 'local' else 'false'}", f"--dht-listen-port={self.port}",
                   f"--dht-file-path={self.folder / 'dht.dat'}",
                   f"--listen-port={self.port}", f"--interface={self.address}", "--file-allocation=none",
                   "--summary-interval=0", "--console-log-level=warn", "--allow-overwrite=true", "--seed-ratio=0.0",
                   f"--on-bt-download-complete={hook}"]
        command += [f"--dht-entry-point={self.router}"] if self.router else []
        return command + (["--check-integrity=true", "--bt-hash-check-seed=true"] if self.role == "seed" else [])

    def is_complete(self):
        return "shoal-complete" in self.process.text()
