#!/usr/bin/env python3
"""A peer whose system calls fail, one in each run, while it fetches (T-IOERR).

    system_calls.py PEER [POINTS [SEED]]

strace lets the n-th call of one kind fail with one error, at POINTS places that are drawn (default 20). A run may end with an error,
which it then says, or complete; it never crashes, hangs, or claims what is not there, and the next run on the same folder completes.
Where strace cannot trace, this says so and does nothing: exit status 77. Prints what it saw; exit status 0 when all of that held.
"""
import collections
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
from outside import CLEAN  # noqa: E402

SIZE = 3 << 20
PATIENCE = 60
LAST_CALL = 40  # the n-th of one thread, after those of the loader, which does not stand them
SKIPPED = 77
CALLS = {
    "socket": ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"],
    "bind": ["ENOMEM", "EADDRINUSE"],
    "listen": ["EADDRINUSE"],
    "connect": ["ENOBUFS", "ENETUNREACH", "ECONNREFUSED"],
    "recvmsg": ["ECONNRESET", "ENOMEM", "EINTR", "EAGAIN", "EIO"],
    "sendmsg": ["ECONNRESET", "ENOMEM", "EINTR", "EAGAIN", "ENOBUFS", "EPIPE"],
    "openat2": ["EMFILE", "ENFILE", "ENOSPC", "EIO", "EACCES"],
    "openat": ["EMFILE", "ENFILE", "EIO"],
    "pwritev": ["ENOSPC", "EIO", "EINTR"],
    "pwrite64": ["ENOSPC", "EIO"],
    "write": ["ENOSPC", "EIO"],
    "pread64": ["EIO"],
    "fallocate": ["ENOSPC", "EIO", "EINTR"],
    "ftruncate": ["EIO"],
    "fsync": ["EIO", "ENOSPC"],
    "fdatasync": ["EIO", "ENOSPC"],
    "renameat2": ["EIO", "ENOSPC"],
    "renameat": ["EIO"],
    "mmap": ["ENOMEM"],
    "madvise": ["ENOMEM", "EFAULT"],
    "fstat": ["EIO"],
    "newfstatat": ["EIO"],
    "statx": ["EIO"],
    "flock": ["EIO"],
    "clone3": ["EAGAIN"],
}  # not epoll_ctl and timerfd_settime: Asio does not look whether those for its own timer succeed, and waits for ever


def can_trace(folder):
    log = folder / "probe"
    done = subprocess.run(["strace", "-f", "-o", log, "-e", "inject=chdir:error=EIO", "sh", "-c", "cd / 2>&-"], capture_output=True)
    return log.exists() and "(INJECTED)" in log.read_text(errors="replace") and done.returncode != 0


def main():
    program = sys.argv[1]
    points = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="shoal-calls-"))
    origin = None
    try:
        if shutil.which("strace") is None or not can_trace(folder):
            print("strace cannot trace here: nothing was run")
            return SKIPPED
        content = folder / "there" / "content"
        content.mkdir(parents=True)
        for number in range(3):
            (content / f"file {number}").write_bytes(os.urandom(SIZE // 3))
        torrent = folder / "content.torrent"
        subprocess.run([program, "create", content, "-o", torrent, "--piece-length", "64KiB", "--quiet"], check=True, env=CLEAN,
                       stdout=subprocess.DEVNULL)
        with socket.create_server(("127.0.0.1", 0)) as found:
            at = f"127.0.0.1:{found.getsockname()[1]}"
        log = (folder / "origin.log").open("wb")
        origin = subprocess.Popen([program, "seed", torrent, content.parent, "--listen", at, "--state", folder / "origin-state",
                                   "--json"], env=CLEAN, stdout=log, stderr=subprocess.STDOUT)
        while '"start"' not in (folder / "origin.log").read_text(errors="replace"):
            time.sleep(0.05)

        def fetch(into, tracer=()):
            words = [program, "get", torrent, "-o", into, "--listen", "127.0.0.1:0", "--connect", at, "--state", into / ".state",
                     "--no-pex"]
            return subprocess.run([str(word) for word in [*tracer, *words]], env=CLEAN, capture_output=True, text=True,
                                  errors="replace", timeout=PATIENCE)

        def is_whole(into):
            return all((into / "content" / path.name).exists()
                       and (into / "content" / path.name).read_bytes() == path.read_bytes() for path in content.iterdir())

        trace = folder / "trace"
        subprocess.run(["strace", "-o", trace, "-e", "trace=" + ",".join(CALLS), program, "--version"], check=True, env=CLEAN,
                       stdout=subprocess.DEVNULL)
        before = collections.Counter(line.split("(")[0] for line in trace.read_text(errors="replace").splitlines())
        struck = completed = drawn = 0
        while struck < points and drawn < 10 * points:
            drawn += 1
            call = draw.choice(sorted(CALLS))
            error = draw.choice(CALLS[call])
            n = before[call] + draw.randint(1, LAST_CALL)
            into = folder / f"run {drawn}"
            into.mkdir()
            what = f"{call} {error} when={n}"
            try:
                done = fetch(into, ["strace", "-f", "-o", trace, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={n}"])
                if "(INJECTED)" in trace.read_text(errors="replace"):
                    struck += 1
                    completed += done.returncode == 0
                    if done.returncode < 0 or done.returncode > 100:
                        raise SystemExit(f"{what}: ended by {done.returncode}: {done.stderr[-2000:]}")
                    if done.returncode == 0 and not is_whole(into):
                        raise SystemExit(f"{what}: says it is complete and is not")
                    if done.returncode != 0 and not done.stderr:
                        raise SystemExit(f"{what}: ended with {done.returncode} and said nothing")
                    again = fetch(into)
                    if again.returncode != 0 or not is_whole(into):
                        raise SystemExit(f"{what}: the next run ended with {again.returncode}: {again.stderr[-2000:]}")
            except subprocess.TimeoutExpired:
                raise SystemExit(f"{what}: it hangs") from None
            shutil.rmtree(into)
        print(f"{struck} calls failed, one in each run; {completed} of the runs completed all the same")
        return 0
    finally:
        if origin is not None:
            origin.kill()
            origin.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
