#!/usr/bin/env python3
"""A hub behind a program that speaks TLS for it: announces by https, sessions by wss.

    behind_tls.py PEER TRACKER [NAME...]
"""
import asyncio
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

from outside import CLEAN, DONE, PATIENCE, ProgramTest

PEER = TRACKER = ""
# Key and certificate of `localhost`, good for a century, and of no use anywhere else.
IDENTITY = pathlib.Path(__file__).with_name("localhost.pem")


class Front:
    """Takes TLS connections on a port of its own, and hands on what comes to `to`, HOST:PORT."""

    def __init__(self, to):
        self.to = to.rsplit(":", 1)
        self.targets = []  # first lines of what was asked
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait(PATIENCE)

    def run(self, ready):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(IDENTITY)

        async def begin():
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        self.loop.run_until_complete(begin())
        self.loop.run_forever()

    def stop(self):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(PATIENCE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)

    @staticmethod
    async def end():
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        try:
            behind_reader, behind_writer = await asyncio.open_connection(*self.to)
            first = await reader.readline()
            self.targets.append(first.decode().split(" ")[1])
            behind_writer.write(first)
            await asyncio.gather(self.pipe(reader, behind_writer), self.pipe(behind_reader, writer))
        except (OSError, IndexError):
            writer.close()

    @staticmethod
    async def pipe(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


class BehindTls(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-tls-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def common(self, state):
        return ("--tracker", f"https://localhost:{self.front.port}/announce", "--listen", "127.0.0.1:0", "--state",
                self.folder / state)

    def test_a_hub_behind_tls_is_announced_to_searched_and_talked_to(self):
        hub = self.start(TRACKER, "--listen", "127.0.0.1:0", "--data", self.folder / "hub")
        root = hub.wait_for("listening on").split("listening on ")[1].split("/announce")[0]
        self.front = Front(root.removeprefix("http://"))
        self.addCleanup(self.front.stop)
        trusting = CLEAN | {"SSL_CERT_FILE": str(IDENTITY)}
        film = self.folder / "film.bin"
        film.write_bytes(os.urandom(1_000_000))
        share = self.start(PEER, "share", film, *self.common("one"), "--json", env=trusting)
        share.wait_for('"published"')
        with urllib.request.urlopen(f"{root}/api/v1/nodes", timeout=PATIENCE) as reply:
            kinds = [each["kind"] for each in json.load(reply)["nodes"]]
        self.assertEqual(kinds, ["session"])
        self.assertIn("/session", self.front.targets)
        got = subprocess.run([PEER, "get", "film.bin", "-o", self.folder / "out", "--timeout", "30s",
                              *map(str, self.common("two"))], env=trusting, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(got.returncode, DONE, got)
        self.assertEqual((self.folder / "out" / "film.bin").read_bytes(), film.read_bytes())
        # Without the certificate nobody is believed.
        stranger = subprocess.run([PEER, "find", *map(str, self.common("three")[:2])], env=CLEAN, capture_output=True, text=True,
                                  timeout=PATIENCE)
        self.assertNotEqual(stranger.returncode, DONE)
        self.assertIn("certificate", stranger.stderr.lower(), stranger)


if __name__ == "__main__":
    PEER, TRACKER = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
