module peer;

namespace shoal::cli {
int run_create(create_options const&) {
    return static_cast<int>(exit_status::failed);
}
}  // namespace shoal::cli
