/// The peer wire conversation as a value: bytes and time in, events and bytes out. Source: BEP 3, 6, 10; of BEP 52 the
/// reserved bit only. No sockets, no clock: a driver moves the bytes (docs/architecture.md, "The data path").
export module shoal.wire;
export import :protocol;    // messages, handshakes, limits, errors: what both ends agree on
export import :metadata;    // info dictionaries that peers send each other
export import :connection;  // one end of a conversation and what it is made of
