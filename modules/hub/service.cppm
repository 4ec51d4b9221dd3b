module;
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

export module shoal.hub:service;
import shoal.announce;
import shoal.core;
import shoal.net;
import shoal.registry;
import :roster;

export namespace shoal::hub {
/// Why the catalogue or the list of members refused or failed; failures of the system and refusals by `shoal.metainfo`
/// keep their own codes.
enum class errc {
    in_use = 1,        ///< Another tracker works on this data folder.
    newer_schema,      ///< The file is of a later version of this program. It stays untouched.
    not_a_catalogue,   ///< The file is another program's database. It stays untouched.
    damaged,           ///< The file contradicts itself; opening it again repairs it or sets it aside.
    no_space,          ///< The disk, the user's quota, or `catalogue_limits::file_bytes_max` is used up.
    read_only,         ///< The file or its folder may not be written.
    busy,              ///< Another program holds the file for the moment.
    database_failed,   ///< SQLite refused for a reason that has no code here.
    catalogue_full,    ///< `catalogue_limits::entries_max` or `bytes_max` is reached.
    too_many_owners,   ///< The content has `catalogue_limits::owners_max` owners.
    bad_owner,         ///< An owner's name that is empty, too long, or no UTF-8 text.
    missing_layers,    ///< A v2 torrent without all of its piece layers.
    pattern_too_long,  ///< A pattern of more than `pattern_bytes_max`.
    pattern_too_wide,  ///< A pattern whose wildcards take more than `matching_steps_max`.
    bad_members,       ///< The file of members is not as `member_list::parse` wants it.
    bad_member_name,   ///< A member's name that is not 1 to 64 letters, digits, or one of `-_.@`; or too many members.
    member_exists,     ///< There is a member of this name.
};
std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::hub
export template <>
struct std::is_error_code_enum<shoal::hub::errc> : std::true_type {};

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

/// Limits requests per address without a list of addresses.
///
/// Each address (an IPv6 address counts as its /64, and its /48 may have `customers_of_site_max` times the rate) has
/// two of 65 536 buckets, by a keyed hash, and may go on while one of them has something left: an address shares both
/// with a busy one only by a rare accident. 512 KiB, no allocation.
class meter {
public:
    /// `per_second` 0 lets everything pass.
    meter(std::uint32_t per_second, siphash_key const& secret);

    /// Notes one request; whether it is within the limit. A bucket holds what ten seconds bring.
    bool admit(ip_address const& from, time_point now);

private:
    struct bucket {
        std::uint32_t left;  // requests, times `parts`
        std::uint32_t seen;  // milliseconds since the first call
    };
    bool take(byte_view whose, std::uint32_t cost, std::uint32_t now);
    void refill(bucket& of, std::uint32_t now) const noexcept;

    std::uint32_t per_second_;
    siphash_key secret_;
    time_point start_{};
    bool is_started_ = false;
    std::vector<bucket> buckets_;
};

/// Bytes of a UDP reply: within the MTU of any usual path, so that it is never in fragments.
inline constexpr std::size_t udp_reply_max = 1400;

enum class log_level : std::uint8_t { debug, info, warning };
/// Told one line at a time. Remote text in it is escaped. Must not throw.
using log_function = std::function<void(log_level, std::string_view)>;

/// How a hub behaves.
struct settings {
    std::chrono::seconds interval{30 * 60};     ///< When peers are to announce again.
    std::chrono::seconds min_interval{5 * 60};  ///< Not sooner than this.
    std::uint32_t peers_default = 50;           ///< Peers in an answer where the asker names no number.
    std::uint32_t peers_max = 200;              ///< Peers in an answer at most. Source: class I4.
    /// Requests a second of one IPv4 address or IPv6 /64; 0 for no limit. Ten seconds' worth may come at once. UDP
    /// connects, whose sender may be forged, are counted apart.
    std::uint32_t requests_per_second = 50;
    /// Whether the limit holds for loopback too: what comes from there is mostly a proxy, or a test.
    bool is_loopback_limited = false;
    registry::limits bounds{};
    net::http_server_limits http{};
    roster_limits nodes{};
    /// Threads for the system calls of UDP, at each address; 0: the hub's own thread makes them. Whatever they are, one
    /// thread answers.
    std::size_t udp_threads = 0;
    std::filesystem::path catalogue{};      ///< The file of the catalogue; empty: it is gone with the hub.
    access who = access::open;              ///< Who may use the hub without a passkey.
    std::filesystem::path members{};        ///< The file of the members; it is read again when it changes.
    std::vector<std::string> host_names{};  ///< Names of this machine by which browsers may call it; see `is_our_host`.
    std::string version{};                  ///< Of the program, for display.
    std::int64_t started_at = 0;            ///< Wall time, milliseconds since 1970; for display only.
    log_function log{};                     ///< Empty: nothing is logged.
    bool is_each_announce_logged = false;   ///< At `log_level::debug`.
};

/// How long a peer that only announces counts as there: it missed an announce, and half the time to the next.
std::chrono::seconds peer_lifetime(settings const& how);

/// Numbers for the metrics and the log.
struct counters {
    std::uint64_t http_announces = 0;
    std::uint64_t udp_announces = 0;
    std::uint64_t http_scrapes = 0;
    std::uint64_t udp_scrapes = 0;
    std::uint64_t udp_connects = 0;
    std::uint64_t malformed = 0;      ///< Requests that could not be read.
    std::uint64_t unproven = 0;       ///< UDP requests without a connection id that holds; they are not answered.
    std::uint64_t over_limit = 0;     ///< Requests beyond `requests_per_second`.
    std::uint64_t not_permitted = 0;  ///< Requests without a passkey, or with a wrong one, where one is wanted.
    registry::counters peers{};
    std::size_t memory = 0;  ///< Bytes of the registry.
};

/// Secrets and a seed, from a random device.
struct secrets {
    siphash_key tables{};
    siphash_key connections{};
    siphash_key meter{};
    std::uint64_t seed = 0;
};

/// What a tracker answers to whom. Requests and the time go in, answers come out; it has no socket and no clock.
class service {
public:
    service(settings how, secrets const& secret);

    /// `/announce`, `/scrape`, `/healthz`; 404 for other paths, 405 for methods other than GET and HEAD.
    net::http_response answer(net::http_request const& request, time_point now);
    /// Appends the reply to `out`; appends nothing where there is none. One whose address is not proven gets no more
    /// bytes than it sent (class I1).
    void answer(net::datagram const& packet, time_point now, byte_vector& out);
    /// A part of the work of forgetting silent peers; ten calls a second go round within a minute.
    void expire(time_point now);

    /// Notes one request of a stranger; whether it is within `requests_per_second`.
    bool admit(ip_address const& from, time_point now) { return is_admitted(meter_, from, now); }
    /// A node with a session stands in the peer sets like any other peer.
    void present(presence const& who, time_point now);
    /// Told of every announce that was taken; empty: nobody is.
    std::function<void(announce::announce_request const&, endpoint const& at, time_point now)> on_announce;
    /// How often a torrent was completed, as the catalogue knows from earlier runs too; empty: nobody knows.
    std::function<std::uint64_t(info_hash const&)> completed_ever;

    /// Whether somebody with this passkey (empty: none) may go there; counts those who may not.
    bool lets_in(room where, std::string_view passkey);
    gate entrance;

    counters numbers() const;
    settings const& how() const noexcept { return how_; }

private:
    net::http_response answer_announce(std::string_view query, net::http_request const& request, time_point now);
    net::http_response answer_scrape(std::string_view query);
    void answer_announce(announce::udp_announce const& request, endpoint const& from, time_point now, byte_vector& out);
    void answer_scrape(announce::udp_scrape const& request, byte_vector& out);

    bool is_admitted(meter& by, ip_address const& from, time_point now);
    announce::announce_reply announce(announce::announce_request const& request, endpoint const& from,
                                      registry::families usable, time_point now);
    announce::scrape_reply scrape(std::vector<info_hash> const& torrents) const;
    std::uint32_t downloads_of(info_hash const& torrent, std::uint32_t counted) const;
    void log_announce(std::string_view protocol, announce::announce_request const& request, endpoint const& from,
                      std::size_t peer_count) const;

    settings how_;
    registry::registry peers_;
    announce::connection_ids connections_;
    meter meter_;
    meter unproven_;  // of UDP senders who may be anybody: what a forger uses up is of no use to others
    counters numbers_;
};
}  // namespace shoal::hub
