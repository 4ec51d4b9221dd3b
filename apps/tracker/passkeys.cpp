#include "passkeys.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "statuses.hpp"

import shoal.asio;
import shoal.core;
import shoal.hub;
import shoal.net;
import shoal.options;

namespace passkeys {
namespace {
using namespace shoal;

int complain(int status, std::string const& why) {
    std::cerr << "tracker: " << why << '\n';
    return status;
}

/// Of two that change the members at once, the second waits: neither change is lost.
struct alone {
    explicit alone(std::filesystem::path const& lock) : file(open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        while (file >= 0 && flock(file, LOCK_EX) != 0 && errno == EINTR) {}
    }
    alone(alone const&) = delete;
    alone& operator=(alone const&) = delete;
    ~alone() {
        if (file >= 0) close(file);
    }
    int file;  // where it cannot be made, nor can the members
};

std::string drawn() {
    asio::io_context unused;
    net::system_environment outside{unused.get_executor(), 1};
    return hub::new_passkey(outside.get().random);
}
}  // namespace

std::filesystem::path file_in(std::filesystem::path const& data) {
    return data / "members";
}

int run(std::filesystem::path const& data, std::vector<std::string> const& words) {
    auto const file = file_in(data);
    alone const while_here{data / "members.lock"};
    auto const read = hub::load_members(file);
    if (!read) return complain(status::failed, escaped(file.string()) + ": " + read.error().message());
    auto members = read.value();
    auto const& what = words.front();
    if (what == "list" && words.size() == 1) {
        for (auto const& each : members.names()) std::cout << each << '\n';
        return 0;
    }
    if ((what != "add" && what != "remove") || words.size() != 2)
        return complain(status::wrong_usage, "passkey takes add NAME, remove NAME, or list");
    auto const& name = words.back();
    std::string passkey;
    if (what == "add") {
        passkey = drawn();
        if (auto const added = members.add(name, passkey); !added)
            return complain(status::failed, escaped(name) + ": " + added.error().message());
    } else if (!members.remove(name)) {
        return complain(status::not_found, escaped(name) + " is no member");
    }
    try {
        options::atomic_file whole{file, 0600};
        whole.commit(as_bytes(members.text()));
    } catch (std::system_error const& why) {
        return complain(status::not_writable, "cannot write " + escaped(file.string()) + ": " + why.code().message());
    }
    if (!passkey.empty()) std::cout << passkey << '\n';
    return 0;
}
}  // namespace passkeys
