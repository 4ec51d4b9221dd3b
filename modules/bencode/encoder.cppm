module;
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

export module shoal.bencode:encoder;
import shoal.core;

namespace shoal::bencode {
/// Writes one value in canonical form. Keys may come in any order and are sorted when their dictionary ends, which
/// costs nothing when they came sorted.
///
///     auto reply = encoder{}.dictionary().entry("interval", 1800).key("peers").bytes(peers).end().take();
///
/// Asserted, as promises of the caller: one value at the top, a key before each value of a dictionary and nowhere else,
/// no key twice, an `end` for each container.
export class encoder {
public:
    encoder& integer(std::int64_t number);
    encoder& bytes(byte_view content);
    encoder& text(std::string_view content);
    /// A value that is encoded already, taken as it is. Not checked: good for info dictionaries and for hostile tests.
    encoder& encoded(byte_view whole_value);

    encoder& list();        ///< Opens a list.
    encoder& dictionary();  ///< Opens a dictionary.
    encoder& end();         ///< Closes what was opened last.

    /// A key; its value is what is written next.
    encoder& key(std::string_view name);
    /// A key and a value that is no container.
    encoder& entry(std::string_view name, std::int64_t number) { return key(name).integer(number); }
    encoder& entry(std::string_view name, std::string_view content) { return key(name).text(content); }
    encoder& entry(std::string_view name, byte_view content) { return key(name).bytes(content); }

    /// The encoded bytes. The encoder is as new.
    byte_vector take();

private:
    struct key_place {
        std::size_t begin;    // of the pair in out_
        std::size_t content;  // of the key's first byte in out_
        std::size_t length;   // of the key
    };
    struct container {
        std::size_t keys;  // in keys_, of the first key; not_dictionary for a list
        bool awaits_value;
    };
    void begin_value();
    void sort_pairs(std::size_t first_key);
    std::string_view key_at(key_place const& place) const;
    void append_string(std::string_view content);
    void append(std::string_view characters);

    byte_vector out_;
    std::vector<container> open_;
    std::vector<key_place> keys_;  // of all open dictionaries
};
}  // namespace shoal::bencode
