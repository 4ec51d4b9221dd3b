#pragma once
#include <cstdint>
#include <string>

namespace CLI {
class App;
}

/// `tracker bench`: how many announces a tracker answers, how fast, and what that costs.
namespace bench {
struct options {
    std::string url;  ///< Of a tracker that runs; empty: one is started on this machine for it.
    std::uint32_t peers = 50'000, torrents = 1000, wanted = 50, window = 128;
    double seconds = 5;
    double rate = 0;  ///< Announces a second; 0: as fast as answers come.
};

/// The sub-command with its options.
CLI::App* declare(CLI::App& program, options& into);

/// Measures and prints a table, or an object a line. Returns the exit status.
int run(options const& how, bool is_json, bool is_quiet);
}  // namespace bench
