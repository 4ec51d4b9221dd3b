module peer;

namespace shoal::cli {
int run_verify(verify_options const&) {
    return static_cast<int>(exit_status::failed);
}
}  // namespace shoal::cli
