#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

/// `tracker doctor`: whether this machine is fit for a hub, and what to change.
namespace doctor {
/// The hub that is to run here.
struct plan {
    std::filesystem::path data;
    std::vector<std::string> listen;  ///< `IP:PORT`
    bool is_listen_default = false;   ///< Then it does without an IPv6 address that the machine does not have.
    std::uint64_t connections = 0;    ///< `--connections-max`
    std::uint64_t nodes = 0;          ///< `--nodes-max`
    std::uint64_t memory = 0;         ///< `--memory-limit`, bytes
    bool is_confined = false;         ///< It can write in `data` alone, and keeps temporary files there too.
};

enum class format { text, json };

/// Looks, changes nothing, and prints a line for each check on standard output; unless `is_quiet`, a summary of the
/// text form on standard error. Returns the exit status: failed when anything is bad.
///
/// To be called before the limit of open files is raised.
int run(plan const& hub, format shape, bool is_quiet);
}  // namespace doctor
