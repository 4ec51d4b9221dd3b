"""Torrent files, read just far enough to know their info-hashes without the code under test."""

import hashlib


def _end(data, at):
    """Where the bencoded value that starts at `at` ends."""
    kind = data[at:at + 1]
    if kind == b"i":
        return data.index(b"e", at) + 1
    if kind in (b"l", b"d"):
        at += 1
        while data[at:at + 1] != b"e":
            at = _end(data, at)
        return at + 1
    colon = data.index(b":", at)
    return colon + 1 + int(data[at:colon])


def info_of(torrent):
    """The raw bytes of the info dictionary of the file `torrent`."""
    data = torrent.read_bytes()
    at = 1
    while data[at:at + 1] != b"e":
        key_end = _end(data, at)
        value_end = _end(data, key_end)
        if data[at:key_end] == b"4:info":
            return data[key_end:value_end]
        at = value_end
    raise ValueError(f"{torrent} has no info dictionary")


def info_hashes(torrent):
    """(v1 as 40 hex digits or None, v2 as 64 hex digits or None)."""
    info = info_of(torrent)
    has_v2 = b"12:meta versioni2e" in info
    has_v1 = b"6:pieces" in info
    return (hashlib.sha1(info).hexdigest() if has_v1 else None, hashlib.sha256(info).hexdigest() if has_v2 else None)
