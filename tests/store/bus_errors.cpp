#include <catch2/catch.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fixture.hpp"
using namespace fixture;

// SIGBUS that is not of a guarded copy. The guard is set up once for a process, on top of the handler that it finds:
// each case is a process of its own, this program again with its part in the environment.
namespace {
constexpr auto part_variable = "SHOAL_BUS_ERROR";
constexpr auto name = "a bus error that no guard waits for goes to whoever handled it before";

sig_atomic_t volatile heard = 0;
void hear(int) {
    heard = 1;
}
void hear_all(int, siginfo_t* info, void*) {
    heard = info->si_pid == getpid() ? 2 : 0;
}

/// The status that this program ends with when it plays a part.
int status_of(char const* part) {
    auto const child = fork();
    if (child == 0) {
        setenv(part_variable, part, 1);
        auto const nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        execl("/proc/self/exe", "store_tests", name, nullptr);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

/// A page of a file that was cut behind its back.
std::byte volatile* dead_page() {
    temporary_folder const folder;
    write_file(folder.path() / "file", byte_vector(4096));
    auto const file = open((folder.path() / "file").c_str(), O_RDWR | O_CLOEXEC);
    auto* const page = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
    REQUIRE(page != MAP_FAILED);
    REQUIRE(ftruncate(file, 0) == 0);
    close(file);
    return static_cast<std::byte volatile*>(page);
}

void play(std::string_view part) {
    struct sigaction before{};
    before.sa_handler = SIG_DFL;
    if (part == "plain") before.sa_handler = hear;
    if (part == "informed") {
        before.sa_sigaction = hear_all;
        before.sa_flags = SA_SIGINFO;
    }
    REQUIRE(sigaction(SIGBUS, &before, nullptr) == 0);
    store::install_bus_guard();
    if (part == "loads") {
        (void)*dead_page();
        return;
    }
    raise(SIGBUS);
    if (part == "plain") CHECK(heard == 1);
    if (part == "informed") CHECK(heard == 2);
    if (part != "none") return;
    struct sigaction now{};
    REQUIRE(sigaction(SIGBUS, nullptr, &now) == 0);
    CHECK(now.sa_handler == SIG_DFL);  // the next one is deadly
}
}  // namespace

TEST_CASE("a bus error that no guard waits for goes to whoever handled it before", "[store]") {
    if (auto const* const part = std::getenv(part_variable)) return play(part);
    for (auto const* const part : {"plain", "informed", "none"}) {
        INFO(part);
        CHECK(status_of(part) == 0);
    }
    auto const status = status_of("loads");
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGBUS);
}
