module;
#include <coroutine>
#include <memory>
#include <string>

module shoal.net:tls;
import shoal.core;
import :seam;

namespace shoal::net {
/// Speaks TLS 1.2 or 1.3 as a client over `inner`; the certificate must be good for `host`, a name or an address, by
/// the system's trust store (or the one that SSL_CERT_FILE names). Else `errc::tls_failed`.
/// The result is for one task at a time: reading may have to write.
task<result<std::unique_ptr<stream>>> tls_connect(environment& environment, std::unique_ptr<stream> inner,
                                                  std::string host);
}  // namespace shoal::net
