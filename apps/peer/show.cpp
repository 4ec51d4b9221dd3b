module peer;

namespace shoal::cli {
int run_show(show_options const&) {
    return static_cast<int>(exit_status::failed);
}
}  // namespace shoal::cli
