"""What is transferred, and torrents of it: made by everybody, read by everybody."""

import filecmp
import json
import os
import pathlib
import subprocess
import urllib.parse

import clients
import metainfo
from isolated import Failed

PEER = "peer"
MIB = 1024 * 1024
URL = "http://198.18.0.1:6969/announce"


class Payload:
    """64 MiB of random data: nested folders, an empty file, a Unicode name, sizes that end inside a piece."""

    FILES = {"top.bin": 9 * MIB + 1, "nested/deeper/Größe – 大きさ – размер.bin": 33 * MIB - 4096, "nested/small.txt": 17,
             "nested/empty": 0, "zz last.bin": 22 * MIB + 4078}

    def __init__(self, folder):
        self.root = folder / "payload of shoal"
        for name, size in self.FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(size))

    def check(self, folder, empty_files):
        """Fails unless `folder` has every file, byte for byte; the empty one only if `empty_files`."""
        for name in (name for name, size in self.FILES.items() if size or empty_files):
            copy = folder / self.root.name / name
            if not copy.exists():
                raise Failed(f"{name} is missing")
            if not filecmp.cmp(self.root / name, copy, shallow=False):
                raise Failed(f"{name} differs")


def run(*command):
    """Standard output of a program that has to succeed."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60,
                            env={**os.environ, "LC_ALL": "C.UTF-8"})
    if result.returncode != 0:
        raise Failed(f"{pathlib.Path(command[0]).name} {command[1]}: status {result.returncode}: {result.stderr[-300:]}")
    return result.stdout


def create(source, torrent, kind, *announce):
    torrent.parent.mkdir(parents=True, exist_ok=True)
    run(PEER, "create", source, "-o", torrent, "--format", kind, "--piece-length", "256KiB", "--quiet",
        *(word for url in announce for word in ("--tracker", url)))
    return torrent


def show(torrent):
    return json.loads(run(PEER, "show", torrent, "--json"))


def magnet(torrent):
    """The link that names it and its trackers."""
    v1, v2 = metainfo.info_hashes(torrent)
    names = [f"xt=urn:btih:{v1}"] if v1 else []
    names += [f"xt=urn:btmh:1220{v2}"] if v2 else []
    trackers = (url for tier in show(torrent)["trackers"] for url in tier)
    return "magnet:?" + "&".join(names + ["tr=" + urllib.parse.quote(url, safe="") for url in trackers])


def swarm_hash(torrent):
    """The 20 bytes that trackers know it by."""
    v1, v2 = metainfo.info_hashes(torrent)
    return bytes.fromhex(v1 or v2)[:20]


def create_by_libtorrent(source, torrent, kind):
    flags = {"v1": "libtorrent.create_torrent.v1_only", "v2": "libtorrent.create_torrent.v2_only", "hybrid": "0"}[kind]
    run(clients.PYTHON, "-c", f"""
import libtorrent, os, sys
source, torrent = sys.argv[1:]
files = libtorrent.file_storage()
libtorrent.add_files(files, source)
made = libtorrent.create_torrent(files, 256 * 1024, {flags})
made.add_tracker("{URL}")
libtorrent.set_piece_hashes(made, os.path.dirname(source))
open(torrent, "wb").write(libtorrent.bencode(made.generate()))
""", source, torrent)


def hashes_by_libtorrent(torrent):
    text = run(clients.PYTHON, "-c", """
import libtorrent, sys
hashes = libtorrent.torrent_info(sys.argv[1]).info_hashes()
print(hashes.v1 if hashes.has_v1() else None, hashes.v2 if hashes.has_v2() else None)
""", torrent)
    return tuple(None if word == "None" else word for word in text.split())


def hashes_by_shoal(torrent):
    shown = show(torrent)
    assert shown["trackers"] == [[URL]], shown["trackers"]
    sizes = {file["path"]: file["size"] for file in shown["files"] if not file["pad"]}
    sizes.setdefault("nested/empty", 0)  # transmission-create leaves empty files out
    assert sizes == Payload.FILES, sizes
    return shown["info_hash_v1"], shown["info_hash_v2"]


class Checks:
    """Every maker's torrents before every reader."""

    def __init__(self, work, payload):
        source, self.folder = payload.root, work / "torrents"
        self.folder.mkdir(parents=True)
        self.makers = {
            "shoal v1": lambda out: create(source, out, "v1", URL),
            "shoal v2": lambda out: create(source, out, "v2", URL),
            "shoal hybrid": lambda out: create(source, out, "hybrid", URL),
            "libtorrent v1": lambda out: create_by_libtorrent(source, out, "v1"),
            "libtorrent v2": lambda out: create_by_libtorrent(source, out, "v2"),
            "libtorrent hybrid": lambda out: create_by_libtorrent(source, out, "hybrid"),
            "transmission-create": lambda out: run("transmission-create", "-o", out, "-t", URL, source),
            "mktorrent": lambda out: run("mktorrent", "-l", "18", "-a", URL, "-o", out, source)}
        self.readers = {
            "shoal": hashes_by_shoal,
            "libtorrent": hashes_by_libtorrent,
            "transmission-show": lambda torrent: run("transmission-show", torrent),
            "aria2": lambda torrent: run("aria2c", "--show-files", torrent)}

    def applies(self, maker, reader):
        """Others' torrents come before our reader, ours before all who know the format."""
        if reader in ("transmission-show", "aria2"):
            return maker == "shoal v1"
        return reader == "shoal" or maker.startswith("shoal")

    def run(self, maker, reader):
        torrent = self.folder / (f"{maker} for {reader}.torrent".replace(" ", "-"))
        self.makers[maker](torrent)
        expected = metainfo.info_hashes(torrent)
        found = self.readers[reader](torrent)
        if isinstance(found, tuple):
            assert found == expected, f"{found} instead of {expected}"
        else:
            assert expected[0] in found, f"{expected[0]} is not in: {found}"
