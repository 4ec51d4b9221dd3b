"""What the scripts of this folder share."""
import argparse
import contextlib
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import tempfile
import time


def arguments(doc, **more):
    """--bin, --folder, --runs, and `more`: NAME=(default, help)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"), help="folder of peer and tracker")
    parser.add_argument("--folder", type=pathlib.Path, help="where to put what is made (default: where temporary files go)")
    parser.add_argument("--runs", type=int, default=5)
    for name, (default, text) in more.items():
        parser.add_argument("--" + name, type=type(default), default=default, help=text)
    parsed = parser.parse_args()
    parsed.bin = parsed.bin.resolve()
    return parsed


@contextlib.contextmanager
def work_folder(given):
    """A folder of its own that is gone in the end."""
    with tempfile.TemporaryDirectory(prefix="shoal-figures-", dir=given) as name:
        yield pathlib.Path(name)


def run(*command):
    """Runs a command that must succeed: seconds of wall, and of processor."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([str(each) for each in command], capture_output=True, check=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def random_file(path, size):
    with open(path, "wb") as out:
        while size > 0:
            size -= out.write(os.urandom(min(size, 1 << 20)))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_tracker(options, folder):
    """A tracker that takes connections: its process, and its port."""
    port = free_port()
    process = subprocess.Popen([options.bin / "tracker", "--listen", f"127.0.0.1:{port}", "--data", folder, "--quiet"],
                               stdout=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, port
        except ConnectionRefusedError:
            if process.poll() is not None:
                raise SystemExit("the tracker has ended") from None
            time.sleep(0.0003)


def stop(process):
    process.terminate()
    process.wait()


def median(values):
    return statistics.median(values)


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def anonymous_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise ValueError(line)


def wait_until(what, happened, seconds=600):
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)
