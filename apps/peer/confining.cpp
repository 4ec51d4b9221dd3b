module;
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

module peer;
import shoal.sandbox;
import :confining;

namespace shoal::cli {
namespace {
namespace fs = std::filesystem;

/// Makes a folder, and those above, as the store would do it later. Those that were not there, from the outermost on.
/// Where it fails, the store finds out why, and says it.
std::vector<fs::path> make_folder(fs::path const& path, mode_t mode) {
    std::vector<fs::path> made;
    fs::path at;
    for (auto const& element : fs::absolute(path)) {
        at /= element;
        std::error_code error;
        if (!element.empty() && !fs::exists(at, error) && ::mkdir(at.c_str(), mode) == 0) made.push_back(at);
    }
    return made;
}

void add_content(ground& to, fs::path const& folder) {
    to.made = make_folder(folder, 0755);
    if (!to.made.empty()) to.to.swept.push_back(to.made.front().parent_path());
    to.to.writable.push_back(folder);
}

ground ground_of_transfer(transfer_options const& options) {
    make_folder(options.state, 0700);
    return {{.writable = {options.state}, .asks_the_network = true}};
}

/// Of what `get` and `--get` name, that which is a torrent file.
void add_files(ground& to, std::vector<std::string> const& targets) {
    std::error_code error;
    for (auto const& target : targets)
        if (fs::is_regular_file(target, error)) to.to.readable.emplace_back(target);
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

ground ground_of(create_options const& options) {
    auto const folder = options.torrent.parent_path();
    return {{.readable = {options.source}, .writable = {folder.empty() ? fs::path{"."} : folder}}};
}

ground ground_of(show_options const& options) {
    return {{.readable = {options.target}}};
}

ground ground_of(verify_options const& options) {
    return {{.readable = {options.torrent, options.directory}}};
}

ground ground_of(seed_options const& options) {
    auto on = ground_of_transfer(options.transfer);
    on.to.readable = {options.torrent, options.directory};
    return on;
}

ground ground_of(get_options const& options) {
    auto on = ground_of_transfer(options.transfer);
    add_files(on, options.targets);
    add_content(on, options.directory);
    return on;
}

ground ground_of(find_options const&) {
    return {{.asks_the_network = true}};
}

ground ground_of(share_options const& options) {
    auto on = ground_of_transfer(options.transfer);
    for (auto const& path : options.paths) on.to.readable.push_back(place_to_watch(path));
    add_files(on, options.fetch);
    if (!options.fetch.empty() && !options.directory.empty()) add_content(on, options.directory);
    return on;
}

ground ground_of(console_options const& options) {
    auto on = ground_of_transfer(options.transfer);
    on.to.readable = {options.torrent};
    add_content(on, options.directory);
    on.to.has_a_line_editor = true;
    return on;
}

confined::confined(ground on, output_options const& told) : on_(std::move(on)) {
    auto const held = sandbox::confine(on_.to);
    bool const is_transfer = on_.to.asks_the_network && !on_.to.writable.empty();
    if (!is_transfer) return;  // of a command that only answers, the answer is all there is to read
    output{told}.event("sandbox", {{"landlock", held.landlock},
                                   {"seccomp", held.seccomp},
                                   {"readable", array_of(on_.to.readable)},
                                   {"writable", array_of(on_.to.writable)}});
}

confined::~confined() {
    for (auto made = on_.made.rbegin(); made != on_.made.rend(); ++made) ::rmdir(made->c_str());  // none that is in use
}
}  // namespace shoal::cli
