/// The peer wire conversation as a value: bytes and time in, events and bytes out. Source: BEP 3, 6, 10; of BEP 52 the
/// reserved bit only. No sockets, no clock: a driver moves the bytes (docs/architecture.md, "The data path").
export module shoal.wire;
export import :error;       // errc: how a conversation fails
export import :limits;      // every bound, with its reason
export import :message;     // the numbers of the messages
export import :handshake;   // the 68 bytes that open a conversation
export import :extension;   // the handshake of the extension protocol
export import :ping;        // round trips between Shoal peers
export import :event;       // what a connection tells its driver
export import :rate;        // smoothed rates, how many requests to keep in flight
export import :queue;       // a first-in first-out row that allocates only while it grows
export import :outbox;      // bytes on their way to the socket
export import :requests;    // what we asked and wait for
export import :budget;      // how many idle messages a peer may send
export import :source;      // received bytes on their way to where they belong
export import :connection;  // one end of a conversation
