module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

export module shoal.hub:gate;
import shoal.core;
import shoal.net;

export namespace shoal::hub {
/// Who may use a hub without a passkey.
enum class access : std::uint8_t {
    open,     ///< Everybody may do everything: for a team's own network.
    counts,   ///< Everybody may announce and scrape, and sees counts; the rest is for members.
    members,  ///< Nobody: a private hub.
};
/// What a visitor wants.
enum class room : std::uint8_t {
    announces,  ///< Announces and scrapes.
    counts,     ///< How many there are of what: names nobody and nothing.
    all,        ///< Sessions, the catalogue, the page and its data.
};

/// Bytes of a member's name, and members of one hub.
inline constexpr std::size_t member_name_max = 64;
inline constexpr std::size_t members_max = 100'000;
/// Bytes that a passkey is drawn from: nobody guesses 128 bits, however often he may try (class K5).
inline constexpr std::size_t passkey_bytes = 16;

/// A member, by the passkey that was shown. Without a name: nobody who has to be one.
struct member_card {
    std::string name;
    sha256_digest digest{};
};

/// The members of a hub: names, and digests of their passkeys. A value; the file of it is written by
/// `tracker passkey`.
class member_list {
public:
    /// Reads lines of a name, a blank, and the SHA-256 of a passkey in hexadecimal; lines that begin with `#` are
    /// comments. Fails with `errc::bad_members`.
    static result<member_list> parse(std::string_view text);
    /// The reverse.
    std::string text() const;

    /// Fails with `errc::bad_member_name`, or with `errc::member_exists`.
    result<void> add(std::string const& name, std::string_view passkey);
    /// Whether there was one of that name.
    bool remove(std::string_view name);
    /// Whose passkey it is; without a name where it is nobody's. Digests are compared: how long it takes tells nothing
    /// of passkeys.
    member_card member_with(std::string_view passkey) const;
    /// Whether this passkey is still this member's.
    bool holds(member_card const& card) const;
    std::vector<std::string> names() const;
    bool empty() const noexcept { return by_name_.empty(); }
    friend bool operator==(member_list const&, member_list const&) = default;

private:
    std::map<std::string, sha256_digest, std::less<>> by_name_;
    std::map<sha256_digest, std::string> by_digest_;
};

/// Reads the file of members. A file that is not there has none. Fails with `errc::bad_members` or a system error.
result<member_list> load_members(std::filesystem::path const& file);

/// A new passkey: `passkey_bytes` random bytes in hexadecimal.
std::string new_passkey(net::random& random);

/// The passkey that a request shows: the parameter `passkey` of its target, or the password of HTTP's Basic scheme
/// (with any user name), or a Bearer token. Empty where it shows none. Source: RFC 7617, RFC 6750.
std::string passkey_of(net::http_request const& request);

/// Lets in who belongs.
class gate {
public:
    explicit gate(access how = access::open) : how_(how) {}

    void let_in(member_list members) { members_ = std::move(members); }
    member_list const& members() const noexcept { return members_; }
    /// Whether somebody with this passkey (empty: none) may go there.
    bool admits(room where, std::string_view passkey) const;
    bool is_open(room where) const noexcept;
    /// Who it is that comes with this passkey; without a name where nobody needs one.
    member_card card_of(std::string_view passkey) const;
    /// Whether who came with this card may still do all.
    bool is_still_in(member_card const& card) const;

private:
    access how_;
    member_list members_;
};
}  // namespace shoal::hub
