"""What the tests of the programs have in common: a clean environment, exit statuses, bencoding, programs that run."""
import ctypes
import os
import select
import subprocess
import time
import unittest

# Programs under test speak to each other alone, unless a test says otherwise.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")} | {
    "SHOAL_NO_DHT": "true", "SHOAL_NO_LSD": "true"}
DONE, FAILED, USAGE, NOT_FOUND, UNREACHABLE, MISMATCH, NOT_WRITABLE, INCOMPLETE, NOT_PERMITTED = range(9)
# What memory, time and descriptors a program takes then says little of what it takes otherwise.
SANITIZED = "ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ
PATIENCE = 60  # seconds that any one wait may take, with sanitizers on a busy machine


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


def bdecode(data, at=0):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = bdecode(data, at)
            items.append(item)
        if kind == b"l":
            return items, at + 1
        return {key.decode(): value for key, value in zip(items[::2], items[1::2])}, at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1:end], end


def heed_permissions():
    """For `preexec_fn`: root too is kept out of files by their permissions."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


class Program:
    """A running program, its output read line by line."""

    def __init__(self, *command, **options):
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, **({"env": CLEAN} | options))
        self.seen = b""

    def wait_for(self, text, count=1):
        """Reads until `count` lines have `text`, and returns the last of them."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = [line for line in self.seen.split(b"\n")[:-1] if text.encode() in line]
            if len(found) >= count:
                return found[count - 1].decode()
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                got = os.read(self.process.stdout.fileno(), 65536)
                if not got:
                    break
                self.seen += got
        raise AssertionError(f"no {text!r} in {self.seen.decode(errors='replace')}")

    def end(self, number=None):
        """Sends a signal, or none, and returns the exit status."""
        if number:
            self.process.send_signal(number)
        self.seen += self.process.communicate(timeout=PATIENCE)[0]
        return self.process.returncode


class ProgramTest(unittest.TestCase):
    """A test that starts programs; what still runs in the end is killed."""

    def start(self, *command, **options):
        program = Program(*command, **options)

        def stop():
            if program.process.poll() is None:
                program.process.kill()
            program.process.wait()
            program.process.stdout.close()
        self.addCleanup(stop)
        return program
