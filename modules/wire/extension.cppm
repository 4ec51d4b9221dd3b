module;
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

export module shoal.wire:extension;
import shoal.core;

export namespace shoal::wire {
/// The handshake of the extension protocol. Everything is optional. Source: BEP 10; BEP 9 (`metadata_size`), BEP 21
/// (`upload_only`).
struct extension_handshake_message {
    /// Extension name to the id under which the sender wants its messages; 0 switches one off.
    std::map<std::string, std::uint8_t> m{};
    std::optional<std::uint32_t> reqq{};           ///< Requests the sender queues without dropping any.
    std::optional<std::uint16_t> p{};              ///< TCP port the sender listens on.
    std::optional<std::string> v{};                ///< Client name and version. A stranger's text: show it `escaped`.
    std::optional<ip_address> yourip{};            ///< The receiver's address as the sender sees it.
    std::optional<std::uint32_t> metadata_size{};  ///< Bytes of the info dictionary.
    std::optional<bool> upload_only{};             ///< The sender wants no data.
    friend bool operator==(extension_handshake_message const&, extension_handshake_message const&) = default;
};

/// The bencoded dictionary, without message header and extension id.
byte_vector encode(extension_handshake_message const& from);
/// Lenient: values of a wrong type or out of range are left out, names in `m` with an id over 255 and ids used twice
/// are left out, a long `v` is cut; of a repeated key the first counts, whatever it holds. Fails with
/// `errc::bad_extension_handshake` when the payload is no dictionary, is longer than `extension_handshake_length_max`,
/// or has more than `extension_names_max` names.
result<extension_handshake_message> parse_extension_handshake(byte_view payload);
/// Adds what `later` says to `known`: `m` is additive, the rest replaces. Source: BEP 10.
void merge(extension_handshake_message& known, extension_handshake_message later);
}  // namespace shoal::wire
