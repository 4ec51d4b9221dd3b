#!/usr/bin/env python3
"""Malformed peers against the peer program (T-PEERS): each kind of malformed_kinds.py, alone and among honest peers.

    malformed_peers.py PEER [--repeat COUNT] [--slow] [--syns COUNT] [--only PART_OF_NAME] [--verbose]

Each kind goes to a seeder, and to getters that connect to it, that it connects to, that have a magnet link alone, that want one
piece alone, as its row says; by TCP, and what is about the stream by uTP too. Its connection has to end as its row says, within
its time. Afterwards an honest seeder comes to each getter; and an honest getter fetches from the seeder while both have many of the
kinds at once as peers. What they got has to be right. --slow adds the kinds whose end takes minutes. --repeat sends each kind so
often and compares memory: it may not change by more than 5 MiB. Exit status 0 when all of that held.
"""
import argparse
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
import malformed_kinds as catalogue  # noqa: E402
from malformed_kinds import CALLER, GETTER, I, LAST_PIECE, MAGNET, R, SEEDER, TURNED_AWAY  # noqa: E402
from outside import CLEAN  # noqa: E402
from utp_client import UtpStream  # noqa: E402
from wire_client import Closed, Liar, TcpStream, Torrent  # noqa: E402

PATIENCE = 30  # seconds for an answer, with sanitizers on a busy machine
COMPLETE_WITHIN = 60  # seconds for an honest peer to complete what liars hold up: they are snubbed after 30
MEMORY_SLACK = 5 << 20
WARM_UP = 50  # repetitions before memory is compared
TRIES_ON_HEARSAY = 3  # of one getter in an hour (engine::hearsay_tries_max)
MIXED_AT_ONCE = 3  # malformed peers of each of the two honest ones
PIECE_LENGTH = 64 << 10
SIZE = 64 * PIECE_LENGTH + 100


class Program:
    """A running peer, and what it tells of its connections."""

    def __init__(self, folder, *words):
        self.process = subprocess.Popen([str(word) for word in words], env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines, self.left, self.joined = [], {}, set()
        self.news = threading.Condition()
        self.folder, self.id = folder, None  # where the content is; its peer id
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "", "line": line.decode(errors="replace")}
            with self.news:
                if event["event"] != "peer":
                    if event["event"] not in ("piece", "progress"):
                        self.lines.append(event)
                elif event["state"] == "joined":
                    self.joined.add(event["address"])
                else:
                    self.left[event["address"]] = event["reason"]
                self.news.notify_all()

    def wait_for(self, what, seconds=PATIENCE):
        """The first value of `what()` that is true, or None."""
        with self.news:
            self.news.wait_for(what, seconds)
            return what()

    def event(self, name):
        return next((each for each in self.lines if each["event"] == name), None)

    def address(self):
        at = self.wait_for(lambda: self.event("listening"))
        if not at:
            raise AssertionError(f"it does not listen: {self.lines}")
        host, port = at["address"].split(":")
        return host, int(port)

    def memory(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) << 10
        return 0

    def forget(self, address):
        with self.news:
            self.left.pop(address, None)
            self.joined.discard(address)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


class Run:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-malformed-"))
        self.programs, self.failures, self.tried, self.numbers = [], [], 0, itertools.count()
        self.has_sanitizer = b"__asan_init" in pathlib.Path(options.peer).read_bytes()
        self.torrent = self.make("content", SIZE)
        self.one_piece = self.make("one piece", PIECE_LENGTH)
        self.victim = socket.create_server(("127.0.0.1", 0))
        self.victim.setblocking(False)

    def make(self, name, size):
        content = self.folder / "there" / name
        content.parent.mkdir(exist_ok=True)
        content.write_bytes(os.urandom(size))
        torrent = self.folder / f"{name}.torrent"
        subprocess.run([self.options.peer, "create", content, "-o", torrent, "--piece-length", "64KiB", "--format", "v1", "--quiet"],
                       check=True, env=CLEAN, stdout=subprocess.DEVNULL)
        return Torrent(torrent, content)

    def start(self, folder, *words):
        program = Program(folder, self.options.peer, *words, "--listen", "127.0.0.1:0", "--json", "--state",
                          self.folder / f"state {next(self.numbers)}")
        self.programs.append(program)
        return program

    def seeder(self, torrent, *options):
        folder = self.folder / "there"
        return self.start(folder, "seed", torrent.path, folder, *options)

    def getter(self, target, *options):
        folder = self.folder / f"out {next(self.numbers)}"
        return self.start(folder, "get", target, "-o", folder, *options)

    # -- one kind

    def liar(self, program, torrent, stream):
        liar = Liar(stream, torrent, PATIENCE)
        liar.peer_address = program.address()
        liar.id_of_peer = program.id
        liar.victim_port = struct.pack(">H", self.victim.getsockname()[1])
        liar.another = lambda: self.liar(program, torrent, TcpStream.to(program.address(), PATIENCE))
        liar.ended = lambda: liar.address in program.left or program.process.poll() is not None
        liar.is_done = lambda: program.event("start") is not None
        liar.memory = (lambda: 0) if self.has_sanitizer else program.memory  # a sanitizer keeps what is freed
        liar.syns = self.options.syns
        return liar

    def judge(self, kind, liar, program):
        """Does what the kind does. Returns why that did not end as it should, or None."""
        end = time.monotonic() + kind.seconds + PATIENCE
        try:
            liar.act(liar)
            if kind.end in (I, R) and MAGNET not in kind.to:
                return None if liar.answers() else "it does not answer"
        except Closed:
            pass
        except (AssertionError, OSError) as why:
            return f"{type(why).__name__} {why} (left: {program.left.get(liar.address)})"
        if kind.end == I and MAGNET in kind.to:  # a searcher leaves with what it wanted
            return None if program.wait_for(lambda: program.event("start")) else "not found"
        if kind.end == TURNED_AWAY:
            if not liar.wait_closed(end - time.monotonic()):
                return "not closed"
            return "let in" if liar.address in program.joined else None
        reason = program.wait_for(lambda: program.left.get(liar.address), end - time.monotonic())
        return None if reason == kind.end else f"ended with {reason!r}"

    def attempt(self, kind, number, program, torrent, stream, how):
        liar = self.liar(program, torrent, stream)
        if how == "listening":
            hello = liar.take(68)
            liar.id_of_peer, liar.inbox = hello[48:], hello + liar.inbox
        liar.act = kind.acts[number]
        program.forget(liar.address)
        began = time.monotonic()
        try:
            why = self.judge(kind, liar, program)
        finally:
            liar.stream.close()
        took = time.monotonic() - began
        if took > kind.seconds * (4 if self.has_sanitizer else 1) and not why:
            why = f"took {took:.1f} s"
        if program.process.poll() is not None and not program.event("complete"):
            why = f"{why}; the process ended with {program.process.returncode}: {program.lines[-5:]}"
        self.tried += 1
        if self.options.verbose:
            print(f"{took:6.2f} s  {how:9} {kind.name} ({number}): {kind.end}{' - FAILED: ' + why if why else ''}", flush=True)
        if why:
            self.failures.append(f"{kind.name} ({number}, {how}): should be {kind.end!r}, but {why}")
        return why

    def connects(self, kind, number, program, torrent, by=TcpStream):
        try:
            stream = by.to(program.address(), PATIENCE)
        except OSError as why:
            self.failures.append(f"{kind.name}: no connection: {why}")
            return
        self.attempt(kind, number, program, torrent, stream, "utp" if by is UtpStream else "tcp")

    def listens(self, kind, number, listener, program, torrent):
        listener.settimeout(PATIENCE)
        try:
            connected, _ = listener.accept()
        except OSError as why:
            self.failures.append(f"{kind.name}: nobody came: {why}")
            return
        finally:
            listener.close()
        self.attempt(kind, number, program, torrent, TcpStream(connected), "listening")

    # -- all kinds

    def chosen(self, role):
        for kinds, _ in catalogue.SECTIONS.values():
            for kind in kinds:
                if role in kind.to and self.options.only in kind.name and (self.options.slow or not kind.slow):
                    yield kind

    def learn_id(self, program):
        stream = TcpStream.to(program.address(), PATIENCE)
        program.id = self.liar(program, self.torrent, stream).shake()[48:]
        stream.close()

    def one_after_the_other(self, role, program):
        """The quick ones in a row, each alone; the others beside them."""
        self.learn_id(program)
        beside = []
        for kind in self.chosen(role):
            if kind.holds:
                continue
            by = [UtpStream] if kind.utp else [TcpStream]
            if kind in catalogue.BY_UTP_TOO and role == SEEDER:
                by.append(UtpStream)
            for each in by:
                for number in range(len(kind.acts)):
                    task = (kind, number, program, self.torrent, each)
                    if kind.patient:
                        beside.append(in_thread(self.connects, *task))
                    else:
                        self.repeat(kind, program, lambda task=task: self.connects(*task))
        for each in beside:
            each.join()

    def repeat(self, kind, program, once):
        count = max(1, self.options.repeat // kind.cost)
        before = 0
        for number in range(count):
            known = len(self.failures)
            once()
            if len(self.failures) > known:
                return
            if number == min(WARM_UP, count // 2):
                before = program.memory()
        if count > 2 * WARM_UP and not self.has_sanitizer:
            change = program.memory() - before
            print(f"{kind.name}: {count} times, memory {before / (1 << 20):.1f} MiB {change / (1 << 10):+.0f} KiB", flush=True)
            if abs(change) > MEMORY_SLACK:
                self.failures.append(f"{kind.name}: memory changed by {change} bytes in {count} repetitions")

    def mix(self, role, program, is_over):
        """One kind after the other, as chance has it, until the honest have what they want."""
        kinds = [kind for kind in self.chosen(role) if not (kind.patient or kind.holds or kind.cost >= 100)]
        while kinds and not is_over():
            kind = random.choice(kinds)
            number, by = random.randrange(len(kind.acts)), UtpStream if kind.utp else TcpStream
            if role == SEEDER:
                self.connects(kind, number, program, self.torrent, by)
                continue
            try:
                liar = self.liar(program, self.torrent, by.to(program.address(), PATIENCE))
                liar.patience = 0.5  # it may want nothing that is offered
                kind.acts[number](liar)
                liar.wait_closed(0.1)
                liar.stream.close()
            except (Closed, AssertionError, OSError):
                pass  # the getter itself may have left
            self.tried += 1

    def among_many(self, seeder):
        getter = self.getter(self.torrent.path, "--connect", "%s:%d" % seeder.address(), "--download-limit", "1MiB")
        self.learn_id(getter)
        tried = self.tried
        is_over = lambda: getter.event("complete") or getter.process.poll() is not None  # noqa: E731
        there = [in_thread(self.mix, role, program, is_over) for role, program in ((SEEDER, seeder), (GETTER, getter))
                 for _ in range(MIXED_AT_ONCE)]
        self.completes(getter, self.torrent, "honest peer, both it and its seeder among malformed ones")
        for each in there:
            each.join()
        print(f"{self.tried - tried} malformed peers met these two")

    def call(self, role, target, what):
        """A getter that connects to each of the kinds, and in the end meets an honest seeder."""
        all_of_them = [(kind, number, socket.create_server(("127.0.0.1", 0))) for kind in self.chosen(role)
                       for number in range(len(kind.acts))]
        connect = [word for _, _, listener in all_of_them for word in ("--connect", "%s:%d" % listener.getsockname())]
        program = self.getter(target, *connect)
        # A searcher leaves all others when one has given it what it wanted.
        last = [each for each in all_of_them if role == MAGNET and each[0].end == I]
        for some in ([each for each in all_of_them if each not in last], last):
            there = [in_thread(self.listens, kind, number, listener, program, self.torrent) for kind, number, listener in some]
            for each in there:
                each.join()
        if all_of_them:
            self.is_helped(program, self.torrent, what)

    def hold(self, program, torrent, role):
        """Connections that hold the getter up as long as it lets them."""
        def hold(kind, act):
            liar = self.liar(program, torrent, TcpStream.to(program.address(), PATIENCE))
            try:
                act(liar)
                liar.wait_for(lambda: liar.ended() or program.event("complete"))
            except (Closed, AssertionError):
                pass
            finally:
                liar.stream.close()
        there = [in_thread(hold, kind, act) for kind in self.chosen(role) if kind.holds for act in kind.acts]
        program.wait_for(lambda: len(program.joined) >= len(there), 5)
        time.sleep(0.5)
        return there

    def count_tries_at_victim(self, getters):
        """Liars told the getters, again and again, of a peer that is none."""
        tries = 0
        try:
            while True:
                self.victim.accept()[0].close()
                tries += 1
        except BlockingIOError:
            pass
        print(f"{tries} connections to whom liars named", flush=True)
        # Who names 1500 others, as many repetitions do, pushes one that rests out of the book, and it may be named anew.
        if tries > getters * TRIES_ON_HEARSAY * (1 if self.options.repeat == 1 else 2):
            self.failures.append(f"{tries} connections to whom liars named")

    def is_helped(self, program, torrent, what):
        helper = self.seeder(torrent, "--connect", "%s:%d" % program.address())
        self.completes(program, torrent, what)
        helper.end()

    def completes(self, program, torrent, what, seconds=COMPLETE_WITHIN):
        began = time.monotonic()
        program.wait_for(lambda: program.event("complete"), seconds)
        try:
            status = program.process.wait(PATIENCE if program.event("complete") else 0.1)
        except subprocess.TimeoutExpired:
            status = "running"
        got = program.folder / torrent.name
        is_right = status == 0 and got.read_bytes() == torrent.content
        print(f"{what}: {'complete and right' if is_right else 'NOT complete'} after {time.monotonic() - began:.1f} s", flush=True)
        if not is_right:
            self.failures.append(f"{what}: exit status {status}, {program.lines[-5:]}")

    def main(self):
        began = time.monotonic()
        seeder = self.seeder(self.torrent)
        seeder.wait_for(lambda: seeder.event("start"))
        at_seeder = "%s:%d" % seeder.address()
        getter = self.getter(self.torrent.path)
        magnet = "magnet:?xt=urn:btih:" + self.torrent.hash.hex()
        tasks = [in_thread(self.call, CALLER, self.torrent.path, "getter that calls"), in_thread(self.call, MAGNET, magnet, "magnet link"),
                 in_thread(self.one_after_the_other, SEEDER, seeder), in_thread(self.one_after_the_other, GETTER, getter)]
        for each in tasks:
            each.join()
        self.among_many(seeder)

        one_piece = self.getter(self.one_piece.path)
        for kind in self.chosen(LAST_PIECE):
            if not kind.holds:
                self.connects(kind, 0, one_piece, self.one_piece)
        holders = self.hold(one_piece, self.one_piece, LAST_PIECE) + self.hold(getter, self.torrent, GETTER)
        self.is_helped(one_piece, self.one_piece, "getter of one piece that is held up")
        self.is_helped(getter, self.torrent, "getter that is held up")
        last = self.getter(self.torrent.path, "--connect", at_seeder)
        self.completes(last, self.torrent, "honest peer after them")
        for each in holders:
            each.join()
        self.count_tries_at_victim(getters=2)
        if seeder.process.poll() is not None or seeder.end() != 0:
            self.failures.append(f"the seeder ended with {seeder.process.returncode}: {seeder.lines[-5:]}")
        print(f"{self.tried} malformed peers, {time.monotonic() - began:.0f} s, {len(self.failures)} failures")
        for each in self.failures:
            print(f"FAILED {each}")
        return 1 if self.failures else 0

    def clean_up(self):
        for program in self.programs:
            if program.process.poll() is None:
                program.process.kill()
            program.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def in_thread(work, *arguments):
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("peer")
    options.add_argument("--repeat", type=int, default=1)
    options.add_argument("--syns", type=int, default=20_000)
    options.add_argument("--slow", action="store_true")
    options.add_argument("--only", default="")
    options.add_argument("--verbose", action="store_true")
    run = Run(options.parse_args())
    try:
        return run.main()
    finally:
        run.clean_up()


if __name__ == "__main__":
    sys.exit(main())
