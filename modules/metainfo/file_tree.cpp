module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/try.hpp"

module shoal.metainfo;
import :file_tree;
import shoal.core;
import shoal.bencode;

namespace shoal::metainfo {
using bencode::kind;
using bencode::value;

result<value> required(value dictionary, std::string_view key, kind wanted) {
    auto const found = dictionary.find(key);
    if (!found) return errc::missing_key;
    if (found->type() != wanted) return errc::wrong_type;
    return *found;
}

attributes attributes_of(value file) noexcept {
    auto const letters = file.find_text("attr").value_or("");
    auto const has = [letters](char letter) { return letters.find(letter) != std::string_view::npos; };
    return {.pad = has('p'), .executable = has('x'), .symlink = has('l')};
}

result<std::uint64_t> size_of(value file) {
    SHOAL_TRY(auto const length, required(file, "length", kind::integer));
    auto const size = *length.integer();
    if (size < 0 || size > std::int64_t{1} << 62) return errc::bad_file_size;
    return static_cast<std::uint64_t>(size);
}

tree_walker::tree_walker(value tree) {
    open_.push_back({tree.entries().begin(), tree.entries().end()});
}

result<tree_file const*> tree_walker::next() {
    auto& path = current_.path;
    if (in_file_) path.pop_back();
    in_file_ = false;
    while (!open_.empty()) {
        auto& here = open_.back();
        if (here.at == here.end) {
            open_.pop_back();
            if (!path.empty()) path.pop_back();
            continue;
        }
        auto const [name, node] = *here.at++;
        if (name.empty()) return errc::bad_file;  // properties beside names: a file that is a folder
        if (!node.is_dictionary()) return errc::wrong_type;
        path.push_back(name);
        auto const inside = node.entries();
        if (inside.empty() || !(*inside.begin()).key.empty()) {
            open_.push_back({inside.begin(), inside.end()});
            continue;
        }
        if (++inside.begin() != inside.end()) return errc::bad_file;
        SHOAL_TRY(read_file((*inside.begin()).content));
        in_file_ = true;
        return &current_;
    }
    return nullptr;
}

result<void> tree_walker::read_file(value properties) {
    if (!properties.is_dictionary()) return errc::wrong_type;
    auto const attr = attributes_of(properties);
    if (attr.pad) return errc::bad_file;  // BEP 52: pad files are of the v1 half
    current_.executable = attr.executable;
    current_.symlink = attr.symlink;
    current_.size = 0;
    current_.pieces_root.reset();
    if (attr.symlink) return success();
    SHOAL_TRY(current_.size, size_of(properties));
    if (current_.size == 0) return success();
    auto const root = properties.find_bytes("pieces root");
    if (root) current_.pieces_root = sha256_digest::from(*root);
    if (!current_.pieces_root || current_.pieces_root->is_zero()) return errc::bad_pieces_root;
    return success();
}
}  // namespace shoal::metainfo
