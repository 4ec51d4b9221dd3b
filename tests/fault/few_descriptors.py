#!/usr/bin/env python3
"""A hub and a peer with 32, 64 and 256 descriptors, and more clients than those (T-FD).

    few_descriptors.py PEER TRACKER [SECONDS]

Clients take every descriptor that there is, for SECONDS (default 1). Meanwhile neither program takes a tenth of a processor and the
hub answers by UDP; once they have gone, it does by HTTP too and the peer serves what it has.
Prints what it saw; exit status 0 when all of that held, 77 with a sanitizer.
"""
import os
import resource
import socket
import sys

from flood import HonestClient
from rig import PATIENCE, SANITIZED, Place, announce_path, get, require, wait_until

LIMITS = (32, 64, 256)
LOAD_MAX = 0.1
CONNECTIONS = 200  # that a peer takes of strangers


def starve(program, address, limit):
    """Connections until the program has no descriptor left; those over it wait in the kernel."""
    host, port = address.rsplit(":", 1)
    held = []
    for number in range(2 * limit):
        client = socket.socket()
        client.bind((f"127.0.{1 + number // 100}.1", 0))  # of one address only some are taken
        client.settimeout(PATIENCE)
        client.connect((host, int(port)))
        held.append(client)
    wait_until(lambda: program.descriptors() >= min(limit, CONNECTIONS), "all descriptors taken")
    return held


def main():
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 1
    if SANITIZED:  # which opens descriptors of its own
        sys.exit(77)
    loads = {}
    with Place(*sys.argv[1:3]) as place:
        content = place.folder / "there" / "content"
        content.parent.mkdir()
        content.write_bytes(os.urandom(3_000_000))
        torrent = place.create(content)
        for limit in LIMITS:
            few = {"preexec_fn": lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))}
            hub = place.tracker(f"hub-{limit}", **few)
            peer = place.peer(f"peer-{limit}", "seed", torrent, content.parent, "--upload-limit", "1GB", **few)
            at = {"hub": hub.address(), "peer": peer.address()}
            peer.wait_for('"start"')
            for name, program in (("hub", hub), ("peer", peer)):
                held = starve(program, at[name], limit)
                taken = program.descriptors()
                loads[name, limit] = program.load(seconds)
                if name == "hub":  # it has its datagram socket all the while
                    client = HonestClient(*at["hub"].split(":"))
                    for _ in range(3):
                        client.announce()
                    require(client.answered == client.asked, "no answer by UDP")
                require(loads[name, limit] < LOAD_MAX, f"{name} with {limit}: {loads[name, limit]:.0%} of a processor")
                for client in held:
                    client.close()
                print(f"{name}, {limit} descriptors: {taken} taken, {loads[name, limit]:.1%} of a processor meanwhile")
            require(b"interval" in get(at["hub"], announce_path(b"h" * 20, b"p" * 20, 1)), "no answer")
            out = place.folder / f"out-{limit}"
            fetch = place.peer(f"fetch-{limit}", "get", torrent, "-o", out, "--connect", at["peer"])
            require(fetch.process.wait(PATIENCE) == 0, f"fetched with {fetch.process.returncode}: {fetch.text()[-2000:]}")
            require((out / "content").read_bytes() == content.read_bytes(), "other bytes")
            for program in (hub, peer):
                status, took = program.end()
                require(status == 0 and took < 5, f"it ended with {status} after {took:.1f} s")


if __name__ == "__main__":
    main()
