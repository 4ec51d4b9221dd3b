#!/usr/bin/env python3
"""Where the programs connect to when torrents and trackers would send them elsewhere (T-SSRF, J1, J2, I13).

    outbound.py PEER TRACKER

In a network namespace of its own stand listeners on loopback, private and link-local addresses, and a tracker outside of those. A
torrent names the former in every way there is to write them, and the tracker outside redirects to them: none of them hears of the
peer, while a tracker on this machine that looks like one does. A hub that is announced to and published at, looked at by strace,
connects to nobody and answers those alone who asked. Needs root; exit status 77 without a namespace.
Prints what it saw; exit status 0 when all of that held.
"""
import http.server
import os
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading

from rig import CLEAN, Place, announce_path, bencode, get, require, wait_until

LOCAL = ("127.0.0.1", "10.0.0.5", "172.16.0.5", "172.31.255.5", "192.168.1.5", "169.254.169.254", "::1", "fd00::5", "fe80::5")
OUTSIDE = "203.0.113.9"
TCP_PORTS, UDP_PORTS = (22, 80, 443, 8080), (53, 123, 1023)
HOSTS = f"127.0.0.1 localhost local.test\n169.254.169.254 metadata.test\n{OUTSIDE} outside.test flip.test\n"
FLIPPED = "127.0.0.1 localhost local.test flip.test\n"

WRITTEN = ("127.0.0.1", "localhost", "LOCALHOST", "localhost.", "0.0.0.0", "0", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
           "127.0.0.1.", "127.0.0.001", "%31%32%37.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
           "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "10.0.0.5", "[::ffff:10.0.0.5]", "172.16.0.5", "172.31.255.5", "192.168.1.5",
           "3232235781", "169.254.169.254", "[::ffff:a9fe:a9fe]", "[fd00::5]", "[fe80::5]", "[fe80::5%25lo]", "local.test", "metadata.test",
           "user:word@127.0.0.1", f"{OUTSIDE}@127.0.0.1", f"{OUTSIDE}%40127.0.0.1", "127.0.0.1#outside.test", "127.0.0.1?.outside.test")
NO_TRACKERS = [f"http://{host}{path}" for host, path in zip(WRITTEN, ["/latest/meta-data/", "/announce.php?do=it", "/admin/reboot"] * 20)]
NO_TRACKERS += [f"http://127.0.0.1:{port}/{path}" for port, path in ((22, ""), (8080, "announce?x=1"), (8080, "announce/../admin"))]
NO_TRACKERS += ["udp://127.0.0.1:53/announce", "udp://192.168.1.5:123", "udp://[::1]:1023/announce", "udp://local.test:53",
                "udp://2130706433:53/announce", "file:///etc/passwd", "ftp://127.0.0.1/announce", "gopher://127.0.0.1:22/announce"]
REDIRECTED = ["http://127.0.0.1/announce", "http://localhost:8080/announce", "http://[::1]/announce", "http://10.0.0.5/x",
              "http://169.254.169.254/latest/meta-data/", "http://metadata.test/announce", "http://192.168.1.5:22/announce",
              "http://[::ffff:127.0.0.1]:8080/announce", "//127.0.0.1/announce", "http://2130706433/announce", "udp://127.0.0.1:53/announce",
              "file:///etc/passwd", "https://127.0.0.1/announce", "http://flip.test/announce"]


class Listeners:
    """Everything that may hear a connection or a packet; `heard` says where one came."""

    def __init__(self):
        self.heard = []
        for host in LOCAL:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            at = (host, 0, socket.if_nametoindex("lo")) if host.startswith("fe80") else None
            for kind, ports in ((socket.SOCK_STREAM, TCP_PORTS), (socket.SOCK_DGRAM, UDP_PORTS)):
                for port in ports:
                    listener = socket.socket(family, kind)
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind((host, port, 0, at[2]) if at else (host, port))
                    if kind == socket.SOCK_STREAM:
                        listener.listen()
                    threading.Thread(target=self.hear, args=(listener, host, port, kind), daemon=True).start()

    def hear(self, listener, host, port, kind):
        while True:
            if kind == socket.SOCK_STREAM:
                listener.accept()[0].close()
            else:
                listener.recvfrom(2000)
            self.heard.append((host, port))


class Tracker(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers announces; redirects those to /NUMBER/announce to REDIRECTED[NUMBER]."""
    daemon_threads = True

    def __init__(self, host, port, hosts):
        self.asked, self.hosts = [], hosts
        super().__init__((host, port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        number = re.match(r"/(\d+)/", self.path)
        if not number:
            body = b"d8:intervali1800e5:peers0:e"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        to = REDIRECTED[int(number[1])]
        if "flip.test" in to:
            self.server.hosts.write_text(FLIPPED)
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def peer_stays_outside(place):
    hosts = place.folder / "hosts"
    hosts.write_text(HOSTS)
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    for host in LOCAL[1:] + (OUTSIDE,):
        if host != "::1":
            subprocess.run(["ip", "address", "add", host + ("/128" if ":" in host else "/32"), "dev", "lo"], check=True)
    listeners = Listeners()
    outside, here = Tracker(OUTSIDE, 8000, hosts), Tracker("127.0.0.1", 6969, hosts)
    content = place.folder / "there" / "content"
    content.parent.mkdir()
    content.write_bytes(os.urandom(100_000))
    made = place.create(content)
    info = made.read_bytes()
    begin = info.index(b"4:info") + 6
    # The flip last: from then on names mean something else.
    urls = NO_TRACKERS + [f"http://{OUTSIDE}:8000/{number}/announce" for number in range(len(REDIRECTED) - 1)]
    flip = f"http://flip.test:8000/{len(REDIRECTED) - 1}/announce"
    trackers = [[each] for each in (*urls, "http://127.0.0.1:6969/announce", f"http://{OUTSIDE}:8000/announce")]

    def run(name, tiers, failures):
        torrent = place.folder / f"{name}.torrent"
        torrent.write_bytes(b"d13:announce-list" + bencode(tiers) + b"4:info" + info[begin:-1] + b"e")
        peer = place.peer(name, "seed", torrent, content.parent, listen="[::]:0")
        peer.wait_for('"start"')
        wait_until(lambda: len(re.findall(r"^tracker \S+: ", peer.text(), re.M)) >= failures, "every tracker failing", 40)
        status, _ = peer.end()
        require(status == 0, f"the peer ended with {status}: {peer.text()[-1500:]}")
        return peer
    peer = run("many", trackers, len(urls))
    run("flip", [[flip]], 1)
    require(len(peer.events("announce")) >= 2, "the trackers that are some were not asked")
    require(here.asked, "the tracker on this machine was not asked")
    redirected = {each.split("/")[1] for each in outside.asked if re.match(r"/\d+/", each)}
    require(len(redirected) == len(REDIRECTED), f"only {len(redirected)} redirects were followed so far")
    require(not listeners.heard, f"somebody connected to {sorted(set(listeners.heard))}")
    for port in TCP_PORTS:  # they would have heard it
        socket.create_connection(("127.0.0.1", port)).close()
    wait_until(lambda: len(listeners.heard) == len(TCP_PORTS), "the listeners hearing")
    print(f"{len(NO_TRACKERS)} URLs of no trackers and {len(REDIRECTED)} redirects: connections to {len(LOCAL)} local addresses: 0")


def hub_connects_to_nobody(place):
    if not shutil.which("strace"):
        print("the hub under strace: not run, there is no strace")
        return
    calls = place.folder / "calls"
    hub = place.start("hub", ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", calls, place.programs["tracker"],
                              "--listen", "127.0.0.1:0", "--data", place.folder / "hub-data"], env=CLEAN | {"ASAN_OPTIONS": "detect_leaks=0"})
    address = hub.address()
    film = place.folder / "film"
    film.write_bytes(os.urandom(300_000))
    share = place.peer("share", "share", film, "--tracker", f"http://{address}/announce")
    share.wait_for('"published"')
    got = place.peer("got", "get", "film", "-o", place.folder / "out", "--tracker", f"http://{address}/announce")
    require(got.process.wait(60) == 0, got.text()[-1500:])
    for number in range(50):
        get(address, announce_path(b"h" * 20, b"%020d" % number, 7000 + number) + "&ip=192.0.2.7")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(5)
        client.sendto(bytes.fromhex("00000417271019800000000000000007"), ("127.0.0.1", int(address.split(":")[1])))
        client.recv(100)
        own = client.getsockname()[1]
    share.end()
    traced, = pathlib.Path(f"/proc/{hub.pid}/task/{hub.pid}/children").read_text().split()
    os.kill(int(traced), signal.SIGTERM)  # its end ends strace
    hub.process.wait(30)
    lines = calls.read_text().splitlines()
    connects = [line for line in lines if " connect(" in line and "AF_UNIX" not in line]
    targets = {int(port) for line in lines for port in re.findall(r"sin6?_port=htons\((\d+)\)", line)}
    require(any("send" in line for line in lines), "strace saw nothing")
    require(not connects, f"the hub connected: {connects[:3]}")
    require(targets <= {own}, f"packets to ports {targets}")
    print(f"the hub, announced to and published at: {len(lines)} calls that send, {len(connects)} that connect")


def main():
    if not os.environ.get("SHOAL_OWN_NETWORK"):
        if os.geteuid() != 0:
            sys.exit(77)
        os.environ["SHOAL_OWN_NETWORK"] = "1"
        os.execvp("unshare", ["unshare", "-n", "-m", "--propagation", "private", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for run in (hub_connects_to_nobody, peer_stays_outside):
        with Place(*sys.argv[1:3]) as place:
            run(place)


if __name__ == "__main__":
    main()
