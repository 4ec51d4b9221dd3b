module;
#include <cstdint>
#include <filesystem>

/// The least work that moving content from one process to another takes: what `peer bench` compares with.
export module peer:raw_copy;
import shoal.measure;

namespace shoal::cli {
/// What a copy took.
struct copied {
    measure::seconds wall{}, cpu{};  ///< CPU of both sides.
};

/// One process sends `from` with sendfile, another receives it, takes SHA-1 of each piece in a second thread and writes
/// it to `to`, over TCP on 127.0.0.1. No protocol, no journal, one file. Throws `failure` and `std::system_error`.
copied copy_raw(std::filesystem::path const& from, std::filesystem::path const& to, std::uint32_t piece_length);
}  // namespace shoal::cli
