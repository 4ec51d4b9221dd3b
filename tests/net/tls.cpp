#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <system_error>
#include <thread>

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
struct key_deleter {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct certificate_deleter {
    void operator()(X509* certificate) const { X509_free(certificate); }
};

/// A certificate that signs itself, for the names of `alternatives`, as OpenSSL spells them.
struct identity {
    std::unique_ptr<EVP_PKEY, key_deleter> key{EVP_EC_gen("P-256")};
    std::unique_ptr<X509, certificate_deleter> certificate{X509_new()};

    explicit identity(char const* alternatives, long seconds_valid = 3600) {
        auto* const x = certificate.get();
        X509_set_version(x, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
        X509_gmtime_adj(X509_getm_notBefore(x), -7200);
        X509_gmtime_adj(X509_getm_notAfter(x), seconds_valid);
        X509_set_pubkey(x, key.get());
        auto* const name = X509_get_subject_name(x);
        auto const* text = reinterpret_cast<unsigned char const*>(alternatives);
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
        X509_set_issuer_name(x, name);
        auto* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternatives);
        X509_add_ext(x, extension, -1);
        X509_EXTENSION_free(extension);
        X509_sign(x, key.get(), EVP_sha256());
    }
};

/// The identities that this process trusts; the trust store is read once, so they are made before anything else.
struct trusted {
    identity good{"DNS:localhost,IP:127.0.0.1"};
    identity expired{"DNS:localhost,IP:127.0.0.1", -3600};
    identity other_name{"DNS:other.example"};
    trusted() {
        std::string path = "/tmp/shoal-net-trust-XXXXXX";
        int const fd = ::mkstemp(path.data());
        auto* const file = ::fdopen(fd, "w");
        for (auto const* each : {&good, &expired, &other_name}) PEM_write_X509(file, each->certificate.get());
        std::fclose(file);
        ::setenv("SSL_CERT_FILE", path.c_str(), 1);
    }
    ~trusted() { ::unlink(::getenv("SSL_CERT_FILE")); }
};
trusted const& trust() {
    static trusted const all;
    return all;
}

/// A blocking server of one connection on its own thread, which says `text` and closes, properly if `farewell`.
class one_shot_server {
public:
    one_shot_server(identity const& who, std::string text, bool farewell) {
        std::signal(SIGPIPE, SIG_IGN);  // SSL_write to a client that has hung up
        listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        REQUIRE(::bind(listening_, reinterpret_cast<sockaddr*>(&at), size) == 0);
        REQUIRE(::listen(listening_, 1) == 0);
        ::getsockname(listening_, reinterpret_cast<sockaddr*>(&at), &size);
        port_ = ntohs(at.sin_port);
        thread_ = std::thread{[&who, text = std::move(text), farewell, fd = listening_] {
            int const client = ::accept(fd, nullptr, nullptr);
            auto* const context = SSL_CTX_new(TLS_server_method());
            SSL_CTX_use_certificate(context, who.certificate.get());
            SSL_CTX_use_PrivateKey(context, who.key.get());
            auto* const ssl = SSL_new(context);
            SSL_set_fd(ssl, client);
            char request[2000];
            if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof request) > 0) {
                SSL_write(ssl, text.data(), static_cast<int>(text.size()));
                if (farewell) SSL_shutdown(ssl);
            }
            SSL_free(ssl);
            SSL_CTX_free(context);
            ::close(client);
        }};
    }
    one_shot_server(one_shot_server const&) = delete;
    ~one_shot_server() {
        thread_.join();
        ::close(listening_);
    }
    std::string url(std::string const& host) const { return "https://" + host + ":" + std::to_string(port_) + "/"; }

private:
    int listening_ = -1;
    int port_ = 0;
    std::thread thread_;
};

result<net::http_reply> fetch(std::string url) {
    result<net::http_reply> out = net::errc::closed;
    testing::on_machine([&](net::environment& env) -> net::task<void> { out = co_await net::http_get(env, url); });
    return out;
}
std::string const endless = "HTTP/1.1 200 OK\r\n\r\n" + std::string(200'000, 'x');
}  // namespace

TEST_CASE("https works by name and by address when the certificate is good for it", "[net]") {
    for (std::string const host : {"localhost", "127.0.0.1"}) {
        one_shot_server const server{trust().good, endless, true};
        auto const reply = fetch(server.url(host));
        REQUIRE(reply.has_value());
        CHECK(reply.value().body == std::string(200'000, 'x'));
    }
}

TEST_CASE("a certificate that is unknown, expired or of another host is refused", "[net]") {
    trust();
    identity const unknown{"DNS:localhost,IP:127.0.0.1"};
    for (auto const* who : {&unknown, &trust().expired, &trust().other_name}) {
        one_shot_server const server{*who, endless, true};
        auto const reply = fetch(server.url("127.0.0.1"));
        CHECK((!reply && reply.error() == net::errc::tls_failed));
    }
}

TEST_CASE("a TLS stream that is cut without a farewell is no whole reply", "[net]") {
    {
        one_shot_server const server{trust().good, endless, false};
        auto const reply = fetch(server.url("localhost"));
        CHECK((!reply && reply.error() == net::errc::tls_failed));
    }
    one_shot_server const server{trust().good, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false};
    CHECK(fetch(server.url("localhost")).has_value());
}

TEST_CASE("a redirect leads from https to nothing but https", "[net]") {
    one_shot_server const server{
        trust().good, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", true};
    auto const reply = fetch(server.url("localhost"));
    CHECK((!reply && reply.error() == net::errc::http_redirects));  // and not that nobody listens there
}

TEST_CASE("a server that does not speak TLS is refused", "[net]") {
    testing::on_machine([](net::environment& env) -> net::task<void> {
        auto listener = env.network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
        auto const at = listener->local();
        auto const plain = [&]() -> net::task<void> {
            auto client = (co_await listener->accept()).value();
            (void)co_await client->write_all(as_bytes("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
            byte_vector place(1000);
            while (co_await client->read_some(place)) {}
        };
        net::task_group group{co_await asio::this_coro::executor};
        group.spawn("plain", plain());
        auto const reply = co_await net::http_get(env, "https://" + at.to_string() + "/");
        CHECK((!reply && reply.error() == net::errc::tls_failed));
        group.cancel();
        co_await group.join();
    });
}
