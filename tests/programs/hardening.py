#!/usr/bin/env python3
"""How the programs were built and linked (class M11): hardening.py PRESETS [--hardened] PROGRAM...

Of every program: position-independent, nothing writable and executable, nothing of the loader's left writable, code on
pages of its own, no folder of libraries of its own. With --hardened also what the preset `release` adds as far as a
program shows it. PRESETS is CMakePresets.json: every build but `release` has the assertions of the library, and `release`
is hardened.
"""
import json
import pathlib
import struct
import sys
import unittest

PRESETS, HARDENED, PROGRAMS = pathlib.Path(), False, []
LOAD, DYNAMIC, INTERPRETER, STACK, RELRO = 1, 2, 3, 0x6474e551, 0x6474e552  # types of segments
EXECUTABLE, WRITABLE = 1, 2
STRINGS, SYMBOLS, STRINGS_SIZE, RPATH, RUNPATH, FLAGS, FLAGS_1 = 5, 6, 10, 15, 29, 30, 0x6ffffffb  # of dynamic entries
BIND_NOW, NOW, PIE = 8, 1, 0x08000000
PAGE = 4096
X86_64, ENDBR64 = 62, b"\xf3\x0f\x1e\xfa"


class Elf:
    """A 64-bit little-endian program, as far as the loader looks at it."""

    def __init__(self, path):
        self.name, self.bytes = path.name, path.read_bytes()
        assert self.bytes[:6] == b"\x7fELF\x02\x01", f"{path} is no program of this machine"
        self.machine, = struct.unpack_from("<H", self.bytes, 18)
        start, = struct.unpack_from("<Q", self.bytes, 32)
        size, count = struct.unpack_from("<HH", self.bytes, 54)
        self.segments = [struct.unpack_from("<IIQQQQQQ", self.bytes, start + i * size) for i in range(count)]
        _, _, at, _, _, length, _, _ = next(each for each in self.segments if each[0] == DYNAMIC)
        self.dynamic = dict(struct.unpack_from("<QQ", self.bytes, at + i) for i in range(0, length, 16))

    def flags(self, of_type):
        """The permissions of each segment of a type."""
        return [flags for kind, flags, *_ in self.segments if kind == of_type]

    def at(self, address):
        """Where in the file the byte of an address is."""
        for kind, _, offset, start, _, length, _, _ in self.segments:
            if kind == LOAD and start <= address < start + length:
                return offset + address - start
        raise AssertionError(f"nothing at {address:#x}")

    def names(self):
        """Of the functions that it takes from libraries, and of those it shows them."""
        start = self.at(self.dynamic[STRINGS])
        return set(self.bytes[start:start + self.dynamic[STRINGS_SIZE]].decode().split("\0"))

    def pages(self, executable):
        """The pages of the file that are mapped with or without the right to execute."""
        return {page for kind, flags, offset, _, _, length, _, _ in self.segments if kind == LOAD and length
                and bool(flags & EXECUTABLE) == executable for page in range(offset // PAGE, (offset + length - 1) // PAGE + 1)}


class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.programs = [Elf(path) for path in PROGRAMS]

    def test_they_lie_at_an_address_that_nobody_knows(self):
        for program in self.programs:
            self.assertTrue(program.flags(INTERPRETER) and program.dynamic.get(FLAGS_1, 0) & PIE, program.name)

    def test_nothing_is_writable_and_executable(self):
        for program in self.programs:
            self.assertEqual([flags & EXECUTABLE for flags in program.flags(STACK)], [0], program.name)
            self.assertNotIn(EXECUTABLE | WRITABLE, [flags & (EXECUTABLE | WRITABLE) for flags in program.flags(LOAD)],
                             program.name)

    def test_code_has_pages_of_its_own(self):
        for program in self.programs:
            self.assertFalse(program.pages(True) & program.pages(False), program.name)

    def test_what_the_loader_has_resolved_cannot_be_changed(self):
        for program in self.programs:
            self.assertTrue(program.flags(RELRO), program.name)
            self.assertTrue(program.dynamic.get(FLAGS, 0) & BIND_NOW or program.dynamic.get(FLAGS_1, 0) & NOW, program.name)

    def test_libraries_come_from_the_system_alone(self):
        for program in self.programs:
            self.assertFalse({RPATH, RUNPATH} & program.dynamic.keys(), program.name)

    def test_stacks_and_jumps_are_checked(self):
        if not HARDENED:
            self.skipTest("of the preset release")
        for program in self.programs:
            self.assertIn("__stack_chk_fail", program.names(), program.name)
            if program.machine == X86_64:  # -fcf-protection: where a jump may lead is marked, at some function in two
                self.assertGreater(program.bytes.count(ENDBR64), 1000, program.name)


class Presets(unittest.TestCase):
    def test_each_but_release_has_assertions_and_release_is_hardened(self):
        presets = {each["name"]: each.get("cacheVariables", {}) for each in json.loads(PRESETS.read_text())["configurePresets"]
                   if not each.get("hidden")}
        self.assertGreater(len(presets), 3)
        self.assertEqual(presets.pop("release").get("SHOAL_HARDEN"), "ON")
        for name, variables in presets.items():
            self.assertIn("-D_GLIBCXX_ASSERTIONS", variables.get("CMAKE_CXX_FLAGS", ""), name)


if __name__ == "__main__":
    PRESETS = pathlib.Path(sys.argv.pop(1))
    PROGRAMS = [pathlib.Path(word) for word in sys.argv[1:] if word != "--hardened"]
    HARDENED = "--hardened" in sys.argv
    unittest.main(argv=sys.argv[:1], verbosity=2)
