/// One torrent's content on disk: written, verified, served, and recorded so that nothing is lost.
///
/// Calls are blocking and meant for a pool of threads ([pool]), but for a few that the network thread may make
/// ([home]). The room has no threads, no coroutines and no event loop of its own.
export module shoal.store;
export import :error;      // errc
export import :buffers;    // block_pool: where blocks arrive that cannot go straight into a mapping
export import :guard;      // copying and hashing mapped bytes that may vanish
export import :files;      // back_end_files: the seam to the disk; mapped and plain files
export import :simulated;  // simulated_files: a disk in memory that fails on demand
export import :journal;    // which pieces are proven, as bytes
export import :chunks;     // chunk_store, piece_writer
