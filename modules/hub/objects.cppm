module;
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <string>

/// The objects of docs/api.md, one by one.
module shoal.hub:objects;
import shoal.core;
import :monitor;
import :roster;

namespace shoal::hub {
/// Numbers of a stranger stay where every reader of JSON has them exact (class K10).
inline constexpr std::uint64_t exact_max = (std::uint64_t{1} << 53) - 1;
std::uint64_t exact(std::uint64_t number);

std::string id_of(node_number number);
std::string hex(info_hash const& hash);
std::string peer_key(info_hash const& torrent, node_number of);
std::string base64(byte_view bytes);

boost::json::object node_object(roster const& nodes, node const& of, std::int64_t since_at);
/// Null where the torrent is not shared, or where nobody takes part.
boost::json::object torrent_object(info_hash const& hash, shared_torrent const* shared, membership const* active,
                                   boost::json::value health);
/// Copies in the swarm: what every piece has, and the share of pieces with one more. Null where nobody tells.
boost::json::value copies_of(membership const& of);
boost::json::object peer_object(info_hash const& torrent, node const& who, member const& of);
/// Whom a member serves, by key.
std::map<std::string, boost::json::object> transfers_of(roster const& nodes, info_hash const& torrent, node const& who,
                                                        member const& of);
boost::json::object log_object(log_line const& line);
}  // namespace shoal::hub
