#!/usr/bin/env python3
"""A hub and a swarm that run for long while peers come and go: what is never given back shows (T-SOAK).

    soak.py PEER TRACKER MINUTES [SEED]

50 small torrents lie at one peer; a second one fetches them all, and both stay. 18 others fetch some of them, seed, are stopped,
killed or stood still, and start again with the same state, now and then without what they had. All rates are limited. Every 10 s the
memory of the hub and of the two that stay is read.

Prints the slope of each in MiB/h after the first quarter (least squares), its standard error, the descriptors (files of torrents left
out: those have a bound) before anybody came and after all have gone, and how many bytes were fetched and compared. Exit status 1 when descriptors grew, bytes differ, or memory
grows by 1 MiB/h or more. Memory is a staircase with noise of its own, so that a line through a short run says little: it counts as
growing when the slope is over the bound by twice its standard error, which is taken from means of twelfths of the run (samples that
follow each other are not independent). Below an hour the error is mostly larger than the bound: such a run finds gross leaks only.
"""
import os
import random
import signal
import sys
import time

from rig import MIB, SANITIZED, Place, require

TORRENTS, CHURNERS = 50, 18
EVERY_SECONDS = 10
SLOPE_MAX = 1.0  # MiB/h
LOAD_MAX = 0.4   # of one processor, of all together
SETTLED_SECONDS = 60
FILES_MAX = 6 * TORRENTS  # content, journal and what writes and reads them
ALONE = ("--no-dht", "--no-lsd")
STAYS = (*ALONE, "--upload-limit", "1MiB", "--download-limit", "1MiB")
COMES = (*ALONE, "--upload-limit", "256KiB", "--download-limit", "256KiB")


def line_through(points):
    """Slope of the least squares line, and the slope's standard error."""
    count = len(points)
    at, value = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    width = sum((x - at) ** 2 for x, _ in points)
    slope = sum((x - at) * (y - value) for x, y in points) / width
    rest = sum((y - value - slope * (x - at)) ** 2 for x, y in points)
    return slope, (rest / max(1, count - 2) / width) ** 0.5


class Watched:
    """One of those that stay."""

    def __init__(self, name, program):
        self.name, self.program = name, program
        self.samples = []  # (hours, MiB)

    def look(self, hours):
        require(self.program.is_alive(), f"{self.name} has ended: {self.program.text()[-2000:]}")
        self.samples.append((hours, self.program.resident() / MIB))

    def slope(self):
        late = self.samples[len(self.samples) // 4:]
        parts = [late[len(late) * n // 12:len(late) * (n + 1) // 12] for n in range(12)]
        means = [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts if part]
        return line_through(late)[0], line_through(means)[1]


class Churner:
    """A peer that comes and goes; its state and what it fetched stay in its folder."""

    def __init__(self, rig, number):
        self.rig, self.number = rig, number
        self.program, self.torrents, self.compared = None, [], set()
        self.folder = rig.place.folder / f"churner-{number}"
        self.next = time.monotonic() + rig.draw.uniform(0, 20)

    def step(self):
        draw = self.rig.draw
        if time.monotonic() < self.next:
            return
        if self.program is None:
            self.begin()
            self.next = time.monotonic() + draw.expovariate(1 / 25)
        elif draw.random() < 0.2:
            self.program.process.send_signal(signal.SIGSTOP)
            time.sleep(draw.uniform(0, 0.5))
            self.program.process.send_signal(signal.SIGCONT)
            self.next = time.monotonic() + draw.expovariate(1 / 25)
        else:
            self.end(signal.SIGKILL if draw.random() < 0.4 else signal.SIGTERM)
            self.next = time.monotonic() + draw.expovariate(1 / 15)

    def begin(self):
        draw = self.rig.draw
        if not self.torrents or draw.random() < 0.4:
            self.torrents = draw.sample(range(TORRENTS), draw.randint(1, 6))
            for number in self.torrents:  # fetched again
                (self.folder / self.rig.names[number]).unlink(missing_ok=True)
                self.compared.discard(number)
        self.program = self.rig.place.peer(f"churner-{self.number}", "get", *(self.rig.files[n] for n in self.torrents), "-o",
                                           self.folder, "--seed", *COMES)

    def end(self, number):
        status, _ = self.program.end(number)
        require(status in (0, 7, -signal.SIGKILL), f"a peer ended with {status}: {self.program.text()[-2000:]}")
        self.compare()
        self.rig.place.running.remove(self.program)
        self.program.log.unlink()
        self.program = None

    def compare(self):
        done = {event["name"] for event in self.program.events("complete")}
        for each in self.torrents:
            if self.rig.names[each] in done and each not in self.compared:
                self.rig.compare(self.folder, each)
                self.compared.add(each)


class Soak:
    def __init__(self, place, seed):
        self.place, self.draw = place, random.Random(seed)
        self.fetched = self.starts = 0
        there = place.folder / "there"
        there.mkdir()
        self.names = [f"content-{number}" for number in range(TORRENTS)]
        for name in self.names:
            (there / name).write_bytes(self.draw.randbytes(self.draw.randint(16_000, 200_000)))
        self.there = there
        self.hub = place.tracker("hub", "--interval", "1m", "--min-interval", "30s")
        url = f"http://{self.hub.address()}/announce"
        self.files = [place.create(there / name, "--piece-length", "32KiB", "--tracker", url) for name in self.names]
        self.giver = place.peer("giver", "get", *self.files, "-o", there, "--seed", *STAYS)
        self.giver.wait_for('"complete"', TORRENTS)
        self.out = place.folder / "taker"
        self.taker = place.peer("taker", "get", *self.files, "-o", self.out, "--seed", *STAYS)
        self.taker.wait_for('"complete"', TORRENTS, 120)
        for number in range(TORRENTS):
            self.compare(self.out, number)
        self.watched = [Watched("hub", self.hub), Watched("giver", self.giver), Watched("taker", self.taker)]

    def compare(self, folder, number):
        was, now = (self.there / self.names[number]).read_bytes(), (folder / self.names[number]).read_bytes()
        require(was == now, f"{folder.name} has other bytes of {self.names[number]}")
        self.fetched += len(now)

    def descriptors(self, program):
        """How many, without the files of torrents: those are opened when somebody asks for them, and kept."""
        where = f"/proc/{program.pid}/fd"
        targets = []
        for each in os.listdir(where):
            try:
                targets.append(os.readlink(f"{where}/{each}"))
            except FileNotFoundError:
                pass
        files = sum(target.startswith(str(self.place.folder)) for target in targets)
        require(files <= FILES_MAX, f"{program.log.stem} has {files} files open")
        return len(targets) - files

    def settled(self, most=None):
        """Descriptors once nobody but those that stay is connected, and connections that end have ended."""
        last = [None]

        def is_settled():
            before, last[0] = last[0], {each.name: self.descriptors(each.program) for each in self.watched}
            time.sleep(1)
            return last[0] == before and (most is None or all(last[0][name] <= count for name, count in most.items()))
        begin = time.monotonic()
        while not is_settled() and time.monotonic() - begin < SETTLED_SECONDS:
            pass
        return last[0]

    def run(self, seconds):
        before = self.settled()
        churners = [Churner(self, number) for number in range(CHURNERS)]
        begin = looked_at = time.monotonic()
        took = [each.program.processor() for each in self.watched]
        own = os.times()
        while time.monotonic() - begin < seconds:
            for each in churners:
                each.step()
            if time.monotonic() - looked_at >= EVERY_SECONDS:
                looked_at += EVERY_SECONDS
                for each in self.watched:
                    each.look((looked_at - begin) / 3600)
            time.sleep(0.2)
        for each in churners:
            if each.program is not None:
                each.end(signal.SIGTERM)
        now = os.times()
        children = now.children_user + now.children_system - own.children_user - own.children_system
        load = (sum(each.program.processor() for each in self.watched) - sum(took) + children) / (time.monotonic() - begin)
        return before, self.settled(before), load


def main():
    minutes = float(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    with Place(*sys.argv[1:3]) as place:
        soak = Soak(place, seed)
        before, after, load = soak.run(60 * minutes)
        is_growing = False
        for each in soak.watched:
            line = f"{each.name}: {before[each.name]} descriptors before, {after[each.name]} after"
            if len(each.samples) >= 24:
                slope, error = each.slope()
                is_growing |= not SANITIZED and slope - 2 * error >= SLOPE_MAX
                line += f"; {each.samples[len(each.samples) // 4][1]:.1f} MiB, {each.samples[-1][1]:.1f} in the end, {slope:+.2f} MiB/h (+- {error:.2f})"
            print(line)
        print(f"{soak.fetched / MIB:.0f} MiB fetched and compared in {minutes:g} minutes, {load:.0%} of a processor")
        require(all(after[name] <= before[name] for name in before), "descriptors were not given back")
        require(not is_growing, "memory grows")
        require(SANITIZED or load < LOAD_MAX, "it takes too much of a processor to run beside other things")


if __name__ == "__main__":
    main()
