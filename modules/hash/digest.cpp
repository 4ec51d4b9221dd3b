module;
#include <openssl/evp.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <type_traits>

module shoal.hash;

namespace shoal::hash {
namespace {
void require(bool succeeded) {
    if (!succeeded) throw std::system_error(ENOMEM, std::generic_category(), "OpenSSL digest");
}

/// Fetched once: a fetch searches the providers under a lock and costs more than hashing a short message.
template <class Digest>
EVP_MD const* algorithm() {
    static EVP_MD const* const fetched =
        EVP_MD_fetch(nullptr, std::is_same_v<Digest, sha1_digest> ? "SHA1" : "SHA256", nullptr);
    require(fetched != nullptr);
    return fetched;
}

/// One initialisation a digest where a `hasher` has two: for 64 bytes, a node of a tree, they cost as much as hashing.
template <class Digest>
Digest digest_of(byte_view bytes) {
    thread_local std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> const context{EVP_MD_CTX_new(),
                                                                                       &EVP_MD_CTX_free};
    Digest digest;
    auto* const out = reinterpret_cast<unsigned char*>(digest.bytes.data());
    require(context != nullptr && EVP_DigestInit_ex2(context.get(), algorithm<Digest>(), nullptr) == 1 &&
            EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
            EVP_DigestFinal_ex(context.get(), out, nullptr) == 1);
    return digest;
}

EVP_MD_CTX* evp(void* context) noexcept {
    return static_cast<EVP_MD_CTX*>(context);
}
}  // namespace

template <class Digest>
void hasher<Digest>::free_context::operator()(void* context) const noexcept {
    EVP_MD_CTX_free(evp(context));
}

template <class Digest>
hasher<Digest>::hasher() : context_(EVP_MD_CTX_new()) {
    require(context_ != nullptr);
    restart();
}

template <class Digest>
void hasher<Digest>::update(byte_view bytes) {
    require(EVP_DigestUpdate(evp(context_.get()), bytes.data(), bytes.size()) == 1);
}

template <class Digest>
Digest hasher<Digest>::finish() {
    Digest digest;
    auto* const out = reinterpret_cast<unsigned char*>(digest.bytes.data());
    require(EVP_DigestFinal_ex(evp(context_.get()), out, nullptr) == 1);
    restart();
    return digest;
}

template <class Digest>
void hasher<Digest>::restart() {
    require(EVP_DigestInit_ex2(evp(context_.get()), algorithm<Digest>(), nullptr) == 1);
}

template class hasher<sha1_digest>;
template class hasher<sha256_digest>;

sha1_digest sha1_of(byte_view bytes) {
    return digest_of<sha1_digest>(bytes);
}
sha256_digest sha256_of(byte_view bytes) {
    return digest_of<sha256_digest>(bytes);
}
}  // namespace shoal::hash
