#pragma once
// Hosts that do what no peer should, beside the swarm. Include it last: it imports.
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

namespace simulated_swarm {
/// Says that it has nothing, and asks for blocks of all pieces, whether they were told of or not. `on_block` sees what
/// it is given. Until cancelled; uses `of` as long.
shoal::net::task<void> ask_for_anything(shoal::net::environment& outside, shoal::endpoint at,
                                        shoal::testing::content const& of, std::uint64_t seed,
                                        std::function<void(shoal::block_ref, shoal::byte_view)> on_block);

/// Announces itself to nodes of the DHT with tokens that none of them gave. `on_visit` is called when somebody believed
/// it. Until cancelled.
shoal::net::task<void> announce_without_token(shoal::net::environment& outside, shoal::endpoint own,
                                              std::vector<shoal::endpoint> nodes, shoal::info_hash of,
                                              std::function<void()> on_visit);
}  // namespace simulated_swarm
