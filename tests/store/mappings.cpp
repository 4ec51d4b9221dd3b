#include <catch2/catch.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "refused_calls.hpp"

#include "fixture.hpp"
using namespace fixture;

// Class L11: mappings are bounded, in a store and in the process, and doing without them is no failure.
namespace {
/// The content of a torrent on disk, opened under the store.
struct disk {
    temporary_folder folder;
    sample content;
    std::shared_ptr<store::back_end_files> files;

    explicit disk(sample what) : content(std::move(what)), files(opened(true)) {}
    std::shared_ptr<store::back_end_files> opened(bool writable) const {
        store::disk_settings settings;
        settings.directory = folder.path();
        settings.writable = writable;
        return store::open_disk_files(content.torrent, settings).value();
    }
    bool is_mapped(store::file_number file) { return files->resident(file, 0, 1).has_value(); }
};

sample one_file() {
    return make_sample({{"a", 65'536}});
}
}  // namespace

TEST_CASE("a store with more windows than it may have unmaps those that were not used for longest", "[store]") {
    std::vector<std::pair<std::string, std::size_t>> sizes;
    for (std::size_t i = 0; i < store::windows_max + 1; ++i) sizes.emplace_back("f" + std::to_string(10'000 + i), 1);
    disk on{make_sample(sizes)};
    on.content.place(on.folder.path());
    auto const last = static_cast<store::file_number>(store::windows_max);
    for (store::file_number file = 0; file < last; ++file) on.files->map_for_reading(file, 0, 1);
    CHECK(on.is_mapped(0));                           // used just now
    auto const in_use = on.files->resident(1, 0, 1);  // and this is held
    for (store::file_number file = 3; file < last; ++file) REQUIRE(on.is_mapped(file));
    REQUIRE(in_use);
    on.files->map_for_reading(last, 0, 1);
    CHECK(on.is_mapped(last));
    CHECK(on.is_mapped(1));
    CHECK_FALSE(on.is_mapped(2));
    CHECK(on.is_mapped(last - 1));
    std::size_t unmapped = 0;
    for (store::file_number file = 0; file < last; ++file) unmapped += !on.is_mapped(file);
    CHECK(unmapped == store::windows_max / 8);
    CHECK(equal(in_use->bytes, on.content.files.at("f10001")));
}

TEST_CASE("at the process's limit of mappings there are no windows, and buffers still do", "[store]") {
    disk const seeder{one_file()};
    seeder.content.place(seeder.folder.path());
    disk const leecher{one_file()};
    REQUIRE(leecher.files->open_for_writing(0, store::adopting::nothing, 65'536));
    std::vector<store::mapped_bytes> held;
    while (held.size() <= store::process_windows_max) {
        auto const another = seeder.opened(false);
        another->map_for_reading(0, 0, 1);
        auto seen = another->resident(0, 0, 1);
        if (!seen) break;
        held.push_back(std::move(*seen));
    }
    CHECK(held.size() == store::process_windows_max);
    CHECK_FALSE(leecher.files->prepare(0, 0, 65'536).value());
    REQUIRE(leecher.files->write(0, 0, std::vector<byte_view>{leecher.content.linear}));
    byte_vector back(65'536);
    REQUIRE(leecher.files->read(0, 0, back));
    CHECK(back == leecher.content.linear);
    held.pop_back();
    CHECK(leecher.files->prepare(0, 0, 65'536).value());
}

TEST_CASE("where the system maps nothing more, or never, blocks go by buffers", "[store]") {
    auto const error = GENERATE(ENOMEM, ENODEV);
    disk on{one_file()};
    REQUIRE(on.files->open_for_writing(0, store::adopting::nothing, 65'536));
    auto const refused = with_refused_call(shared_mappings(error), [&] {
        auto const window = on.files->prepare(0, 0, 65'536);
        CHECK(window);
        CHECK_FALSE((window && window.value()));
        on.files->map_for_reading(0, 0, 4096);
        CHECK_FALSE(on.is_mapped(0));
    });
    if (!refused) return;
    CHECK(on.files->prepare(0, 0, 65'536).value());  // those that failed are not counted
}

TEST_CASE("a mapping that fails for another reason is told with its file", "[store]") {
    disk on{one_file()};
    REQUIRE(on.files->open_for_writing(0, store::adopting::nothing, 65'536));
    with_refused_call(shared_mappings(EACCES), [&] {
        CHECK(on.files->prepare(0, 0, 65'536).error() == std::errc::permission_denied);
        CHECK(on.files->last_failed_path() == (on.content.root(on.folder.path()) / "a").string());
    });
}

namespace {
/// Has the first half mebibyte in memory, and nothing else.
class half_resident final : public store::simulated_files {
public:
    half_resident(std::shared_ptr<store::simulated_disk> disk, byte_vector content)
        : simulated_files(std::move(disk)), content_(std::move(content)) {}
    std::optional<store::mapped_bytes> resident(store::file_number, std::uint64_t offset, std::size_t size) override {
        if (offset + size > 512 * 1024) return std::nullopt;
        ++given;
        return store::mapped_bytes{mutable_byte_view{content_}.subspan(offset, size), nullptr};
    }
    int given = 0;

private:
    byte_vector content_;
};
}  // namespace

TEST_CASE("a piece whose pages leave memory while it is hashed is read instead, from its beginning", "[store]") {
    auto const content = make_sample({{"a", 1u << 20}}, metainfo::format::v1, 1u << 20);
    auto const disk = std::make_shared<store::simulated_disk>(1);
    disk->put("0", content.files.at("a"));
    auto const files = std::make_shared<half_resident>(disk, content.files.at("a"));
    store::store_settings settings;
    settings.writable = false;
    auto const on = store::chunk_store::open(content.torrent, settings, files).value();
    CHECK(on->check_piece(piece_index{0}).value());
    CHECK(files->given > 0);
}
