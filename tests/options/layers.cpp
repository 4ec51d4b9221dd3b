#include "options/layers.hpp"

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

import shoal.core;
import shoal.options;

using namespace shoal;

namespace {
/// One run of a program with two options, `--limit SIZE` and `--listen ADDRESS...`.
struct program {
    CLI::App app{"test", "test"};
    std::uint64_t limit = 1;
    std::vector<endpoint> listen{*endpoint::parse("1.1.1.1:1")};
    bool is_quiet = false;
    std::optional<int> status;

    explicit program(std::vector<char const*> arguments) {
        options::add(app, "--upload-limit", limit, options::parse_size, "a size", "");
        options::add(app, "--listen", listen, options::parse_address, "an address", "");
        app.add_flag("--quiet", is_quiet);
        arguments.insert(arguments.begin(), "test");
        status = options::read(app, static_cast<int>(arguments.size()), arguments.data());
    }
};
struct environment {
    explicit environment(std::string name, std::string const& value) : name_(std::move(name)) {
        setenv(name_.c_str(), value.c_str(), 1);
    }
    environment(environment const&) = delete;
    environment& operator=(environment const&) = delete;
    ~environment() { unsetenv(name_.c_str()); }
    std::string name_;
};
struct file {
    explicit file(std::string const& content) { std::ofstream(path) << content; }
    file(file const&) = delete;
    file& operator=(file const&) = delete;
    ~file() { std::remove(path); }
    char const* path = "options_tests.toml";
};
}  // namespace

TEST_CASE("an option comes from the command line, else the environment, else the file, else its default", "[options]") {
    CHECK(program({}).limit == 1);
    file const settings("upload_limit = \"2kB\"\nlisten = [\"[::1]:5\", \"2.2.2.2:2\"]\nquiet = true\n");
    CHECK(program({"--config", settings.path}).limit == 2000);
    CHECK(program({"--config", settings.path}).listen.size() == 2);
    CHECK(program({"--config", settings.path}).is_quiet);
    environment const variable("SHOAL_UPLOAD_LIMIT", "3kB");
    CHECK(program({"--config", settings.path}).limit == 3000);
    CHECK(program({"--config", settings.path, "--upload-limit", "4kB"}).limit == 4000);
    environment const config("SHOAL_CONFIG", settings.path);
    CHECK(program({}).listen.size() == 2);
}

TEST_CASE("several values come from repetition or from a list", "[options]") {
    auto const given = program({"--listen", "3.3.3.3:3", "--listen", "4.4.4.4:4"}).listen;
    CHECK(given == std::vector{*endpoint::parse("3.3.3.3:3"), *endpoint::parse("4.4.4.4:4")});
    environment const variable("SHOAL_LISTEN", " 5.5.5.5:5 6.6.6.6:6");
    CHECK(program({}).listen.size() == 2);
}

TEST_CASE("wrong usage is status 2, help is status 0", "[options]") {
    CHECK(program({"--help"}).status == 0);
    CHECK_FALSE(program({}).status);
    CHECK(program({"--upload-limit", "much"}).status == 2);
    CHECK(program({"--upload-limit"}).status == 2);
    CHECK(program({"--nonsense"}).status == 2);
    CHECK(program({"stray"}).status == 2);
    CHECK(program({"--listen", "nowhere"}).status == 2);
    CHECK(program({"--config", "does-not-exist.toml"}).status == 2);
    for (auto const content :
         {"upload_limit = \"much\"", "unknown = 1", "upload-limit = [", "upload-limit = {a = 1}"}) {
        file const settings(content);
        INFO(content);
        CHECK(program({"--config", settings.path}).status == 2);
    }
    environment const variable("SHOAL_UPLOAD_LIMIT", "much");
    CHECK(program({}).status == 2);
}
