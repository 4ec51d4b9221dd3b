/// The tracker protocol, both sides: values in, bytes out. Source: BEP 3, 7, 15, 21, 23, 24, 31, 41, 48.
export module shoal.announce;
export import :error;          // errc
export import :types;          // announce_request, announce_reply, scrape_reply, failure, limits
export import :http_query;     // what a client asks by HTTP, written and read
export import :http_reply;     // what a tracker answers by HTTP, written and read
export import :udp_packet;     // the packets of both sides, written and read
export import :connection_id;  // the proof of address that a UDP tracker asks for
export import :udp_client;     // a client's conversation with a UDP tracker
