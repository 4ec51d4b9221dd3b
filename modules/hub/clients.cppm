module;
#include <string>

export module shoal.hub:clients;
import shoal.core;

export namespace shoal::hub {
/// What a client calls itself by its peer id, `Transmission 3.00`; `unknown client` otherwise. Source: BEP 20.
std::string client_of(peer_id const& id);
}  // namespace shoal::hub
