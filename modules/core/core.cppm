/// What three or more rooms need: results, bytes, numbers with a meaning, addresses, bit sets, escaped text.
export module shoal.core;
export import :result;    // result<T>, condition
export import :bytes;     // byte_view, big-endian reader and writer
export import :types;     // piece_index, block_ref, info_hash, peer_id, time_point
export import :bitfield;  // which pieces somebody has
export import :endpoint;  // address and port
export import :text;      // escaping of remote text, hex
export import :siphash;   // keyed hash for what strangers choose
