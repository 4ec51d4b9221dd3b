module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.metainfo;
import :file_tree;
import shoal.core;
import shoal.bencode;
import shoal.hash;

namespace shoal::metainfo {
using bencode::kind;
using bencode::value;

namespace {
/// Room for 340 000 files of a hybrid, which names each of them twice, and a pad file after it.
constexpr std::size_t items_max = std::size_t{1} << 23;
constexpr bencode::rules as_found{.strict = false, .items_max = items_max};
constexpr bencode::rules canonical_form{.items_max = items_max};
/// Memory that paths may take, per byte of the torrent and besides: a v2 tree names a folder once, and each of its
/// files repeats it here.
constexpr std::size_t path_memory_factor = 12;
constexpr std::size_t path_memory_base = 512 * 1024;

/// Pieces of a file that starts on a piece boundary.
std::uint64_t pieces_in(std::uint64_t size, std::uint32_t piece_length) {
    return size / piece_length + (size % piece_length != 0);
}

/// Which of two keys with one name counts would be up to the reader: nobody may rely on it.
bool repeats_a_key(value dictionary) {
    std::vector<std::string_view> keys;
    for (auto const [key, content] : dictionary.entries()) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    return std::adjacent_find(keys.begin(), keys.end()) != keys.end();
}

file pad_file(std::uint64_t size) {
    file pad;
    pad.path = {".pad", std::to_string(size)};
    pad.size = size;
    pad.pad = true;
    return pad;
}
}  // namespace

/// Reads one torrent. Every function but `read` expects the ones called before it in `read` to have succeeded.
class torrent_reader {
public:
    torrent_reader(std::size_t input_size, limits const& within)
        : within_(within), path_memory_left_(path_memory_factor * input_size + path_memory_base), unique_(0) {}

    /// `canonical`: the document is known to be. `outer` has what stands beside the info dictionary.
    result<torrent> read(value info, bool canonical, std::optional<value> outer) {
        is_canonical_ = canonical;
        if (!canonical && repeats_a_key(info)) return errc::repeated_key;
        SHOAL_TRY(read_versions(info));
        if (!canonical && made_.has_v2()) {  // the canonical form only
            SHOAL_TRY(bencode::decode(info.encoded(), canonical_form));
        }
        auto const hash = made_.swarm_hash();
        unique_ = unique_paths{load_be<std::uint64_t>(hash.view())};
        SHOAL_TRY(read_name(info));
        SHOAL_TRY(read_piece_length(info));
        SHOAL_TRY(made_.has_v1() ? read_v1_files(info) : read_v2_files(info));
        SHOAL_TRY(check_content());
        if (made_.has_v1()) {
            SHOAL_TRY(read_piece_hashes(info));
        }
        if (outer) {
            SHOAL_TRY(read_outer(*outer));
        }
        if (made_.has_v2()) {
            auto const layers = outer ? outer->find("piece layers") : std::nullopt;
            SHOAL_TRY(read_piece_layers(layers));
        }
        if (auto const flag = info.find("private")) {
            if (flag->type() != kind::integer) return errc::wrong_type;
            made_.private_ = *flag->integer() != 0;
        }
        return std::move(made_);
    }

private:
    result<void> read_versions(value info) {
        auto const bytes = info.encoded();
        made_.info_.assign(bytes.begin(), bytes.end());
        if (auto const version = info.find("meta version")) {
            if (version->type() != kind::integer) return errc::wrong_type;
            if (version->integer() != 2) return errc::unsupported_version;
            made_.info_hash_v2_ = hash::sha256_of(bytes);
        }
        if (!made_.info_hash_v2_ || info.find("pieces")) made_.info_hash_v1_ = hash::sha1_of(bytes);
        return success();
    }

    result<void> read_name(value info) {
        SHOAL_TRY(auto const name, required(info, "name", kind::string));
        // What programs wrote before BEP 3 asked for UTF-8; v2 torrents know one name only.
        auto const utf8 = made_.has_v2() ? std::nullopt : info.find_text("name.utf-8");
        raw_name_ = utf8 ? *utf8 : *name.text();
        made_.name_ = sanitise_name(raw_name_);
        return success();
    }

    result<void> read_piece_length(value info) {
        SHOAL_TRY(auto const found, required(info, "piece length", kind::integer));
        auto const length = *found.integer();
        if (length <= 0 || length > within_.piece_length_max) return errc::bad_piece_length;
        piece_length_ = static_cast<std::uint32_t>(length);
        if (made_.has_v2() && (piece_length_ < v2_piece_length_min || !std::has_single_bit(piece_length_)))
            return errc::bad_piece_length;
        return success();
    }

    // The files

    /// v1 and hybrid: the list of v1, and where there is a tree, each file as the tree has it.
    result<void> read_v1_files(value info) {
        std::optional<tree_walker> tree;
        if (made_.has_v2()) {
            SHOAL_TRY(auto const root, required(info, "file tree", kind::dictionary));
            tree.emplace(root);
        }
        auto const list = info.find("files");
        made_.single_file_ = !list;
        if (list && !list->is_list()) return errc::wrong_type;
        if (list && info.find("length")) return errc::bad_file;
        if (list) {
            files_.reserve(static_cast<std::size_t>(std::distance(list->items().begin(), list->items().end())));
            for (auto const each : list->items()) {
                SHOAL_TRY(read_v1_file(each, tree));
            }
        } else {
            raw_path_ = {raw_name_};
            file only;
            SHOAL_TRY(only.size, size_of(info));
            only.executable = attributes_of(info).executable;
            SHOAL_TRY(add_file(std::move(only), tree));
        }
        if (tree) {
            SHOAL_TRY(auto const* const more, tree->next());
            if (more != nullptr) return errc::hybrid_mismatch;
        }
        return success();
    }

    result<void> read_v1_file(value each, std::optional<tree_walker>& tree) {
        if (!each.is_dictionary()) return errc::wrong_type;
        if (!is_canonical_ && repeats_a_key(each)) return errc::repeated_key;
        auto const attr = attributes_of(each);
        file next;
        next.executable = attr.executable;
        next.symlink = attr.symlink;
        if (!attr.symlink) {
            SHOAL_TRY(next.size, size_of(each));
        }
        if (attr.pad) return add_pad(next.size);
        auto const utf8 = tree ? std::nullopt : each.find("path.utf-8", kind::list);
        auto path = utf8;
        if (!path) {
            SHOAL_TRY(path, required(each, "path", kind::list));
        }
        raw_path_.clear();
        for (auto const element : path->items()) {
            auto const text = element.text();
            if (!text) return errc::wrong_type;
            raw_path_.push_back(*text);
        }
        if (raw_path_.empty()) return errc::bad_file;
        return add_file(std::move(next), tree);
    }

    /// v2: the tree, with the pad files that a hybrid would have.
    result<void> read_v2_files(value info) {
        SHOAL_TRY(auto const root, required(info, "file tree", kind::dictionary));
        std::size_t count = 0, top_count = 0;
        for (tree_walker counting{root};; ++count) {
            SHOAL_TRY(auto const* const each, counting.next());
            if (each == nullptr) break;
            if (each->path.size() == 1 && each->path.front() == raw_name_) ++top_count;
        }
        made_.single_file_ = count == 1 && top_count == 1;
        files_.reserve(count);
        std::optional<tree_walker> none;
        for (tree_walker tree{root};;) {
            SHOAL_TRY(auto const* const each, tree.next());
            if (each == nullptr) return success();
            if (each->size > 0 && end_ % piece_length_ != 0) {
                SHOAL_TRY(add_pad(piece_length_ - end_ % piece_length_));
            }
            file next;
            next.size = each->size;
            next.executable = each->executable;
            next.symlink = each->symlink;
            next.pieces_root = each->pieces_root;
            raw_path_ = each->path;
            SHOAL_TRY(add_file(std::move(next), none));
        }
    }

    /// Takes a file whose raw path is `raw_path_`; it has to be the next of `tree`, if there is one.
    result<void> add_file(file next, std::optional<tree_walker>& tree) {
        if (tree) {
            SHOAL_TRY(auto const* const twin, tree->next());
            if (twin == nullptr || twin->path != raw_path_ || twin->size != next.size || twin->symlink != next.symlink)
                return errc::hybrid_mismatch;
            next.pieces_root = twin->pieces_root;
        }
        if (made_.has_v2() && next.size > 0) {
            if (end_ % piece_length_ != 0) return errc::hybrid_mismatch;
            v2_pieces_ += pieces_in(next.size, piece_length_);
        }
        if (made_.single_file_)
            next.path = {made_.name_};
        else
            next.path = sanitised_(raw_path_);
        unique_.claim(next.path);
        return append(std::move(next));
    }

    /// A pad file fills up a piece; a whole piece of zeros would be work for nobody's content. Source: BEP 47.
    result<void> add_pad(std::uint64_t size) {
        if (size >= piece_length_) return errc::bad_file_size;
        return append(pad_file(size));
    }

    result<void> append(file next) {
        // Checked for each file, so that sums never leave 64 bits and geometry gets a count of 32.
        if (pieces_in(end_ + next.size, piece_length_) > within_.pieces_max) return errc::too_many_pieces;
        std::size_t memory = 0;
        for (auto const& element : next.path)
            memory += sizeof element + (element.capacity() > 15 ? element.capacity() + 1 : 0);
        if (memory > path_memory_left_) return errc::paths_too_large;
        path_memory_left_ -= memory;
        end_ += next.size;
        if (!next.pad) content_size_ += next.size;
        files_.push_back(std::move(next));
        return success();
    }

    result<void> check_content() {
        if (content_size_ == 0) return errc::no_content;
        if (made_.has_v2() && v2_pieces_ != pieces_in(end_, piece_length_)) return errc::hybrid_mismatch;
        made_.content_ = layout{piece_length_, std::move(files_)};
        return success();
    }

    // The hashes

    result<void> read_piece_hashes(value info) {
        SHOAL_TRY(auto const found, required(info, "pieces", kind::string));
        auto const hashes = *found.bytes();
        if (hashes.size() != std::uint64_t{sha1_digest::size()} * made_.pieces().piece_count())
            return errc::bad_piece_count;
        made_.piece_hashes_at_ = static_cast<std::size_t>(hashes.data() - info.encoded().data());
        return success();
    }

    result<void> read_piece_layers(std::optional<value> layers) {
        if (layers && !layers->is_dictionary()) return errc::wrong_type;
        auto const& files = made_.content_.files();
        std::vector<std::uint32_t> large;  // files of several pieces, by root
        for (std::uint32_t i = 0; i < files.size(); ++i)
            if (files[i].pieces_root && files[i].size > piece_length_) large.push_back(i);
        auto const root_of = [&files](std::uint32_t i) { return *files[i].pieces_root; };
        std::sort(large.begin(), large.end(), [&](auto a, auto b) { return root_of(a) < root_of(b); });
        auto const expected = large.size();
        made_.layer_of_file_.reserve(expected);
        std::vector<bool> has_layer(expected);  // the first file of each root
        if (layers) {
            for (auto const [key, content] : layers->entries()) {
                auto const root = sha256_digest::from(as_bytes(key));
                auto const layer = content.bytes();
                if (!root || !layer) return errc::bad_piece_layer;
                auto const first = std::lower_bound(large.begin(), large.end(), *root,
                                                    [&](auto i, auto const& r) { return root_of(i) < r; });
                if (first == large.end() || root_of(*first) != *root) return errc::bad_piece_layer;
                // Before anything is kept of it: many files may share the root.
                auto const at = static_cast<std::size_t>(first - large.begin());
                if (has_layer[at]) return errc::repeated_key;
                has_layer[at] = true;
                auto last = first;
                for (; last != large.end() && root_of(*last) == *root; ++last)
                    if (layer->size() != sha256_digest::size() * pieces_in(files[*last].size, piece_length_))
                        return errc::bad_piece_layer;
                if (layer_root(*layer) != *root) return errc::bad_piece_layer;
                for (auto it = first; it != last; ++it)
                    made_.layer_of_file_.push_back({*it, made_.layers_.size(), layer->size()});
                made_.layers_.insert(made_.layers_.end(), layer->begin(), layer->end());
            }
        }
        std::sort(made_.layer_of_file_.begin(), made_.layer_of_file_.end(),
                  [](auto const& a, auto const& b) { return a.file < b.file; });
        made_.layers_complete_ = made_.layer_of_file_.size() == expected;
        return success();
    }

    sha256_digest layer_root(byte_view layer) const {
        std::vector<sha256_digest> nodes(layer.size() / sha256_digest::size());
        for (std::size_t i = 0; i < nodes.size(); ++i)
            nodes[i] = *sha256_digest::from(layer.subspan(i * sha256_digest::size(), sha256_digest::size()));
        return hash::merkle_root(nodes, static_cast<std::size_t>(std::countr_zero(piece_length_ / block_length)));
    }

    // What stands beside the info dictionary: what is malformed there is left out, since no content depends on it.

    result<void> read_outer(value outer) {
        for (auto const [key, content] : outer.entries()) {
            if (key == "announce-list") read_tiers(content);
            if (key == "url-list") read_web_seeds(content);
            if (key == "nodes") read_nodes(content);
            if (key == "comment") made_.comment_ = content.text().value_or("");
            if (key == "created by") made_.created_by_ = content.text().value_or("");
            if (key == "creation date") made_.creation_date_ = content.integer();
        }
        auto const announce = outer.find_text("announce");
        // BEP 12: with a list, `announce` does not count.
        if (made_.trackers_.empty() && announce && is_tracker_url(*announce))
            made_.trackers_ = {{std::string{*announce}}};
        return success();
    }

    void read_tiers(value list) {
        std::size_t count = 0;
        made_.trackers_.clear();
        for (auto const tier : list.items()) {
            std::vector<std::string> urls;
            for (auto const each : tier.items()) {
                auto const url = each.text();
                if (!url || !is_tracker_url(*url) || count == within_.urls_max) continue;
                urls.emplace_back(*url);
                ++count;
            }
            if (!urls.empty()) made_.trackers_.push_back(std::move(urls));
        }
    }

    void read_web_seeds(value list) {
        auto const add = [this](std::optional<std::string_view> url) {
            if (url && is_web_seed_url(*url) && made_.web_seeds_.size() < within_.urls_max)
                made_.web_seeds_.emplace_back(*url);
        };
        made_.web_seeds_.clear();
        add(list.text());
        for (auto const each : list.items()) add(each.text());
    }

    void read_nodes(value list) {
        made_.nodes_.clear();
        for (auto const each : list.items()) {
            auto const pair = each.items();
            if (pair.empty() || made_.nodes_.size() == within_.urls_max) continue;
            auto const host = (*pair.begin()).text();
            auto const second = ++pair.begin();
            auto const port = second == pair.end() ? std::nullopt : (*second).integer();
            if (host && is_host(*host) && port && *port > 0 && *port <= 0xffff)
                made_.nodes_.push_back({std::string{*host}, static_cast<std::uint16_t>(*port)});
        }
    }

    limits within_;
    std::size_t path_memory_left_;
    unique_paths unique_;
    path_sanitiser sanitised_;
    torrent made_;
    bool is_canonical_ = false;
    std::string_view raw_name_;
    std::vector<std::string_view> raw_path_;  // of the file that is read
    std::uint32_t piece_length_ = 0;
    std::vector<file> files_;
    std::uint64_t end_ = 0;           // of the linear space so far
    std::uint64_t content_size_ = 0;  // without pad files
    std::uint64_t v2_pieces_ = 0;
};

result<torrent> parse_torrent(byte_view bytes, limits const& within) {
    if (bytes.size() > within.input_bytes_max) return errc::input_too_large;
    SHOAL_TRY(auto const decoded, bencode::decode(bytes, as_found));
    auto const root = decoded.root();
    auto const info = root.find("info", kind::dictionary);
    if (!info) return errc::not_a_torrent;
    if (!decoded.is_canonical() && repeats_a_key(root)) return errc::repeated_key;
    return torrent_reader{bytes.size(), within}.read(*info, decoded.is_canonical(), root);
}

result<torrent> parse_info(byte_view info, limits const& within) {
    if (info.size() > within.input_bytes_max) return errc::input_too_large;
    SHOAL_TRY(auto const decoded, bencode::decode(info, as_found));
    if (!decoded.root().is_dictionary()) return errc::not_a_torrent;
    return torrent_reader{info.size(), within}.read(decoded.root(), decoded.is_canonical(), std::nullopt);
}
}  // namespace shoal::metainfo
