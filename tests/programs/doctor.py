#!/usr/bin/env python3
"""`tracker doctor` on this machine, from outside. What it makes of other machines is in tests/doctor.

    doctor.py PROGRAM [NAME...]
"""
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

from outside import CLEAN, DONE, FAILED, PATIENCE, USAGE, ProgramTest, heed_permissions

TRACKER = ""
CHECKS = ["open-files", "system-files", "receive-buffer", "send-buffer", "listen-queue", "packet-queue", "udp-losses",
          "ports", "conntrack", "clock", "data", "data-space", "data-filesystem", "catalogue", "temporary", "memory",
          "listen", "listen"]


class Doctor(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-doctor-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = self.folder / "hub"

    def doctor(self, *words, listen=("127.0.0.1:0",), environment=None, **options):
        addresses = [word for address in listen for word in ("--listen", address)]
        return subprocess.run([TRACKER, "doctor", "--data", self.data, *addresses, *words],
                              env=CLEAN | (environment or {}), capture_output=True, text=True, timeout=PATIENCE, **options)

    def findings(self, *words, expect=None, **options):
        """What it says in JSON, by check; of several the last."""
        done = self.doctor("--json", *words, **options)
        every = [json.loads(line) for line in done.stdout.splitlines()]
        bad = [each for each in every if each["state"] == "bad"]
        self.assertEqual(done.returncode, FAILED if bad else DONE, done)
        if expect is not None:
            self.assertEqual(done.returncode, expect, bad)
        return {each["check"]: each for each in every}

    def test_a_line_for_each_check_with_advice_where_it_is_not_ok(self):
        done = self.doctor()
        lines = done.stdout.splitlines()
        for line in lines:
            self.assertRegex(line, r"\A(ok   |warn |bad  )[a-z-]+: \S[^\x00-\x1f]+\Z")
            self.assertEqual(": " in line and ". To change: " in line, not line.startswith("ok"), line)
        self.assertEqual([line[5:].split(":")[0] for line in lines], CHECKS)
        self.assertEqual(done.returncode, FAILED if any(line.startswith("bad") for line in lines) else DONE)
        self.assertRegex(done.stderr, r"\Atracker: \d+ ok, \d+ warn, \d+ bad\n")
        self.assertEqual(self.doctor("--quiet").stderr, "")
        self.assertFalse(self.data.exists(), "it makes nothing")

    def test_json(self):
        done = self.doctor("--json")
        every = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([each["check"] for each in every], CHECKS)
        self.assertEqual(done.stderr, "")
        for each in every:
            self.assertEqual(list(each), ["check", "state", "found", "advice"])
            self.assertIn(each["state"], ("ok", "warn", "bad"))
            self.assertEqual(each["advice"] == "", each["state"] == "ok", each)

    def test_figures_are_those_of_the_machine(self):
        found = self.findings()
        for check, path in (("system-files", "fs/file-max"), ("packet-queue", "net/core/netdev_max_backlog"),
                            ("ports", "net/ipv4/ip_local_port_range")):
            shown = pathlib.Path("/proc/sys", path)
            for number in shown.read_text().split() if shown.exists() else ["cannot be read here"]:
                self.assertIn(number, found[check]["found"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            is_enough = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2 >= 1 << 20
        self.assertEqual(found["receive-buffer"]["state"], "ok" if is_enough else "warn")
        kind = subprocess.run(["findmnt", "-no", "FSTYPE", "-T", self.folder], capture_output=True, text=True)
        if kind.returncode == 0:
            self.assertIn(f"is on {kind.stdout.splitlines()[-1].strip()}", found["data-filesystem"]["found"])

    def test_few_open_files_are_bad(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
        found = self.findings(preexec_fn=few, expect=FAILED)["open-files"]
        self.assertEqual(found["state"], "bad")
        self.assertIn("300 files open (it raises the soft limit, 100) and wants 5064", found["found"])
        self.assertIn("ulimit -n 5064", found["advice"])
        found = self.findings("--connections-max", "136", "--nodes-max", "100", preexec_fn=few)["open-files"]
        self.assertEqual(found["state"], "ok", found)

    def test_a_folder_that_is_not_writable_is_bad(self):
        self.data.mkdir(mode=0o555)
        found = self.findings(preexec_fn=heed_permissions, expect=FAILED)["data"]
        self.assertEqual(found["state"], "bad")
        self.assertIn(f"{self.data} is not writable", found["found"])
        self.assertRegex(found["advice"], rf"\Achown \S+ {self.data}, or another --data\Z")
        self.data = self.data / "a" / "b"  # and cannot be made
        self.assertIn("install -d", self.findings(preexec_fn=heed_permissions, expect=FAILED)["data"]["advice"])
        self.data = self.folder / "file"
        self.data.write_text("")
        self.assertIn("no folder", self.findings(expect=FAILED)["data"]["found"])
        self.data = self.folder / "file" / "below"
        self.assertIn("no folder", self.findings(expect=FAILED)["data"]["found"])

    def test_a_catalogue_that_is_none_or_not_readable(self):
        self.data.mkdir()
        catalogue = self.data / "catalogue.sqlite"
        catalogue.write_text("This is no database.")
        self.assertIn("no SQLite database", self.findings()["catalogue"]["found"])
        os.utime(catalogue, (2e9, 2e9))
        self.assertIn("in the future", self.findings()["clock"]["found"])
        catalogue.chmod(0)
        found = self.findings(preexec_fn=heed_permissions, expect=FAILED)["catalogue"]
        self.assertIn("not readable", found["found"])
        self.assertIn(f"{catalogue}*", found["advice"])

    def test_a_port_in_use_is_bad_and_told_by_whom(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = self.doctor(listen=(address,))
            self.assertEqual(done.returncode, FAILED)
            self.assertRegex(done.stdout, rf"\nok   listen: TCP {address} is free\n")
            self.assertRegex(done.stdout, rf"\nbad  listen: UDP {address} is in use by \S+ \(process {os.getpid()}\). "
                                          rf"To change: kill {os.getpid()}, or another --listen\n")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.assertIn(f"\nbad  listen: TCP {address} is in use by ", self.doctor(listen=(address,)).stdout)

    def test_addresses_that_are_not_there_or_named_twice_are_bad(self):
        self.assertIn("no such address", self.findings(listen=("192.0.2.1:6969",), expect=FAILED)["listen"]["found"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        twice = self.findings(listen=(f"127.0.0.1:{port}", f"0.0.0.0:{port}"), expect=FAILED)["listen"]
        self.assertIn("another --listen of this hub", twice["found"])

    def test_a_hub_that_runs_already_is_no_fault(self):
        hub = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", self.data)
        address = re.search(r"http://(\S+?)/", hub.wait_for("listening on"))[1]
        found = self.findings(listen=(address,))
        self.assertEqual(found["listen"]["state"], "warn")
        self.assertIn(f"(process {hub.process.pid}): a hub runs already", found["listen"]["found"])
        self.assertRegex(found["catalogue"]["found"], r"catalogue.sqlite has \d")

    def test_memory_that_is_not_there_is_bad(self):
        found = self.findings("--memory-limit", "1000TiB", expect=FAILED)["memory"]
        self.assertIn("1000 TiB for its peer sets", found["found"])
        self.assertIn("--memory-limit ", found["advice"])

    def test_odd_paths_are_shown_without_a_control_character(self):
        self.data = self.folder / "a b\x1b[31m"
        done = self.doctor()
        self.assertIn("a b\\x1b[31m", done.stdout)
        self.assertNotIn("\x1b", done.stdout)
        self.assertIn("a b\\x1b[31m", self.findings()["data"]["found"])

    def test_options_come_from_environment_and_file(self):
        config = self.folder / "hub.toml"
        config.write_text("connections-max = 2000\njson = true\n")
        done = self.doctor("--config", config, environment={"SHOAL_NODES_MAX": "500"})
        first = json.loads(done.stdout.splitlines()[0])
        self.assertIn("wants 2564: 2000 connections, 500 nodes", first["found"])

    def test_wrong_usage_is_one_line_and_status_2(self):
        for wrong in (["stray"], ["--nonsense"], ["--listen", "nowhere"], ["--memory-limit", "much"], ["--json", "x"],
                      ["passkey", "list"]):
            with self.subTest(wrong):
                done = self.doctor(*wrong, listen=())
                self.assertEqual((done.returncode, done.stdout), (USAGE, ""))
                self.assertRegex(done.stderr, r"\Atracker: [^\n]+\n\Z")

    def test_its_name_is_free_for_a_member(self):
        for words in (("add", "doctor"), ("list",), ("remove", "doctor")):
            done = subprocess.run([TRACKER, "passkey", *words, "--data", self.data], env=CLEAN, capture_output=True,
                                  text=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, DONE, done)


if __name__ == "__main__":
    TRACKER = sys.argv.pop(1)
    unittest.main()
