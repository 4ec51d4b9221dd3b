#pragma once
// What the store's tests share. Include it last: it imports.
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

import shoal.core;
import shoal.metainfo;
import shoal.store;

namespace fixture {
using namespace shoal;
namespace fs = std::filesystem;

/// A folder that goes away with the test.
class temporary_folder {
public:
    temporary_folder() {
        auto pattern = (fs::temp_directory_path() / "shoal-store-XXXXXX").string();
        if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = pattern;
    }
    ~temporary_folder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    temporary_folder(temporary_folder const&) = delete;
    temporary_folder& operator=(temporary_folder const&) = delete;
    fs::path const& path() const { return path_; }

private:
    fs::path path_;
};

inline byte_vector random_bytes(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    byte_vector bytes(size);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    return bytes;
}

inline byte_vector read_file(fs::path const& path) {
    std::ifstream in(path, std::ios::binary);
    std::string const text((std::istreambuf_iterator<char>(in)), {});
    auto const bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

inline void write_file(fs::path const& path, byte_view bytes) {
    fs::create_directories(path.parent_path());
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

/// A torrent and what belongs into it.
struct sample {
    std::shared_ptr<metainfo::torrent const> torrent;
    std::map<std::string, byte_vector> files;  // by path below the root; of a single file by its name
    byte_vector linear;                        // all bytes, pad files included

    byte_view piece(std::uint32_t number) const {
        auto const& pieces = torrent->pieces();
        return byte_view{linear}.subspan(pieces.offset_of(piece_index{number}), pieces.piece_size(piece_index{number}));
    }
    byte_view block(block_ref block) const {
        return byte_view{linear}.subspan(torrent->pieces().offset_of(block), block.length);
    }
    std::uint32_t count() const { return torrent->pieces().piece_count(); }
    fs::path root(fs::path const& directory) const {
        return torrent->single_file() ? directory : directory / torrent->name();
    }
    std::uint32_t number_of(std::string const& path) const {
        auto const& all = torrent->content().files();
        for (std::uint32_t i = 0; i < all.size(); ++i)
            if (!all[i].pad && all[i].joined() == path) return i;
        throw std::runtime_error("no file " + path);
    }
    /// Puts the content where a seeder has it.
    void place(fs::path const& directory) const {
        for (auto const& [path, bytes] : files) write_file(root(directory) / path, bytes);
    }
    bool is_in(fs::path const& directory) const {
        for (auto const& [path, bytes] : files)
            if (!fs::is_regular_file(root(directory) / path) || read_file(root(directory) / path) != bytes)
                return false;
        return true;
    }
};

inline std::vector<std::string> split(std::string const& path) {
    std::vector<std::string> elements(1);
    for (auto const c : path) {
        if (c == '/')
            elements.emplace_back();
        else
            elements.back() += c;
    }
    return elements;
}

inline sample make_sample(std::vector<std::pair<std::string, std::size_t>> const& sizes,
                          metainfo::format format = metainfo::format::v1, std::uint32_t piece_length = 65536,
                          bool single_file = false) {
    sample made;
    metainfo::source source;
    source.name = single_file ? sizes.at(0).first : "content";
    source.single_file = single_file;
    std::vector<byte_vector> contents;
    for (auto const& [path, size] : sizes) {
        contents.push_back(random_bytes(size, contents.size() + 1));
        source.files.push_back({split(path), size, false});
        made.files[path] = contents.back();
    }
    source.read = [&](std::size_t file, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
        auto const& from = contents[file];
        auto const count = std::min<std::size_t>(into.size(), from.size() - offset);
        std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
        return count;
    };
    metainfo::make_options options;
    options.format = format;
    options.piece_length = piece_length;
    options.threads = 1;
    auto const bytes = metainfo::make_torrent(source, options).value();
    made.torrent = std::make_shared<metainfo::torrent const>(metainfo::parse_torrent(bytes).value());
    for (auto const& file : made.torrent->content().files()) {
        if (file.pad)
            made.linear.resize(made.linear.size() + file.size);
        else {
            auto const& from = made.files.at(single_file ? sizes[0].first : file.joined());
            made.linear.insert(made.linear.end(), from.begin(), from.end());
        }
    }
    return made;
}

/// A few files, nested, one of them empty, pieces that span several.
inline sample mixed_sample(metainfo::format format = metainfo::format::v1) {
    return make_sample({{"a", 100'000}, {"b/empty", 0}, {"b/small", 10}, {"b/z", 300'001}, {"c", 65'536}}, format);
}

/// The blocks of a piece as they would arrive by buffers.
inline std::vector<store::block_data> blocks_of(sample const& of, piece_index piece) {
    std::vector<store::block_data> blocks;
    for (std::uint32_t n = 0; n < of.torrent->pieces().block_count(piece); ++n) {
        auto const block = of.torrent->pieces().block_at(piece, n);
        blocks.push_back({block.begin, of.block(block), false});
    }
    return blocks;
}

/// Receives one piece by buffers; whether its hash was right.
inline result<bool> receive(store::chunk_store& into, sample const& of, std::uint32_t number) {
    auto const writer = into.begin(piece_index{number});
    auto const blocks = blocks_of(of, piece_index{number});
    if (auto const written = writer->write(blocks); !written) return written.error();
    return writer->finish();
}

inline void receive_all(store::chunk_store& into, sample const& of) {
    for (std::uint32_t piece = 0; piece < of.count(); ++piece)
        if (!receive(into, of, piece).value()) throw std::runtime_error("a right piece was refused");
}

inline store::store_settings settings_in(fs::path const& folder, store::back_end kind = store::back_end::mapped) {
    store::store_settings settings;
    settings.directory = folder / "downloads";
    settings.journal = folder / "state" / "journal";
    settings.kind = kind;
    return settings;
}

inline std::unique_ptr<store::chunk_store> open_store(sample const& of, store::store_settings settings) {
    auto opened = store::chunk_store::open(of.torrent, std::move(settings));
    if (!opened) throw std::runtime_error(opened.error().message());
    return std::move(opened.value());
}

/// Receives all of it, names its files, and stops.
inline void download(sample const& content, store::store_settings const& settings) {
    auto const disk = open_store(content, settings);
    receive_all(*disk, content);
    REQUIRE(disk->complete_files());
    REQUIRE(disk->close());
}
}  // namespace fixture
