"""What the tests of this folder have in common: programs that run in a folder of their own, and what the kernel says of them."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
from outside import CLEAN, PATIENCE, SANITIZED, bencode, heed_permissions  # noqa: E402, F401

MIB = 1 << 20


def require(holds, why):
    """Ends the test with status 1 and the reason unless it holds."""
    if not holds:
        raise SystemExit(f"FAILED: {why}")


def wait_until(holds, what, patience=PATIENCE):
    """Seconds until `holds()` is true."""
    begin = time.monotonic()
    while not holds():
        require(time.monotonic() - begin < patience, f"{what}, not in {patience} s")
        time.sleep(0.05)
    return time.monotonic() - begin


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


class Running:
    """A program that runs; what it prints goes to a file."""

    def __init__(self, log, command, **options):
        self.log = log
        with log.open("ab") as out:
            self.read_to, self.seen = out.tell(), ""
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.STDOUT, **({"env": CLEAN} | options))
        self.pid = self.process.pid

    def text(self):
        """What it printed since it was started."""
        with self.log.open("rb") as printed:
            printed.seek(self.read_to)
            self.seen += printed.read().decode(errors="replace")
            self.read_to = printed.tell()
        return self.seen

    def events(self, kind):
        """Of `peer ... --json`, the events of one kind."""
        lines = [line for line in self.text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def wait_for(self, text, count=1, patience=PATIENCE):
        def is_there():
            seen = self.text()
            require(seen.count(text) >= count or self.is_alive(), f"it ended with {self.process.returncode}: {seen[-2000:]}")
            return seen.count(text) >= count
        return wait_until(is_there, f"{text!r} from {self.log.stem}", patience)

    def is_alive(self):
        return self.process.poll() is None

    def end(self, number=signal.SIGTERM):
        """Its exit status, and the seconds that it took to end."""
        begin = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE), time.monotonic() - begin

    def resident(self):
        """Bytes of memory that it has for itself, files that it maps left out."""
        return 1024 * int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1])

    def processor(self):
        """Seconds of processor time so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, seconds):
        """The part of one processor that it takes while so many seconds pass."""
        before, begin = self.processor(), time.monotonic()
        time.sleep(seconds)
        return (self.processor() - before) / (time.monotonic() - begin)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def address(self):
        """Where a `peer ... --json` or a tracker listens, as HOST:PORT."""
        pattern = r'"listening".*?"address":"([^"]+)"|listening on http://([\d.]+:\d+)'
        wait_until(lambda: re.search(pattern, self.text()) or not self.is_alive(), f"an address of {self.log.stem}")
        found = re.search(pattern, self.text())
        require(found, self.text()[-2000:])
        return found[1] or found[2]


class Place:
    """A folder for one test, and the programs that run in it. As a context it ends them and takes the folder away."""

    def __init__(self, peer, tracker=None, folder=None):
        self.programs = {"peer": pathlib.Path(peer).resolve(), "tracker": tracker and pathlib.Path(tracker).resolve()}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-fault-", dir=folder))
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.running:
            if each.is_alive():
                each.process.kill()
            each.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, command, **options):
        self.running.append(Running(self.folder / f"{name}.log", command, **options))
        return self.running[-1]

    def peer(self, name, *words, listen="127.0.0.1:0", **options):
        """`peer WORDS`, its state in NAME-state."""
        return self.start(name, [self.programs["peer"], *words, "--listen", listen, "--state", self.folder / f"{name}-state", "--json",
                                 "--no-pex"], **options)

    def tracker(self, name="tracker", *words, listen="127.0.0.1:0", **options):
        return self.start(name, [self.programs["tracker"], "--listen", listen, "--data", self.folder / f"{name}-data", *words], **options)

    def create(self, source, *words):
        """The torrent of a file or folder."""
        torrent = self.folder / f"{source.name}.torrent"
        subprocess.run([self.programs["peer"], "create", source, "-o", torrent, "--quiet", *words], check=True, env=CLEAN,
                       stdout=subprocess.DEVNULL)
        return torrent


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def get(address, path, patience=PATIENCE):
    """What a tracker answers over HTTP."""
    with urllib.request.urlopen(f"http://{address}{path}", timeout=patience) as reply:
        return reply.read()


def announce_path(info_hash, peer_id, port, left=1, event=""):
    def escaped(raw):
        return "".join(f"%{byte:02x}" for byte in raw)
    more = f"&event={event}" if event else ""
    return f"/announce?info_hash={escaped(info_hash)}&peer_id={escaped(peer_id)}&port={port}&uploaded=0&downloaded=0&left={left}{more}"
