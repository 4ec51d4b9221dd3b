/// What a confined program can still do.
///
///     sandbox_probe FOLDER confined|free
///
/// Makes a scene in FOLDER, confines itself, tries everything, and prints a line for each action, separated by tabs:
/// `forbidden` or `allowed`, the version of Landlock that it depends on (0: seccomp alone), `ok` or an error number or
/// `killed`, and its name. The first line is `held`, the version of Landlock, and whether there is seccomp. `free` does
/// the same without a sandbox, so that it shows that the sandbox was what forbade it.
#include "probe.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

import shoal.sandbox;

namespace {
namespace fs = std::filesystem;

/// A socket in the abstract namespace that everybody on the machine could connect to.
void listen_abstract(std::string const& name) {
    auto const listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path + 1, name.data(), name.size());
    auto const length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    if (::bind(listener, reinterpret_cast<sockaddr const*>(&at), length) != 0 || ::listen(listener, 8) != 0)
        std::perror("abstract socket");
}

/// A process that ends with this one: by the end of a pipe, since who is confined can send it no signal, not even when
/// it dies.
pid_t start_stranger() {
    int both[2];
    if (::pipe2(both, O_CLOEXEC) != 0) return -1;
    auto const child = ::fork();
    if (child != 0) {
        ::close(both[0]);
        return child;
    }
    ::close(both[1]);
    char byte = 0;
    while (::read(both[0], &byte, 1) != 0) {}
    std::_Exit(0);
}

scene make_scene(fs::path const& folder) {
    scene made{folder / "inside", folder / "readable", folder / "outside", {}};
    for (auto const* each : {"inside/one", "inside/two", "readable", "outside/empty", "outside/home"})
        fs::create_directories(folder / each);
    for (auto const* each : {"inside/file", "inside/one/moved", "inside/to-move", "inside/to-exchange", "readable/file",
                             "single", "outside/file", "outside/to-delete", "outside/to-move", "outside/to-link",
                             "outside/to-exchange", "outside/home/.secret", "single.secret"})
        std::ofstream{folder / each} << "something to read";
    fs::create_symlink(made.outside / "file", made.inside / "way out");
    made.abstract_socket = "shoal-probe-" + std::to_string(::getpid());
    listen_abstract(made.abstract_socket);
    made.stranger = start_stranger();
    made.open_file = ::open((made.outside / "file").c_str(), O_RDWR);
    return made;
}

std::string result_of(action const& what) {
    auto const child = ::fork();
    if (child == 0) {
        int error = 0;
        try {
            error = what.run();
        } catch (std::exception const& why) {
            std::fprintf(stderr, "%s: %s\n", what.name.c_str(), why.what());
            error = 254;
        }
        std::_Exit(error);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status)) return "killed";
    return WEXITSTATUS(status) == 0 ? "ok" : std::to_string(WEXITSTATUS(status));
}

void report(char const* kind, std::vector<action> const& all) {
    for (auto const& each : all)
        std::printf("%s\t%d\t%s\t%s\n", kind, each.landlock, result_of(each).c_str(), each.name.c_str());
}
}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    std::setvbuf(stdout, nullptr, _IONBF, 0);  // what stands in a buffer would be written by each child
    auto const folder = fs::absolute(argv[1]);
    auto const at = make_scene(folder);
    shoal::sandbox::hold held;
    if (std::string_view{argv[2]} == "confined")
        held = shoal::sandbox::confine(
            {.readable = {at.readable, folder / "single"}, .writable = {at.inside}, .asks_the_network = true});
    if (!held.missing.empty()) std::fprintf(stderr, "%s\n", held.missing.c_str());
    std::printf("held\t%d\t%d\t\n", held.landlock, held.seccomp ? 1 : 0);
    report("allowed", allowed(at));
    report("forbidden", forbidden(at));
    return 0;
}
