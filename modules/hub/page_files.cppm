module;
#include <span>
#include <string_view>

/// The monitor page, compiled in: no path of a request ever reaches the file system.
export module shoal.hub:page_files;

export namespace shoal::hub {
/// One file of the page. All of it lasts as long as the program.
struct page_file {
    std::string_view path;          ///< As it is asked for, without the slash in front: "index.html", "page.js".
    std::string_view content_type;  ///< For the header of that name.
    std::string_view bytes;
};

/// The files of the page, `index.html` first. Made from `modules/hub/page` by `cmake/ShoalPage.cmake`.
std::span<page_file const> page_files() noexcept;
}  // namespace shoal::hub
