#!/usr/bin/env python3
"""Shows that check.py can fail: a small sound tree passes, and each fault put into it is named."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import check

NEW_LINE = "\n"


def sound_tree():
    """Every room with a primary interface, and in some a partition and a body; path -> text."""
    files = {
        "modules/shoal.cppm": "export module shoal;\n"
        + "".join(f"export import shoal.{room};\n" for room in check.MAY_IMPORT),
        "modules/CMakeLists.txt": "shoal_module(shoal INTERFACE shoal.cppm)\n",
        "apps/peer/main.cpp": "#include <cstdio>\nimport shoal.engine;\nimport shoal;\nauto t = clock::now();\n",
        "tests/wire/a.cpp": "#include <catch2/catch.hpp>\n\nimport shoal.wire;\nimport shoal.testing;\n",
        "bench/a.cpp": "#include <vector>\nimport shoal.picker;\nauto t = clock::now();\n",
        "bench/CMakeLists.txt": "# file(GLOB) is not used\nshoal_bench(a SOURCES a.cpp)\n",
    }
    for room, imports in check.MAY_IMPORT.items():
        files[f"modules/{room}/CMakeLists.txt"] = f"shoal_module({room} INTERFACE {room}.cppm BODIES body.cpp)\n"
        files[f"modules/{room}/{room}.cppm"] = f"module;\n#include <span>\nexport module shoal.{room};\n" + "".join(
            f"import shoal.{other};\n" for other in imports
        )
        files[f"modules/{room}/body.cpp"] = f"module;\n#include <span>\nmodule shoal.{room};\n"
    return files


class CheckTest(unittest.TestCase):
    def setUp(self):
        self.files = sound_tree()

    def complaints(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in self.files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check.Checker(folder).run()

    def expect(self, *complaints):
        self.assertEqual(self.complaints(), sorted(complaints))

    def append(self, name, text):
        self.files[name] += text

    def test_a_sound_tree_passes(self):
        self.expect()

    # rooms

    def test_a_folder_whose_module_has_another_name(self):
        self.files["modules/wire/wire.cppm"] = "export module shoal.wires;\n"
        self.expect("modules/wire/wire.cppm: is no unit of shoal.wire")

    def test_a_folder_whose_primary_interface_is_a_partition(self):
        self.files["modules/wire/wire.cppm"] = "export module shoal.wire:part;\n"
        self.expect("modules/wire/wire.cppm: is not the primary interface of shoal.wire")

    def test_a_folder_without_a_primary_interface(self):
        del self.files["modules/wire/wire.cppm"]
        self.files["modules/wire/CMakeLists.txt"] = "shoal_module(wire BODIES body.cpp)\n"
        self.expect("modules/wire: has no primary interface wire.cppm")

    def test_a_body_of_another_module(self):
        self.files["modules/wire/body.cpp"] = "module shoal.picker;\n"
        self.expect("modules/wire/body.cpp: is no unit of shoal.wire")

    def test_a_body_of_no_module(self):
        self.files["modules/wire/body.cpp"] = "// module shoal.wire;\nint x;\n"
        self.expect("modules/wire/body.cpp: is no unit of shoal.wire")

    def test_a_room_without_a_row(self):
        self.files["modules/mse/mse.cppm"] = "export module shoal.mse;\nimport shoal.core;\n"
        self.files["modules/mse/CMakeLists.txt"] = "shoal_module(mse INTERFACE mse.cppm)\n"
        self.expect(
            "modules/mse: the room mse has no row in check.py",
            "modules/mse/mse.cppm:2: mse may not import shoal.core",
        )

    # imports

    def test_imports_downwards_and_sideways(self):
        complaints = []
        for room, other in [
            ("asio", "core"), ("core", "asio"), ("core", "bencode"), ("core", "net"), ("bencode", "hash"),
            ("hash", "bencode"), ("hash", "metainfo"), ("metainfo", "wire"), ("metainfo", "asio"), ("wire", "picker"),
            ("picker", "choker"), ("announce", "registry"), ("registry", "net"), ("wire", "store"), ("choker", "asio"),
            ("announce", "engine"), ("wire", "wire"), ("net", "store"), ("store", "net"), ("net", "engine"),
            ("store", "hub"), ("engine", "hub"), ("hub", "engine"), ("engine", "testing"), ("engine", "core.text"),
        ]:  # fmt: skip
            body = f"modules/{room}/body.cpp"
            self.append(body, f"export import shoal.{other};\n")
            complaints.append(f"{body}:{self.files[body].count(NEW_LINE)}: {room} may not import shoal.{other}")
        self.expect(*complaints)

    def test_an_import_of_the_facade(self):
        self.append("modules/hub/body.cpp", "import shoal;\n")
        self.expect("modules/hub/body.cpp:4: hub may not import shoal")

    def test_the_second_import_of_a_line(self):
        self.append("modules/wire/body.cpp", "import :part; import shoal.net;\n")
        self.expect("modules/wire/body.cpp:4: wire may not import shoal.net")

    def test_the_facade_imports_rooms_only(self):
        self.append("modules/shoal.cppm", "export import shoal.testing;\n")
        self.expect(f"modules/shoal.cppm:{len(check.MAY_IMPORT) + 2}: shoal may not import shoal.testing")

    # what a unit names

    def test_a_clock_or_a_random_device_in_a_core(self):
        complaints = []
        for room in check.PURE:
            body, primary = f"modules/{room}/body.cpp", f"modules/{room}/{room}.cppm"
            self.append(body, "auto a = clock :: now( );\nstd::random_device b;\nauto c = clock_gettime (d, e);\n")
            self.append(primary, "inline auto a = clock::now();\n")
            complaints += [
                f"{body}:4: names a clock: time is an argument here",
                f"{body}:5: names a random device: randomness is a seed here",
                f"{body}:6: names a clock: time is an argument here",
                f"{primary}:{self.files[primary].count(NEW_LINE)}: names a clock: time is an argument here",
            ]
        self.expect(*complaints)

    def test_a_clock_in_a_header_of_a_core(self):
        self.files["modules/core/try.hpp"] = "#define NOW std::chrono::steady_clock::now()\n"
        self.expect("modules/core/try.hpp:1: names a clock: time is an argument here")

    def test_rooms_below_the_cores_may_read_the_clock(self):
        for room in check.OUTSIDE + check.DRIVERS:
            self.append(f"modules/{room}/body.cpp", "auto a = clock::now();\nstd::random_device b;\n")
        self.expect()

    def test_random_numbers_that_can_be_guessed(self):
        what = "names random numbers that can be guessed: take those of net::random"
        for room in ("engine", "net", "hub"):
            self.append(f"modules/{room}/body.cpp", "std::mt19937 a;\nint b = rand();\nauto c = outside.random.next();\n")
        self.append("modules/store/body.cpp", "std::mt19937_64 a;\n")
        self.expect(*(f"modules/{room}/body.cpp:{line}: {what}" for room in ("engine", "net", "hub") for line in (4, 5)))

    def test_a_hub_that_connects(self):
        what = "names a connection of its own: a hub fetches nothing for strangers"
        self.append("modules/hub/body.cpp", "auto a = net::http_get(b, c);\nauto d = outside.network.connect(e);\n")
        self.append("modules/engine/body.cpp", "auto a = net::http_get(b, c);\n")
        self.expect(f"modules/hub/body.cpp:4: {what}", f"modules/hub/body.cpp:5: {what}")

    def test_a_detached_coroutine(self):
        for room in check.MAY_IMPORT:
            self.append(f"modules/{room}/body.cpp", "void f() { co_spawn(e, g(), boost::asio::detached); }\n")
        what = "names asio::detached: a coroutine has an owner that joins it"
        self.expect(*(f"modules/{room}/body.cpp:4: {what}" for room in check.MAY_IMPORT if room != "asio"))

    def test_asio_and_beast_included_outside_the_facade(self):
        complaints = []
        for name, header in [
            ("modules/core/body.cpp", "boost/asio.hpp"),
            ("modules/wire/body.cpp", "boost/asio/ip/tcp.hpp"),
            ("modules/net/body.cpp", "boost/beast/http.hpp"),
            ("apps/peer/main.cpp", "boost/asio/signal_set.hpp"),
            ("tests/wire/a.cpp", "boost/beast.hpp"),
            ("bench/a.cpp", "boost/asio.hpp"),
        ]:
            self.files[name] = f'#include <{header}>\n # include "{header}"\n' + self.files[name]
            complaints += [f"{name}:{line}: includes {header}: import shoal.asio" for line in (1, 2)]
        self.expect(*complaints)

    def test_the_facade_includes_asio(self):
        self.files["modules/asio/asio.cppm"] = (
            "module;\n#include <boost/asio.hpp>\n#include <boost/beast.hpp>\nexport module shoal.asio;\n"
        )
        self.expect()

    def test_headers_with_similar_names(self):
        for header in ("boost/asiox.hpp", "boost/outcome.hpp", "asio.hpp"):
            self.files["bench/a.cpp"] = f"#include <{header}>\n" + self.files["bench/a.cpp"]
        self.expect()

    def test_comments_and_literals_name_nothing(self):
        self.append(
            "modules/wire/body.cpp",
            "// import shoal.net; clock::now()\n/* #include <boost/asio.hpp>\nimport shoal.net;\nasio::detached */\n"
            'auto a = "clock::now() // \\"asio::detached";\nauto b = R"x(\nimport shoal.net;\n)" clock::now() )x";\n'
            "auto c = '\"'; auto d = 1'000'000; // clock::now()\nauto e = '\\''; // clock::now()\n",
        )
        self.expect()

    def test_code_behind_comments_and_literals_is_seen(self):
        self.append(
            "modules/wire/body.cpp",
            "auto a = \"\\\\\"; /* '\n */ auto b = clock::now();\nauto c = 1'000, d = clock::now(), e = 2'000;\n"
            "auto f = '\"', g = clock::now(), h = '\"';\n",
        )
        what = "names a clock: time is an argument here"
        self.expect(*(f"modules/wire/body.cpp:{line}: {what}" for line in (5, 6, 7)))

    # order

    def test_an_include_below_an_import(self):
        complaints = []
        for name in ("apps/peer/main.cpp", "tests/wire/a.cpp", "bench/a.cpp", "modules/net/net.cppm"):
            self.append(name, "  #  include <map>\n")
            line = self.files[name].count(NEW_LINE)
            complaints.append(f"{name}:{line}: includes map below an import or module line")
        self.expect(*complaints)

    def test_an_include_in_the_purview_of_a_module(self):
        self.append("modules/wire/body.cpp", '#include "core/try.hpp"\n')
        self.expect("modules/wire/body.cpp:4: includes core/try.hpp below an import or module line")

    # CMake

    def test_globs(self):
        self.files["CMakeLists.txt"] = "file(GLOB files *.cpp)\n"
        self.files["cmake/shoal.cmake"] = "#\nFILE ( glob_recurse files *.cpp)\n"
        self.append("bench/CMakeLists.txt", "file(GLOB_RECURSE files *.cpp)\n")
        self.expect(
            "CMakeLists.txt:1: globs: files are listed",
            "bench/CMakeLists.txt:3: globs: files are listed",
            "cmake/shoal.cmake:2: globs: files are listed",
        )

    def test_globs_of_others_are_theirs(self):
        for name in ("build/dev/CMakeLists.txt", ".tools/a.cmake", "web/node_modules/a/CMakeLists.txt"):
            self.files[name] = "file(GLOB files *)\n"
        self.expect()

    def test_a_unit_that_is_not_listed(self):
        self.files["modules/wire/more.cpp"] = "module shoal.wire;\n"
        self.files["modules/wire/part.cppm"] = "export module shoal.wire:part;\n"
        self.append("modules/wire/CMakeLists.txt", "# more.cpp and part.cppm come later; xpart.cppm\n")
        self.expect(
            "modules/wire/more.cpp: is listed in no CMakeLists.txt",
            "modules/wire/part.cppm: is listed in no CMakeLists.txt",
        )

    def test_a_unit_whose_name_ends_like_one_that_is_listed(self):
        self.files["modules/wire/anybody.cpp"] = "module shoal.wire;\n"
        self.files["modules/wire/CMakeLists.txt"] = "shoal_module(wire INTERFACE wire.cppm BODIES anybody.cpp)\n"
        self.expect("modules/wire/body.cpp: is listed in no CMakeLists.txt")

    def test_a_unit_of_a_room_without_a_list(self):
        del self.files["modules/wire/CMakeLists.txt"]
        self.expect(
            "modules/wire/body.cpp: is listed in no CMakeLists.txt",
            "modules/wire/wire.cppm: is listed in no CMakeLists.txt",
        )

    def test_a_listed_unit_that_does_not_exist(self):
        self.append("modules/wire/CMakeLists.txt", "target_sources(shoal_wire PRIVATE sub/more.cpp)\n")
        self.expect("modules/wire/CMakeLists.txt: lists sub/more.cpp, which does not exist")

    # the program

    def test_the_exit_code_tells_whether_there_are_complaints(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
            Path(folder, "modules").mkdir()
            self.assertEqual(check.main([folder]), 0)
            self.assertEqual(said.getvalue(), "")
            Path(folder, "modules", "mse").mkdir()
            self.assertEqual(check.main([folder]), 1)
            self.assertIn("modules/mse: has no primary interface mse.cppm\n", said.getvalue())


if __name__ == "__main__":
    unittest.main()
