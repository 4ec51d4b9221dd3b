#include <catch2/catch.hpp>
#include <cstddef>
#include <new>

#include "support/failing_heap.hpp"

#include "network.hpp"

using namespace shoal;
using namespace std::chrono_literals;
using testing::at;
using testing::torrent;

TEST_CASE("a peer for which there is no memory is not stored, and everybody is answered as before", "[dht]") {
    for (std::size_t n = 1, failed = 1; failed > 0; ++n) {
        failed = 0;
        dht::peer_store store{7, {}};
        time_point const now{1h};
        try {
            failing_heap::fail(n);
            failing_heap::armed const here;
            store.add(torrent(1), at("1.2.3.4:5"), now);
        } catch (std::bad_alloc const&) {
            failed = 1;
        }
        failing_heap::fail(0);
        INFO("allocation " << n);
        CHECK(store.some_of(torrent(1), 10, now).size() == 1 - failed);
        store.add(torrent(1), at("1.2.3.4:6"), now);
        CHECK(store.some_of(torrent(1), 10, now).size() == 2 - failed);
        store.forget_old(now + 31min);
        CHECK(store.torrents() == 0);
    }
}
