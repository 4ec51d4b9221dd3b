#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <exception>
#include <new>
#include <system_error>
#include <utility>

#include "hub_machine.hpp"

namespace simulated_swarm {
namespace {
namespace json = boost::json;

constexpr auto begins_again_after = 1s;
/// Bytes of a torrent file that is fetched.
constexpr std::size_t torrent_bytes_max = 16u << 20;

net::task<std::optional<std::string>> ask(net::environment& from, std::string path) {
    net::http_limits limits;
    limits.body_bytes = torrent_bytes_max;
    auto reply = co_await net::http_get(from, hub_url("http") + path, limits);
    if (!reply || reply.value().status != 200) co_return std::nullopt;
    co_return std::move(reply.value().body);
}

endpoint address_in(json::object const& of) {
    auto const& text = of.at("address").as_string();
    return *endpoint::parse({text.data(), text.size()});
}
std::string text_in(json::object const& of, char const* name) {
    return std::string{of.at(name).as_string()};
}
}  // namespace

std::string hub_url(std::string_view scheme) {
    return std::string{scheme} + "://" + std::string{hub_name} + ":" + std::to_string(hub_port);
}

hub_machine::hub_machine(net::environment& outside, asio::any_io_executor home, endpoint at, bool keeps_catalogue)
    : outside_(outside), at_(at), tasks_(std::move(home)) {
    if (keeps_catalogue) folder_.emplace();
    tasks_.on_failure = [this](std::string_view task, std::exception_ptr const& why) {
        try {
            std::rethrow_exception(why);
        } catch (std::bad_alloc const&) {  // it is begun again
        } catch (...) {
            if (on_failure) on_failure(std::string{task});
        }
    };
}

void hub_machine::start() {
    tasks_.spawn_lasting("hub", outside_.clock, [this] { return serve(); });
}

net::task<void> hub_machine::serve() {
    for (;;) {
        hub::settings how;
        how.host_names = {std::string{hub_name}};
        if (folder_) how.catalogue = folder_->path() / "catalogue";
        if (on_line) how.log = [this](hub::log_level, std::string_view line) { on_line(line); };
        hub_ = std::make_unique<hub::hub>(outside_, how);
        if (hub_->listen(at_)) (void)co_await hub_->run();
        hub_.reset();
        co_await outside_.clock.sleep(begins_again_after);
    }
}

net::task<void> hub_machine::end(bool is_clean) {
    tasks_.cancel();
    co_await tasks_.join();
    if (is_clean && hub_) co_await hub_->save();
    hub_.reset();
}

net::task<std::optional<std::vector<listed_node>>> ask_for_nodes(net::environment& from) {
    auto const told = co_await ask(from, "/api/v1/nodes");
    if (!told) co_return std::nullopt;
    std::vector<listed_node> all;
    auto const answer = json::parse(*told);
    for (auto const& each : answer.at("nodes").as_array()) {
        auto const& one = each.as_object();
        all.push_back({address_in(one), one.at("kind") == "session"});
    }
    co_return all;
}

net::task<std::optional<listed_torrent>> ask_for_torrent(net::environment& from, info_hash torrent) {
    auto const told = co_await ask(from, "/api/v1/torrents/" + to_hex(torrent.view()));
    if (!told) co_return std::nullopt;
    auto const answer = json::parse(*told);
    listed_torrent out;
    out.completed = answer.at("completed").to_number<std::uint64_t>();
    for (auto const& each : answer.at("peers").as_array()) {
        auto const& one = each.as_object();
        out.members.push_back(
            {address_in(one), one.at("complete").as_bool(), one.at("have").to_number<std::uint64_t>()});
    }
    co_return out;
}

net::task<std::optional<listed_owners>> ask_for_catalogue(net::environment& from) {
    auto const told = co_await ask(from, "/api/v1/torrents");
    if (!told) co_return std::nullopt;
    auto const answer = json::parse(*told);
    listed_owners all;
    for (auto const& each : answer.at("torrents").as_array()) {
        auto const& one = each.as_object();
        auto& owners = all[text_in(one, "name")];
        for (auto const& owner : one.at("owners").as_array()) owners.emplace(owner.as_string());
    }
    co_return all;
}

net::task<std::shared_ptr<metainfo::torrent const>> find_by_name(net::environment& from, std::string name) {
    auto const told = co_await ask(from, "/api/v1/torrents?limit=1000&name=" + name);
    if (!told) co_return nullptr;
    auto const answer = json::parse(*told);
    auto const& found = answer.at("torrents").as_array();
    if (found.empty()) co_return nullptr;
    auto const bytes = co_await ask(from, "/api/v1/torrents/" + text_in(found[0].as_object(), "hash") + "/metainfo");
    if (!bytes) co_return nullptr;
    auto torrent = metainfo::parse_torrent(as_bytes(*bytes));
    if (!torrent) co_return nullptr;
    co_return std::make_shared<metainfo::torrent const>(std::move(torrent).value());
}
}  // namespace simulated_swarm
