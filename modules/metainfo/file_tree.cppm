module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

/// Internal: the file tree of a v2 info dictionary, walked without recursion. Source: BEP 52, "file tree".
module shoal.metainfo:file_tree;
import shoal.core;
import shoal.bencode;

namespace shoal::metainfo {
/// One file of the tree. Points into the decoded document.
struct tree_file {
    std::vector<std::string_view> path;  // raw elements
    std::uint64_t size = 0;              // bytes; 0 for a symlink
    std::optional<sha256_digest> pieces_root;
    bool executable = false;
    bool symlink = false;
};

/// Visits the files in the order of the tree, which is that of the pieces.
class tree_walker {
public:
    /// `tree` is a dictionary.
    explicit tree_walker(bencode::value tree);
    /// The next file; null after the last. Points into the walker, until the next call. After an error, do not call.
    result<tree_file const*> next();

private:
    using folder = bencode::members<bencode::entry>;
    struct level {
        bencode::member_iterator<bencode::entry> at, end;
    };
    result<void> read_file(bencode::value properties);

    std::vector<level> open_;
    tree_file current_;
    bool in_file_ = false;  // current_.path ends with the name of a file that was handed out
};

/// The letters of an `attr` that matter here. Source: BEP 47.
struct attributes {
    bool pad = false;
    bool executable = false;
    bool symlink = false;
};
attributes attributes_of(bencode::value file) noexcept;

/// A size that can be one of a file: 0 to 2^62.
result<std::uint64_t> size_of(bencode::value file);
/// The value of `key`, of that kind. Fails with `missing_key` or `wrong_type`.
result<bencode::value> required(bencode::value dictionary, std::string_view key, bencode::kind wanted);
}  // namespace shoal::metainfo
