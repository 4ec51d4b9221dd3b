"""A network and processes of our own: nothing leaves the machine, no port clashes, nothing outlives the run."""

import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time

MARK = "SHOAL_INTEROP_ISOLATED"
HOME = "198.18.0.1"  # 198.18.0.0/15 is set aside for tests (RFC 2544). Transmission refuses peers at 127.0.0.1.
PEERS = [f"198.18.1.{number}" for number in range(1, 9)]


def enter():
    """Runs this program again in network, mount and process namespaces of its own, which end with it."""
    if os.environ.get(MARK) != "1":
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() != 0:
            command.append("--map-root-user")
        os.environ[MARK] = "1"
        os.execvp("unshare", [*command, sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up", "multicast", "on"], check=True)
    subprocess.run(["ip", "route", "add", "multicast", "239.0.0.0/8", "dev", "lo"], check=True)
    for address in (HOME, *PEERS):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    for address in PEERS:  # a tracker that is bound to no address answers from the one that was asked
        subprocess.run(["ip", "route", "replace", "local", address, "dev", "lo", "table", "local", "src", HOME], check=True)


_ports = itertools.count(20000)


def free_port():
    """A port nobody used before in this run, with the next one free as well."""
    port = next(_ports)
    next(_ports)
    return port


class Process:
    """A started program. Its output goes to a file; its input is empty unless it is `driven` by `tell`."""

    def __init__(self, command, folder, driven=False, **environment):
        folder.mkdir(parents=True, exist_ok=True)
        self.command = [str(part) for part in command]
        self.output = folder / "output"
        with open(self.output, "ab") as output:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.PIPE if driven else subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
                                          start_new_session=True,
                                          env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(folder), **environment})

    def tell(self, line):
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    def end_input(self):
        self.popen.stdin.close()

    def status(self):
        """The exit status, or None while it runs."""
        return self.popen.poll()

    def text(self):
        return self.output.read_text(errors="replace")

    def complaint(self):
        """Why it failed, as far as one can tell."""
        return f"{pathlib.Path(self.command[0]).name} (status {self.status()}): {self.text()[-600:].strip()}"

    def stop(self):
        if self.status() is None:
            self.popen.terminate()
            try:
                self.popen.wait(3)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)  # it leads the group of all that it started
        except ProcessLookupError:
            pass
        self.popen.wait()


class Failed(Exception):
    """A scenario did not work out; the text says why."""


def wait_until(what, condition, seconds, *processes):
    """Returns the first true value of condition(); fails after `seconds` or when one of `processes` has ended."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        for process in processes:
            if process.status() is not None:
                raise Failed(f"{what}: {process.complaint()}")
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s. " + " | ".join(p.complaint() for p in processes))
        time.sleep(0.05)
