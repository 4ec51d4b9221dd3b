"""What the scripts of this folder share, besides what the tests of a failing machine have (tests/fault/rig.py)."""
import argparse
import os
import pathlib
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "fault"))
import rig  # noqa: E402, F401

LONE = ["--no-dht", "--no-lsd", "--no-utp"]


def arguments(doc, **more):
    """--bin, --folder, --runs, and `more`: NAME=(default, help)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"), help="folder of peer and tracker")
    parser.add_argument("--folder", type=pathlib.Path, help="where to put what is made (default: where temporary files go)")
    parser.add_argument("--runs", type=int, default=5)
    for name, (default, text) in more.items():
        parser.add_argument("--" + name, type=type(default), default=default, help=text)
    return parser.parse_args()


def place(options):
    """A folder that is gone in the end, and the programs that run in it."""
    return rig.Place(options.bin / "peer", options.bin / "tracker", options.folder)


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
