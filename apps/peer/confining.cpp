module;
#include <sys/stat.h>

#include <boost/json/array.hpp>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

module peer;
import shoal.sandbox;
import :confining;

namespace shoal::cli {
namespace {
namespace fs = std::filesystem;

/// Makes a folder, and those above, as the store does it later. Where that fails, the store finds out why, and says it.
fs::path made_folder(fs::path const& path, mode_t mode) {
    fs::path made;
    for (auto const& element : path) {
        made /= element;
        std::error_code error;
        if (!fs::exists(made, error)) ::mkdir(made.c_str(), mode);
    }
    return path;
}

constexpr mode_t for_content = 0755;
constexpr mode_t for_state = 0700;

sandbox::confinement needs_of_transfer(transfer_options const& options) {
    return {.writable = {made_folder(options.state, for_state)}, .asks_the_network = true};
}

/// Of what `get` and `--get` name, that which is a torrent file.
void add_files(sandbox::confinement& to, std::vector<std::string> const& targets) {
    std::error_code error;
    for (auto const& target : targets)
        if (fs::is_regular_file(target, error)) to.readable.emplace_back(target);
}

/// A folder is the same one as long as it is there. A file that is written anew is mostly another file under the old
/// name, so that it takes its folder to read it.
fs::path place_to_watch(fs::path const& path) {
    std::error_code error;
    auto const place = fs::canonical(path, error);
    return error || fs::is_directory(place, error) ? path : place.parent_path();
}

boost::json::array array_of(std::vector<fs::path> const& paths) {
    boost::json::array out;
    for (auto const& path : paths) out.emplace_back(path.string());
    return out;
}
}  // namespace

sandbox::confinement needs_of(create_options const& options) {
    auto const folder = options.torrent.parent_path();
    return {.readable = {options.source}, .writable = {folder.empty() ? fs::path{"."} : folder}};
}

sandbox::confinement needs_of(show_options const& options) {
    return {.readable = {options.target}};
}

sandbox::confinement needs_of(verify_options const& options) {
    return {.readable = {options.torrent, options.directory}};
}

sandbox::confinement needs_of(seed_options const& options) {
    auto needs = needs_of_transfer(options.transfer);
    needs.readable = {options.torrent, options.directory};
    return needs;
}

sandbox::confinement needs_of(get_options const& options) {
    auto needs = needs_of_transfer(options.transfer);
    add_files(needs, options.targets);
    needs.writable.push_back(made_folder(options.directory, for_content));
    return needs;
}

sandbox::confinement needs_of(find_options const&) {
    return {.asks_the_network = true};
}

sandbox::confinement needs_of(share_options const& options) {
    auto needs = needs_of_transfer(options.transfer);
    for (auto const& path : options.paths) needs.readable.push_back(place_to_watch(path));
    add_files(needs, options.fetch);
    if (!options.fetch.empty() && !options.directory.empty())
        needs.writable.push_back(made_folder(options.directory, for_content));
    return needs;
}

sandbox::confinement needs_of(console_options const& options) {
    auto needs = needs_of_transfer(options.transfer);
    needs.readable = {options.torrent};
    needs.writable.push_back(made_folder(options.directory, for_content));
    needs.has_a_line_editor = true;
    return needs;
}

void confine(sandbox::confinement const& needs, output_options const& told) {
    auto const held = sandbox::confine(needs);
    bool const is_transfer = needs.asks_the_network && !needs.writable.empty();
    if (!is_transfer) return;  // of a command that only answers, the answer is all there is to read
    output{told}.event("sandbox", {{"landlock", held.landlock},
                                   {"seccomp", held.seccomp},
                                   {"readable", array_of(needs.readable)},
                                   {"writable", array_of(needs.writable)}});
}
}  // namespace shoal::cli
