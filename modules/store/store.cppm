/// One torrent's content on disk: written, verified, served, and recorded so that nothing is lost.
///
/// Calls are blocking and meant for a pool of threads ([pool]), but for a few that the network thread may make
/// ([home]). The room has no threads, no coroutines and no event loop of its own.
export module shoal.store;
export import :files;   // the disk, real and simulated; buffers, guard, journal
export import :chunks;  // chunk_store, piece_writer
