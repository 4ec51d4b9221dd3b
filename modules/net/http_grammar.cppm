module;
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

module shoal.net:http_grammar;
import shoal.core;
import :http;

// Beast's parsers behind plain classes: only their bodies are compiled with Beast.
namespace shoal::net {
/// Takes requests out of a run of bytes, one after the other.
class request_grammar {
public:
    explicit request_grammar(http_server_limits const& limits);
    request_grammar(request_grammar const&) = delete;
    request_grammar& operator=(request_grammar const&) = delete;
    ~request_grammar();

    /// How many bytes were used up. The rest has to come again with more behind it, unless the request is `done`.
    /// Fails with `http_malformed` and `http_too_large`.
    result<std::size_t> feed(byte_view bytes);
    bool done() const noexcept;
    /// Whether nothing of the next request has been used up.
    bool fresh() const noexcept;
    /// When `done`; good until `next`. `remote` is left empty.
    http_request request();
    bool keep_alive() const noexcept;
    /// Whether the client speaks HTTP/1.0.
    bool is_old() const noexcept;
    /// Begins the next request.
    void next();

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

/// Takes one reply out of a run of bytes.
class reply_grammar {
public:
    explicit reply_grammar(http_limits const& limits);
    reply_grammar(reply_grammar const&) = delete;
    reply_grammar& operator=(reply_grammar const&) = delete;
    ~reply_grammar();

    /// As `request_grammar::feed`.
    result<std::size_t> feed(byte_view bytes);
    /// The connection has ended: fine for a reply without a length, `closed` when nothing came, else `http_malformed`.
    result<void> end();
    bool done() const noexcept;
    /// When `done`: status, fields and body.
    http_reply take();

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};
}  // namespace shoal::net
