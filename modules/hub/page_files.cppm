module;
#include <span>
#include <string_view>

/// The monitor page, compiled in.
module shoal.hub:page_files;

namespace shoal::hub {
struct page_file {
    std::string_view path;  ///< `/`, `/page.js`
    std::string_view content_type;
    std::string_view bytes;
};
inline std::span<page_file const> page_files() {
    return {};
}
}  // namespace shoal::hub
