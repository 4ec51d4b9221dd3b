module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

module shoal.testing;
import shoal.core;
import shoal.metainfo;

namespace shoal::testing {
namespace fs = std::filesystem;

namespace {
byte_vector random_bytes(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    byte_vector bytes(size);
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < size; ++i, bits >>= 8) {
        if (i % 8 == 0) bits = random();
        bytes[i] = static_cast<std::byte>(bits);
    }
    return bytes;
}

std::vector<std::string> elements_of(std::string const& path) {
    std::vector<std::string> elements;
    for (auto const& each : fs::path(path)) elements.push_back(each.string());
    return elements;
}
}  // namespace

byte_view content::block(block_ref block) const {
    return byte_view{linear}.subspan(torrent->pieces().offset_of(block), block.length);
}

fs::path content::path_of(fs::path const& folder, std::size_t file) const {
    auto const joined = torrent->content().files()[file].joined();
    return torrent->single_file() ? folder / joined : folder / torrent->name() / joined;
}

void content::place(fs::path const& folder) const {
    for (std::size_t i = 0; i < files.size(); ++i) {
        if (torrent->content().files()[i].pad) continue;
        auto const path = path_of(folder, i);
        fs::create_directories(path.parent_path());
        std::ofstream out(path, std::ios::binary | std::ios::trunc);
        out.write(reinterpret_cast<char const*>(files[i].data()), static_cast<std::streamsize>(files[i].size()));
    }
}

bool content::is_in(fs::path const& folder) const {
    for (std::size_t i = 0; i < files.size(); ++i) {
        if (torrent->content().files()[i].pad) continue;
        auto const path = path_of(folder, i);
        if (!fs::is_regular_file(path)) return false;
        std::ifstream in(path, std::ios::binary);
        std::string const text((std::istreambuf_iterator<char>(in)), {});
        if (!std::ranges::equal(as_bytes(text), files[i])) return false;
    }
    return true;
}

content make_content(std::vector<std::pair<std::string, std::size_t>> const& files, content_settings const& with) {
    bool const is_single = files.size() == 1 && files[0].first.find('/') == std::string::npos;
    metainfo::source source;
    source.name = is_single ? files[0].first : with.name;
    source.single_file = is_single;
    std::vector<byte_vector> bytes;
    std::map<std::string, std::size_t> by_path;
    for (auto const& [path, size] : files) {
        by_path[path] = bytes.size();
        bytes.push_back(random_bytes(size, with.seed * 1000 + bytes.size()));
        source.files.push_back({elements_of(path), size, false});
    }
    source.read = [&](std::size_t file, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
        auto const rest = byte_view{bytes[file]}.subspan(offset);
        auto const count = std::min(into.size(), rest.size());
        std::copy_n(rest.begin(), count, into.begin());
        return count;
    };
    metainfo::make_options options;
    options.format = with.format;
    options.piece_length = with.piece_length;
    options.threads = 1;
    options.is_private = with.is_private;
    for (auto const& each : with.trackers) options.trackers.push_back({each});
    content made;
    made.metainfo = metainfo::make_torrent(source, options).value();
    made.torrent = std::make_shared<metainfo::torrent const>(metainfo::parse_torrent(made.metainfo).value());
    for (auto const& file : made.torrent->content().files()) {
        made.files.push_back(file.pad ? byte_vector(file.size) : bytes[by_path.at(file.joined())]);
        made.linear.insert(made.linear.end(), made.files.back().begin(), made.files.back().end());
    }
    return made;
}

temporary_folder::temporary_folder() {
    auto pattern = (fs::temp_directory_path() / "shoal-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
}

temporary_folder::~temporary_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}
}  // namespace shoal::testing
