/// What a hub and its Shoal peers say to each other over their lasting connection: bencoded messages, values in, bytes
/// out. The protocol is written down in docs/hub-protocol.md.
export module shoal.session;
export import :error;     // errc
export import :client;    // a peer's end of it, over connections that come and go
export import :messages;  // hello, join, status ... and their limits; encode, parse
