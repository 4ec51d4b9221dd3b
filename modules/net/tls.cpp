module;
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "core/try.hpp"

module shoal.net;
import shoal.asio;
import shoal.core;
import :tls;

namespace shoal::net {
namespace {
constexpr std::size_t record_bytes = 16 * 1024;  // RFC 8446, section 5.1: what one record carries at most

struct context_deleter {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
struct ssl_deleter {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};
using context_ptr = std::unique_ptr<SSL_CTX, context_deleter>;
using ssl_ptr = std::unique_ptr<SSL, ssl_deleter>;

context_ptr make_context() {
    context_ptr context{SSL_CTX_new(TLS_client_method())};
    if (!context) return nullptr;
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    if (SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1) return nullptr;
    if (SSL_CTX_set_default_verify_paths(context.get()) != 1) return nullptr;
    return context;
}

/// Reads the trust store once; that takes a while. Null when there is no memory for it.
SSL_CTX* shared_context() {
    static context_ptr const context = make_context();
    return context.get();
}

/// A client session for `host` that has bytes carried by memory BIOs, which it owns; null on failure.
ssl_ptr make_session(std::string const& host) {
    auto* const context = shared_context();
    ssl_ptr ssl{context != nullptr ? SSL_new(context) : nullptr};
    if (!ssl) return nullptr;
    BIO* const in = BIO_new(BIO_s_mem());
    BIO* const out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), in, out);
    if (in == nullptr || out == nullptr) return nullptr;
    SSL_set_connect_state(ssl.get());
    SSL_set_options(ssl.get(), SSL_OP_NO_RENEGOTIATION);  // a writer would have to read, beside the reader
    if (ip_address::parse(host)) {
        auto* const checks = SSL_get0_param(ssl.get());
        if (X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str()) != 1) return nullptr;
    } else {
        SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (SSL_set1_host(ssl.get(), host.c_str()) != 1) return nullptr;
        if (SSL_set_tlsext_host_name(ssl.get(), host.c_str()) != 1) return nullptr;
    }
    return ssl;
}

class tls_stream final : public stream {
public:
    tls_stream(asio::any_io_executor const& executor, std::unique_ptr<stream> inner, ssl_ptr ssl)
        : inner_(std::move(inner)), ssl_(std::move(ssl)), flushed_(executor) {}

    task<result<void>> handshake() {
        return carry([this] { return SSL_do_handshake(ssl_.get()); });
    }

    task<result<std::size_t>> read_some(std::span<mutable_byte_view const> places) override {
        auto const place = *std::ranges::find_if(places, [](auto const& each) { return !each.empty(); });
        std::size_t count = 0;
        SHOAL_CO_TRY(co_await carry([&] { return SSL_read_ex(ssl_.get(), place.data(), place.size(), &count); }));
        co_return count;
    }

    task<result<std::size_t>> write_some(std::span<byte_view const> runs) override {
        auto const found = std::ranges::find_if(runs, [](auto const& each) { return !each.empty(); });
        if (found == runs.end()) co_return std::size_t{0};
        auto const run = found->first(std::min(found->size(), record_bytes));
        std::size_t count = 0;
        SHOAL_CO_TRY(co_await carry([&] { return SSL_write_ex(ssl_.get(), run.data(), run.size(), &count); }));
        co_return count;
    }

    void close() override { inner_->close(); }  // no close_notify: nobody waits for our last word
    endpoint local() const override { return inner_->local(); }
    endpoint remote() const override { return inner_->remote(); }

private:
    /// Repeats `step` and moves what it wants to send or receive until it succeeds.
    template <class Step>
    task<result<void>> carry(Step step) {
        for (;;) {
            ERR_clear_error();
            auto const answer = step();
            auto const reason = answer == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), answer);
            SHOAL_CO_TRY(co_await flush());
            if (reason == SSL_ERROR_NONE) co_return success();
            if (reason == SSL_ERROR_ZERO_RETURN) co_return errc::closed;
            if (reason != SSL_ERROR_WANT_READ) co_return errc::tls_failed;
            byte_vector received(record_bytes);
            auto const count = co_await inner_->stream::read_some(mutable_byte_view{received});
            // An end without TLS's own farewell may be a stranger's doing, and what came before a part of the whole.
            if (!count) co_return count.error() == errc::closed ? make_error_code(errc::tls_failed) : count.error();
            BIO_write(SSL_get_rbio(ssl_.get()), received.data(), static_cast<int>(count.value()));
        }
    }
    /// One at a time: the reader comes here too, when the peer asks for new keys.
    task<result<void>> flush() {
        if (BIO_ctrl_pending(SSL_get_wbio(ssl_.get())) == 0) co_return success();
        while (flushing_) co_await flushed_.park();
        struct turn {
            bool& taken;
            signal& next;
            ~turn() {
                taken = false;
                next.wake();
            }
        } const ours{flushing_, flushed_};
        flushing_ = true;
        byte_vector ready(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())));
        if (ready.empty()) co_return success();
        BIO_read(SSL_get_wbio(ssl_.get()), ready.data(), static_cast<int>(ready.size()));
        co_return co_await inner_->write_all(ready);
    }

    std::unique_ptr<stream> inner_;
    ssl_ptr ssl_;
    signal flushed_;
    bool flushing_ = false;
};
}  // namespace

task<result<std::unique_ptr<stream>>> tls_connect(environment& environment, std::unique_ptr<stream> inner,
                                                  std::string host) {
    co_await on_pool(environment.workers, [] { shared_context(); });
    auto session = make_session(host);
    if (!session) co_return errc::tls_failed;
    auto secured =
        std::make_unique<tls_stream>(co_await asio::this_coro::executor, std::move(inner), std::move(session));
    SHOAL_CO_TRY(co_await secured->handshake());
    co_return std::unique_ptr<stream>{std::move(secured)};
}
}  // namespace shoal::net
