module;
#include <memory>

export module shoal.hash:digest;
import shoal.core;

namespace shoal::hash {
/// Hashes a run of bytes that comes in parts, and after `finish` the next run, with no further allocation.
/// `Digest` is `sha1_digest` or `sha256_digest`.
///
/// One thread at a time. A hasher that was moved from can only be assigned to or destroyed. OpenSSL failing (no memory,
/// no provider) throws `std::system_error`; nothing that is hashed can cause it.
export template <class Digest>
class hasher {
public:
    hasher();

    /// Takes no lock and allocates nothing, so that the store may run it under its SIGBUS guard. When a fault cut it
    /// off, call `restart`.
    void update(byte_view bytes);
    /// The digest of all bytes since construction, the last `finish` or `restart`.
    Digest finish();
    /// Forgets what was hashed so far.
    void restart();

private:
    struct free_context {
        void operator()(void* context) const noexcept;
    };
    std::unique_ptr<void, free_context> context_;  // EVP_MD_CTX
};
export using sha1_hasher = hasher<sha1_digest>;
export using sha256_hasher = hasher<sha256_digest>;

/// The digest of one run of bytes. Each thread keeps one context for these.
export sha1_digest sha1_of(byte_view bytes);
export sha256_digest sha256_of(byte_view bytes);
}  // namespace shoal::hash
