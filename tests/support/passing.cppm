module;
#include <coroutine>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

export module shoal.testing:passing;
import shoal.asio;
import shoal.core;
import shoal.net;

export namespace shoal::testing {
/// Passes everything on to another network, which outlives it: a test derives from it to change or watch some of that.
class passing_network : public net::network {
public:
    explicit passing_network(net::network& below) : below_(below) {}
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to, std::optional<ip_address> from) override {
        return below_.connect(to, from);
    }
    result<std::unique_ptr<net::listener>> listen(endpoint at) override { return below_.listen(at); }
    result<std::unique_ptr<net::datagram_socket>> open_datagram(endpoint at) override {
        return below_.open_datagram(at);
    }
    result<std::unique_ptr<net::datagram_socket>> open_multicast(endpoint group,
                                                                 std::optional<ip_address> from) override {
        return below_.open_multicast(group, from);
    }
    net::task<result<std::vector<ip_address>>> resolve(std::string host) override {
        return below_.resolve(std::move(host));
    }

protected:
    net::network& below_;
};
}  // namespace shoal::testing
