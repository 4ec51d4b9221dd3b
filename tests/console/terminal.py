#!/usr/bin/env python3
"""`peer console` at a terminal: prompt, history, completion, and remote events above the line that is being typed.

    terminal.py PEER TRACKER [NAME...]
"""
import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

PEER = TRACKER = ""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
LEAKS = pathlib.Path(__file__).resolve().parent / "libedit.supp"
PATIENCE = 60
COLUMNS, ROWS = 80, 24


class Screen:
    """As much of a terminal as a line editor uses: text, CR, LF, BS, cursor moves, erasing, deleting, inserting."""

    def __init__(self):
        self.rows = [""]
        self.row = self.column = 0
        self.rest = ""

    def put(self, character):
        if self.column == COLUMNS:
            self.new_line()
            self.column = 0
        line = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = line[:self.column] + character + line[self.column + 1:]
        self.column += 1

    def new_line(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        at = 0
        while at < len(text):
            character = text[at]
            if character == "\x1b":
                match = re.match(r"\x1b(?:\[([?0-9;]*)([A-Za-z@])|[()].|[^\[()])", text[at:])
                if not match:
                    self.rest = text[at:]
                    return
                if match[2]:
                    self.control(match[2], match[1])
                at += match.end()
                continue
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self.new_line()
            elif character == "\b":
                self.column = max(self.column - 1, 0)
            elif character >= " ":
                self.put(character)
            at += 1

    def control(self, what, numbers):
        count = int(numbers.strip("?").split(";")[0] or 1) if numbers.strip("?") else 1
        line = self.rows[self.row].ljust(self.column)
        if what == "A":
            self.row = max(self.row - count, 0)
        elif what == "B":
            self.row = min(self.row + count, len(self.rows) - 1)
        elif what == "C":
            self.column = min(self.column + count, COLUMNS)
        elif what == "D":
            self.column = max(self.column - count, 0)
        elif what == "G":
            self.column = count - 1
        elif what == "K":
            self.rows[self.row] = line[:self.column]
        elif what == "J":
            self.rows[self.row] = line[:self.column]
            del self.rows[self.row + 1:]
        elif what == "P":
            self.rows[self.row] = line[:self.column] + line[self.column + count:]
        elif what == "@":
            self.rows[self.row] = line[:self.column] + " " * count + line[self.column:]

    def shown(self):
        """The rows, those that continue a full one joined to it."""
        lines, joined = [], ""
        for row in self.rows:
            joined += row
            if len(row) < COLUMNS:
                lines.append(joined.rstrip())
                joined = ""
        return lines + ([joined] if joined else [])


class AtTerminal:
    def __init__(self, state, *command):
        self.screen = Screen()
        # The leak sanitizer reads its list at the end, when the sandbox lets it read there.
        state.mkdir(exist_ok=True)
        shutil.copy(LEAKS, state)
        leaks = {"LSAN_OPTIONS": f"suppressions={state / LEAKS.name}:print_suppressions=0"}
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.execvpe(str(command[0]), [str(word) for word in command], {**CLEAN, **leaks, "TERM": "xterm", "LC_ALL": "C.UTF-8"})
        self.pid = pid
        self.is_closed = False
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def wait_until(self, what, of_what=""):
        end = time.monotonic() + PATIENCE
        while not what(self.screen.shown()):
            if time.monotonic() > end:
                raise AssertionError(f"{of_what} never came true of\n" + "\n".join(self.screen.shown()))
            self.read(0.2)

    def read(self, patience):
        if select.select([self.terminal], [], [], patience)[0]:
            try:
                self.screen.feed(os.read(self.terminal, 65536).decode(errors="replace"))
            except OSError:
                return False
        return True

    def type(self, text):
        os.write(self.terminal, text.encode())

    def last_is(self, line):
        self.wait_until(lambda lines: lines[-1] == line.rstrip(), f"last line {line!r}")

    def has(self, line):
        self.wait_until(lambda lines: line in lines, f"a line {line!r}")

    def status(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("did not end")

    def close(self):
        if self.is_closed:
            return
        self.is_closed = True
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.terminal)


class Terminal(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-terminal-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        content = self.folder / "there" / "film"
        content.mkdir(parents=True)
        (content / "file1.webm").write_bytes(os.urandom(600_000))
        (content / "file2.webm").write_bytes(os.urandom(10_000))
        (content / "notes.txt").write_bytes(os.urandom(10_000))
        self.torrent = self.folder / "film.torrent"
        subprocess.run([PEER, "create", content, "-o", self.torrent, "--quiet"], check=True, env=CLEAN,
                       stdout=subprocess.DEVNULL)
        self.open_console()

    def open_console(self, out="out", *options):
        self.console = AtTerminal(self.folder / "state", PEER, "console", self.torrent, "-o", self.folder / out, "--listen", "127.0.0.1:0",
                                  "--state", self.folder / "state", *options)
        self.addCleanup(self.console.close)
        self.console.wait_until(lambda lines: re.fullmatch(r"\[127\.0\.0\.1,\d+\]", lines[-1]), "a prompt")
        self.prompt = self.console.screen.shown()[-1] + " "
        self.port = int(self.prompt[1:-2].split(",")[1])

    def other(self, name="other", *options):
        """A console that is driven through a pipe, has everything in a folder of its own, and its port."""
        shutil.copytree(self.folder / "there", self.folder / name)
        process = subprocess.Popen([str(word) for word in (
            PEER, "console", self.torrent, "-o", self.folder / name, "--listen", "127.0.0.1:0", "--state",
            self.folder / f"{name}-state", *options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=CLEAN)

        def end():
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        self.addCleanup(end)
        process.stdin.write(b"/see_this_peer_info\n")
        process.stdin.flush()
        while not (line := process.stdout.readline()).startswith(b"listen_port"):
            self.assertTrue(line)
        return process, int(line.split()[1])

    def test_a_command_is_answered_and_the_prompt_comes_back(self):
        self.console.type("/check_tracker_connected\r")
        self.console.has("Peer is not connected to tracker")
        self.console.last_is(self.prompt)

    def test_tab_completes_commands_peers_and_chunks(self):
        _, port = self.other()
        self.console.type(f"/connect_peer 127.0.0.1 {port}\r")
        self.console.has(f"Peer[127.0.0.1,{port}] established connection to Peer[127.0.0.1,{self.port}]")
        self.console.type("/req\t")
        self.console.last_is(self.prompt + "/request_download")
        self.console.type("1\t")
        self.console.last_is(self.prompt + "/request_download 127.0.0.1")
        self.console.type("\t")
        self.console.last_is(self.prompt + f"/request_download 127.0.0.1 {port}")
        self.console.type("n\t")
        self.console.last_is(self.prompt + f"/request_download 127.0.0.1 {port} notes.txt.part1")
        self.console.type("\r")
        self.console.has("Chunk received successfully")
        self.console.type("/merge_chunks f\t")
        self.console.last_is(self.prompt + "/merge_chunks file")
        self.console.type("\t")
        self.console.has("file1.webm  file2.webm")
        self.console.last_is(self.prompt + "/merge_chunks file")

    def test_an_event_appears_above_a_half_typed_line(self):
        other, _ = self.other()
        self.console.type("/see_conn")
        self.console.last_is(self.prompt + "/see_conn")
        other.stdin.write(f"/connect_peer 127.0.0.1 {self.port}\n".encode())
        other.stdin.flush()
        self.console.wait_until(lambda lines: any(line.startswith("[NEW CONNECTION] 127.0.0.1,") for line in lines),
                                "the event")
        self.console.last_is(self.prompt + "/see_conn")
        self.assertRegex(self.console.screen.shown()[-2], r"^\[NEW CONNECTION\] 127\.0\.0\.1,\d+ connected$")
        self.console.type("ected\r")
        self.console.wait_until(lambda lines: any(line.endswith(": connected") for line in lines), "the reply")
        self.console.last_is(self.prompt)

    def test_an_event_does_not_tear_a_line_of_several_rows(self):
        other, _ = self.other()
        long = "/merge_chunks " + "x" * 150
        self.console.type(long)
        self.console.last_is(self.prompt + long)
        other.stdin.write(f"/connect_peer 127.0.0.1 {self.port}\n".encode())
        other.stdin.flush()
        self.console.wait_until(lambda lines: any(line.startswith("[NEW CONNECTION]") for line in lines), "the event")
        self.console.last_is(self.prompt + long)
        self.assertEqual(sum(line.startswith(self.prompt.rstrip()) for line in self.console.screen.shown()), 1)

    def test_history_brings_a_line_back(self):
        self.console.type("/check_tracker_connected\r")
        self.console.has("Peer is not connected to tracker")
        self.console.last_is(self.prompt)
        self.console.type("\x1b[A")
        self.console.last_is(self.prompt + "/check_tracker_connected")

    def test_a_lone_escape_holds_nothing_up(self):
        other, _ = self.other()
        self.console.type("\x1b")
        time.sleep(0.2)
        other.stdin.write(f"/connect_peer 127.0.0.1 {self.port}\n".encode())
        other.stdin.flush()
        self.console.wait_until(lambda lines: any(line.startswith("[NEW CONNECTION]") for line in lines), "the event")

    def test_control_d_and_exit_and_a_signal_end_it_with_status_0(self):
        for keys in ("\x04", "/exit\r", "\x03"):
            with self.subTest(keys):
                self.console.type(keys)
                self.assertEqual(self.console.status(), 0)
                self.console.close()
                self.setUp()

    def test_a_typo_does_not_change_the_exit_status(self):
        self.console.type("/nonsense\r")
        self.console.has("no such command: /nonsense (see /help)")
        self.console.type("\x04")
        self.assertEqual(self.console.status(), 0)

    def start_a_command_that_waits(self):
        self.console.type("/auto_download\r")
        self.console.wait_until(lambda lines: any(line.startswith("0 of 4 chunks") for line in lines), "progress")

    def test_control_c_cancels_the_command_that_runs_and_the_next_one_ends_the_console(self):
        self.start_a_command_that_waits()
        self.console.type("\x03")
        self.console.has("/auto_download was cancelled")
        self.console.last_is(self.prompt)
        self.console.type("/check_tracker_connected\r")
        self.console.has("Peer is not connected to tracker")
        self.console.type("\x03")
        self.assertEqual(self.console.status(), 0)

    def tracker_with_one_place(self):
        """The announce URL of a hub that another console holds the only place of, and that console."""
        tracker = subprocess.Popen([TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "hub", "--nodes-max", "1"],
                                   stderr=subprocess.PIPE, env=CLEAN)
        self.addCleanup(tracker.stderr.close)
        self.addCleanup(tracker.wait)
        self.addCleanup(tracker.kill)
        while not (listening := re.search(r"http://\S+/announce", (line := tracker.stderr.readline().decode()))):
            self.assertTrue(line)
        url = listening[0]
        holder, _ = self.other("holder", "--tracker", url)
        holder.stdin.write(b"/connect_tracker\n")
        holder.stdin.flush()
        while not (line := holder.stdout.readline()).startswith(b"Tracker established connection"):
            self.assertTrue(line)
        return url, holder

    def test_control_c_leaves_the_line_at_a_full_tracker(self):
        self.console.close()
        url, holder = self.tracker_with_one_place()
        self.open_console("out", "--tracker", url)
        self.console.type("/connect_tracker\r")
        self.console.has("the tracker is full; place 1 in line")
        self.console.type("\x03")
        self.console.has("/connect_tracker was cancelled")
        self.console.type("/disconnect_tracker\r")
        self.console.has("Peer is not connected to tracker")
        holder.communicate(b"/exit\n", timeout=PATIENCE)
        self.console.type("/connect_tracker\r")
        self.console.has(f"Tracker established connection to Peer[127.0.0.1,{self.port}]")

    def test_a_signal_to_end_during_a_command_is_status_7(self):
        self.start_a_command_that_waits()
        os.kill(self.console.pid, signal.SIGTERM)
        self.assertEqual(self.console.status(), 7)

    def test_auto_download_fetches_from_several_peers_at_once_and_shows_progress(self):
        self.console.close()
        (self.folder / "there" / "film" / "file1.webm").write_bytes(os.urandom(3_000_000))
        subprocess.run([PEER, "create", self.folder / "there" / "film", "-o", self.torrent, "--quiet",
                        "--piece-length", "64KiB"], check=True, env=CLEAN, stdout=subprocess.DEVNULL)
        self.open_console("fresh")
        others = [self.other(name, "--upload-limit", "500KiB") for name in ("one", "other")]
        for _, port in others:
            self.console.type(f"/connect_peer 127.0.0.1 {port}\r")
            self.console.has(f"Peer[127.0.0.1,{port}] established connection to Peer[127.0.0.1,{self.port}]")
        self.console.type("/auto_download\r")
        self.console.wait_until(
            lambda lines: any(re.fullmatch(r"[1-9]\d* of 48 chunks, .+/s from 2 peers", line) for line in lines), "progress")
        self.console.has("All 48 chunks are here")
        self.console.has("Merge complete!")
        self.assertEqual((self.folder / "fresh" / "film" / "file1.webm").read_bytes(),
                         (self.folder / "there" / "film" / "file1.webm").read_bytes())
        for process, _ in others:
            said = process.communicate(b"/exit\n", timeout=PATIENCE)[0].decode()
            self.assertRegex(said, r"Sending file1\.webm\.part\d+ to Peer\[127\.0\.0\.1," + str(self.port) + r"\]\.\.\.")
            self.assertIn("sent successfully", said)


if __name__ == "__main__":
    PEER, TRACKER = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
