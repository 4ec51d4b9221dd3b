#!/usr/bin/env python3
"""The tracker program from outside: options, exit status, what it says, and that it serves and stops.

    tracker.py PROGRAM [NAME...]
"""
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

from outside import CLEAN

PROGRAM = ""


def finished(*arguments, environment=None):
    return subprocess.run([PROGRAM, *arguments], env={**CLEAN, **(environment or {})}, capture_output=True, text=True,
                          timeout=20)


class Running:
    """A tracker that listens on a free port."""

    def __init__(self, *arguments, listen=("127.0.0.1:0",), environment=None):
        options = [word for address in listen for word in ("--listen", address)]
        self.state = tempfile.TemporaryDirectory(prefix="shoal-tracker-")  # each has a data folder of its own
        self.process = subprocess.Popen([PROGRAM, *options, *arguments],
                                        env={**CLEAN, "XDG_STATE_HOME": self.state.name, **(environment or {})},
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.line = ""
        while "listening" not in self.line:
            self.line = self.process.stderr.readline()
            if not self.line:
                raise AssertionError(f"ended with status {self.process.wait()}")
        self.ports = [int(port) for port in re.findall(r"http://\S+:(\d+)", self.line)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.state.cleanup()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.output, self.errors = self.process.communicate(timeout=10)
        return self.process.returncode

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[0]}{path}", timeout=5) as reply:
            return reply.read()


def udp_announce(client, tracker, key):
    """Announces by a connected UDP socket as the peer `key`, at that port; the ports of those named."""
    client.connect(("127.0.0.1", tracker))
    client.settimeout(20)
    client.send(struct.pack(">QII", 0x41727101980, 0, key))
    action, transaction, connection = struct.unpack(">IIQ", client.recv(100))
    assert (action, transaction) == (0, key), (action, transaction)
    client.send(struct.pack(">QII20s20sQQQIIIiH", connection, 1, key, b"h" * 20, b"%020d" % key, 0, 1, 0, 2, 0, 0, 200, key))
    reply = client.recv(2000)
    assert struct.unpack(">II", reply[:8]) == (1, key), reply
    return {port for _, port in struct.iter_unpack(">4sH", reply[20:])}


def announce(port, **more):
    rest = "".join(f"&{key}={value}" for key, value in more.items())
    return f"/announce?info_hash={'h' * 20}&peer_id={'p' * 20}&port={port}&left=1{rest}"


class Options(unittest.TestCase):
    def test_help_and_version(self):
        shown = finished("--help")
        self.assertEqual(shown.returncode, 0)
        for option in ("--listen", "--data", "--config", "--interval", "--min-interval", "--peers-max",
                       "--memory-limit", "--nodes-max", "--requests-per-second", "--udp-threads", "--log-level", "--log-format"):
            self.assertIn(option, shown.stdout)
        version = finished("--version")
        self.assertEqual(version.returncode, 0)
        self.assertRegex(version.stdout, r"^tracker \d+\.\d+\.\d+\n$")

    def test_wrong_usage_is_one_line_and_status_2(self):
        for wrong in (["--nonsense"], ["stray"], ["--listen"], ["--listen", "nowhere"], ["--listen", "127.0.0.1"],
                      ["--interval", "soon"], ["--interval", "0s"], ["--interval", "25h"], ["--peers-max", "0"],
                      ["--peers-max", "1001"], ["--peers-max", "x"], ["--memory-limit", "1XB"], ["--log-level", "loud"],
                      ["--log-format", "xml"], ["--requests-per-second", "-1"], ["--udp-threads", "65"], ["--config", "/nonexistent.toml"],
                      ["--interval", "1m", "--min-interval", "2m"]):
            with self.subTest(wrong):
                ended = finished(*wrong)
                self.assertEqual(ended.returncode, 2)
                self.assertRegex(ended.stderr, r"\Atracker: [^\n]+\n\Z")
                self.assertEqual(ended.stdout, "")

    def test_wrong_values_in_environment_and_file(self):
        ended = finished(environment={"SHOAL_INTERVAL": "soon"})
        self.assertEqual((ended.returncode, ended.stderr.count("\n")), (2, 1))
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write("intervall = '1m'\n")
            file.flush()
            ended = finished("--config", file.name)
            self.assertEqual((ended.returncode, ended.stderr.count("\n")), (2, 1))


    def test_what_the_user_wrote_is_shown_without_a_control_character(self):
        odd = "\x1b]0;title\x07\x9b31m"
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('"\\u001b[31m" = "1m"\n')
            file.flush()
            for wrong in (["--interval", odd], [f"--{odd}"], [odd], ["--config", f"/{odd}"], ["--config", file.name],
                          ["--listen", odd], ["--log-level", odd]):
                with self.subTest(wrong):
                    ended = finished(*wrong)
                    self.assertEqual(ended.returncode, 2)
                    self.assertRegex(ended.stderr, r"\Atracker: [^\x00-\x1f\x7f-\x9f]+\n\Z")
            ended = finished(environment={"SHOAL_INTERVAL": odd})
            self.assertRegex(ended.stderr, r"\Atracker: [^\x00-\x1f\x7f-\x9f]+\n\Z")


class Serving(unittest.TestCase):
    def test_serves_http_and_udp_on_one_port_and_stops_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), Running() as tracker:
                port = tracker.ports[0]
                self.assertIn(f"udp://127.0.0.1:{port}", tracker.line)
                self.assertEqual(tracker.get("/healthz"), b"ok\n")
                self.assertIn(b"8:completei0e", tracker.get(announce(1000)))
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.settimeout(5)
                    client.sendto(struct.pack(">QII", 0x41727101980, 0, 7), ("127.0.0.1", port))
                    action, transaction, connection = struct.unpack(">IIQ", client.recv(100))
                    self.assertEqual((action, transaction), (0, 7))
                    client.sendto(struct.pack(">QII20s20sQQQIIIiH", connection, 1, 8, b"h" * 20, b"q" * 20, 0, 1, 0, 2,
                                              0, 0, -1, 1001), ("127.0.0.1", port))
                    reply = client.recv(2000)
                    self.assertEqual(struct.unpack(">II", reply[:8]), (1, 8))
                    self.assertEqual(reply[20:], bytes([127, 0, 0, 1]) + struct.pack(">H", 1000))
                begun = time.monotonic()
                self.assertEqual(tracker.stop(number), 0)
                self.assertLess(time.monotonic() - begun, 5)
                self.assertEqual(tracker.output, "")
                self.assertIn("stopped after 1 HTTP and 1 UDP announces", tracker.errors)

    def test_threads_for_udp_share_the_work_and_nobody_else_gets_the_port(self):
        def threads(tracker):
            folder = f"/proc/{tracker.process.pid}/task"
            return {task: pathlib.Path(folder, task, "comm").read_text().strip() for task in os.listdir(folder)}

        with Running() as tracker:
            self.assertNotIn("udp", threads(tracker).values())
        with Running("--udp-threads", "2") as tracker:
            for key in range(1025, 1057):  # each from a port of its own
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    self.assertEqual(udp_announce(client, tracker.ports[0], key), set(range(1025, key)))
            at_work = [task for task, name in threads(tracker).items() if name == "udp"]
            self.assertEqual(len(at_work), 2)
            for task in at_work:  # as confined as all others
                status = pathlib.Path(f"/proc/{tracker.process.pid}/task/{task}/status").read_text()
                self.assertRegex(status, r"NoNewPrivs:\t1\nSeccomp:\t2\n")
            for thread_count in "0", "2":
                with tempfile.TemporaryDirectory() as folder:
                    address = f"127.0.0.1:{tracker.ports[0]}"
                    second = finished("--listen", address, "--data", folder, "--udp-threads", thread_count)
                    self.assertEqual(second.returncode, 1)
                    self.assertIn(f"cannot listen on {address}", second.stderr)
            self.assertEqual(tracker.stop(), 0)
            self.assertIn("and 32 UDP announces", tracker.errors)

    def test_stops_with_a_client_connected(self):
        with Running() as tracker, socket.create_connection(("127.0.0.1", tracker.ports[0])) as client:
            client.sendall(b"GET /ann")
            self.assertEqual(tracker.stop(), 0)

    def test_serves_several_addresses(self):
        with Running(listen=("127.0.0.1:0", "127.0.0.2:0", "[::1]:0")) as tracker:
            self.assertEqual(len(tracker.ports), 3)
            self.assertIn("http://[::1]:", tracker.line)
            self.assertEqual(tracker.stop(), 0)

    def test_port_in_use_is_status_1(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            ended = finished("--listen", address)
            self.assertEqual(ended.returncode, 1)
            self.assertRegex(ended.stderr, rf"\Atracker: cannot listen on {re.escape(address)}: [^\n]+\n\Z")

    def test_options_come_from_environment_and_file_in_order(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write("interval = '10m'\nmin-interval = '3m'\nlisten = ['127.0.0.1:0']\n")
            file.flush()
            with Running("--config", file.name, listen=()) as tracker:
                self.assertIn(b"8:intervali600e12:min intervali180e", tracker.get(announce(1)))
            with Running("--config", file.name, environment={"SHOAL_INTERVAL": "20m"}) as tracker:
                self.assertIn(b"8:intervali1200e", tracker.get(announce(1)))
            with Running("--interval", "40m", environment={"SHOAL_INTERVAL": "20m", "SHOAL_CONFIG": file.name}) as tracker:
                self.assertIn(b"8:intervali2400e12:min intervali180e", tracker.get(announce(1)))

    def test_log_as_json(self):
        with Running("--log-format", "json", "--log-level", "debug") as tracker:
            tracker.get(announce(1))
            self.assertEqual(tracker.stop(), 0)
            events = [json.loads(line) for line in (tracker.line + tracker.errors).splitlines()]
            kinds = [event["event"] for event in events]
            self.assertEqual((kinds[0], set(kinds[1:-1]), kinds[-1]), ("listening", {"log"}, "stopped"))
            self.assertTrue(any("http announce" in event["message"] for event in events), events)
            self.assertTrue(all({"time", "level", "message"} <= set(event) for event in events))

    def test_a_flood_of_packets_makes_a_short_log(self):
        """Class M10; SHOAL_PACKETS=1000000 for the whole of it. Each announce would be a line."""
        count = int(os.environ.get("SHOAL_PACKETS", 20_000))
        log = []
        with Running("--log-level", "debug") as tracker, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            reading = threading.Thread(target=lambda: log.extend(tracker.process.stderr))
            reading.start()
            client.connect(("127.0.0.1", tracker.ports[0]))
            client.settimeout(5)
            client.send(struct.pack(">QII", 0x41727101980, 0, 7))
            connection, = struct.unpack(">8xQ", client.recv(100))
            packet = bytearray(struct.pack(">QII20s20sQQQIIIiH", connection, 1, 8, b"h" * 20, b"q" * 20, 0, 1, 0, 2, 0, 0, 0, 1001))
            for number in range(count):
                client.send(packet)
                client.send(packet[:50])  # what cannot be read
                if number % 50 == 0:  # so that none is lost: the answer to the last one has come
                    struct.pack_into(">I", packet, 12, number)
                    client.send(packet)
                    while struct.unpack_from(">I", client.recv(2000), 4)[0] != number:
                        pass
            tracker.process.send_signal(signal.SIGTERM)
            self.assertEqual(tracker.process.wait(10), 0)
            reading.join()
        text = "".join(log)
        self.assertLess(len(text), 1_000_000)
        self.assertRegex(text, r"\d+ lines were left out here")
        self.assertRegex(log[-2] + log[-1], "stopped after 0 HTTP and [0-9]+ UDP announces")

    def test_data_folder_is_made(self):
        with tempfile.TemporaryDirectory() as folder:
            with Running("--data", f"{folder}/a/b") as tracker:
                self.assertTrue(os.path.isdir(f"{folder}/a/b"))
                self.assertEqual(tracker.stop(), 0)
            with open(f"{folder}/file", "w"):
                pass
            self.assertEqual(finished("--data", f"{folder}/file/x").returncode, 6)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
