#!/usr/bin/env python3
"""Many connections at once, in a process of their own, so that the program under test has its own descriptors.

    crowd.py HOST PORT COUNT PER_ADDRESS SECONDS FIRST [DRIP]

Opens COUNT connections from 127.1.0.1 on, PER_ADDRESS from each address; each sends the bytes FIRST (hexadecimal; `ANYONE` in it
stands for 20 bytes of its own) and then, with DRIP, one byte of those every SECONDS. Prints `there N` when all are up; at the end of
its input, or when none is left, what became of them as one line of JSON: how many were closed, and the longest that one lasted.
"""
import json
import os
import resource
import select
import socket
import sys
import time


ANYONE = b"-XX0000-of the crowd"  # a peer id


def main():
    host, port, count, per_address, interval = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    first = bytes.fromhex(sys.argv[6])
    drip = bytes.fromhex(sys.argv[7]) if len(sys.argv) > 7 else b""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    poll = select.epoll()
    clients, begun, closed, longest = {}, {}, 0, 0.0

    def over(number):
        nonlocal closed, longest
        poll.unregister(number)
        clients.pop(number).close()
        closed += 1
        longest = max(longest, time.monotonic() - begun.pop(number))

    def heed(patience):
        """Reads what comes; true when the input has ended."""
        for number, _ in poll.poll(patience):
            if number == 0:
                return not os.read(0, 100)
            try:
                if not clients[number].recv(65536):
                    over(number)
            except BlockingIOError:
                pass
            except OSError:
                over(number)
        return False

    poll.register(0, select.EPOLLIN)
    for made in range(count):
        client = socket.socket()
        place = made // per_address
        client.bind((f"127.{1 + place // 62500}.{place // 250 % 250}.{1 + place % 250}", 0))
        try:
            client.connect((host, port))
            client.setblocking(False)
            client.send(first.replace(ANYONE, os.urandom(20)))
        except OSError:
            client.close()
            closed += 1
            continue
        clients[client.fileno()] = client
        begun[client.fileno()] = time.monotonic()
        poll.register(client.fileno(), select.EPOLLIN | select.EPOLLHUP)
        if made % 50 == 0:
            heed(0)
    print("there", len(clients), flush=True)
    dripped, at = time.monotonic(), 0
    while clients:
        if heed(0.5):
            break
        if drip and time.monotonic() - dripped >= interval:
            dripped = time.monotonic()
            for number in list(clients):
                try:
                    clients[number].send(drip[at % len(drip):][:1])
                except BlockingIOError:
                    pass
                except OSError:
                    over(number)
            at += 1
    print(json.dumps({"closed": closed, "longest": longest, "left": len(clients)}), flush=True)


if __name__ == "__main__":
    main()
