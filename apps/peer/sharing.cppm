module;
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// `peer share` at work: files and folders under way to the hub, and what is remembered of them.
module peer:sharing;
import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.session;
import shoal.share_record;
import :look;
import :moving;
import :options;
import :output;

namespace shoal::cli {
/// Between two looks at the files that are shared: what is seen the same twice is no longer being written.
inline constexpr auto look_interval = std::chrono::seconds{2};
/// The more files, the less often.
inline constexpr auto look_pause_of_file = std::chrono::milliseconds{5};
inline constexpr auto look_interval_max = std::chrono::minutes{5};
/// What cannot be made is tried for a tenth of the time.
inline constexpr int make_again_cost = 9;
/// Between two lines of progress, for two torrents in it.
inline constexpr auto show_pause = std::chrono::milliseconds{1};

/// When something that failed is tried again: later each time.
class asking_again {
public:
    bool is_due() const { return std::chrono::steady_clock::now() >= at_; }
    /// For `at_least` so long, but no longer than an hour.
    void put_off(std::chrono::steady_clock::duration at_least = {});
    /// It is due now, and waits as long as before where it fails again.
    void hasten() { at_ = {}; }

private:
    static constexpr auto wait_max = std::chrono::minutes{10};
    std::chrono::steady_clock::time_point at_{};
    std::chrono::seconds wait_{10};
};

/// A file or folder that is shared, as it is now.
struct shared {
    std::string path;                            // of files: text takes less than `std::filesystem::path`
    std::string whole_path;                      // by which its record is known
    bool is_listed = false;                      // a file of a folder, which may vanish for good
    bool is_gone = false;                        // nothing that can be shared is at its path
    snapshot seen;                               // at the last look
    snapshot made_from;                          // when the torrent was made
    std::int64_t looked_at = 0;                  // for `made_from`
    std::unique_ptr<share_record::record> kept;  // of an earlier run or making, until there is a torrent
    std::shared_ptr<byte_vector const> metainfo;
    std::shared_ptr<metainfo::torrent const> content;
    std::shared_ptr<watched> moved;
    std::uint64_t hashed = 0;  // bytes that were read to make the torrent
    bool is_hashed = false;    // or else it was made by an earlier run
    bool has_lost = false;     // what an earlier run hashed is not all there: no hash of it is used again
    bool is_offered = false;   // the hub was asked to list it, perhaps by an earlier run
    bool is_told = false;      // `content` was checked and told of
    bool is_published = false;
    bool is_recorded = false;  // its record says all this
    asking_again publish_again;
    asking_again make_again;            // where it could not be made or added
    std::string refusal;                // as last said
    std::string trouble;                // as last said, until it is shared
    std::vector<std::string> left_out;  // as last said
};

class sharing {
public:
    /// `announce_url` is the hub's.
    sharing(mover& with, share_options const& options, engine::hub_session& hub, std::string const& announce_url);
    ~sharing();  // the session goes on for a while
    sharing(sharing const&) = delete;
    sharing& operator=(sharing const&) = delete;

    /// Until a signal comes, or something makes it useless.
    net::task<void> run();
    /// Afterwards: records what is not recorded yet.
    net::task<void> keep_rest();
    /// All that is to be shared was hashed.
    bool is_begun() const noexcept { return is_begun_; }

private:
    /// A torrent that is shared no more, and that the hub may list still.
    struct leaving {
        info_hash torrent;
        std::filesystem::path path;  // as `shared::whole_path`
        asking_again again;
    };

    net::task<void> share_all();
    net::task<void> go_on();
    void look_around();
    void add_path(std::filesystem::path const& path, bool is_listed);
    net::task<void> list_paths();
    net::task<void> list_folders();
    net::task<std::vector<look>> look_on_pool(std::vector<std::shared_ptr<shared>> const& all);
    net::task<look> make_on_pool(shared const& what);
    net::task<void> show_hashing_of(hashing_progress const& progress);
    net::task<void> share(std::shared_ptr<shared> what, look made);
    void tell_trouble(shared& what, std::string message);  // once
    static void keep_hashes(shared& of, share_record::snapshot from, std::shared_ptr<metainfo::torrent const> content);
    net::task<bool> replace(shared& what, look made);
    net::task<void> tell_when_checked(std::shared_ptr<shared> whose);
    net::task<void> look_again(std::shared_ptr<shared> whose, look now);
    net::task<void> fetch(std::string target);
    void look_at_fetched();

    // The hub: share_hub.cpp.
    net::task<void> publish(shared& what);
    net::task<void> withdraw(shared& what);
    net::task<void> take_out_leaving();
    void on_hub_event(session::any_client_event const& happened);
    void tell_trouble(std::string why);
    void tell_if_unreachable();
    bool is_kept_out();

    // What is remembered: share_state.cpp.
    net::task<void> read_records();
    net::task<void> read_records(std::span<std::string const> names);
    net::task<void> take_up(std::span<std::shared_ptr<shared> const> those);
    net::task<void> find_gone();
    net::task<void> keep_records();
    net::task<void> write_records(bool also_unsynced);
    net::task<void> keep_what_is_shared();
    net::task<void> forget(std::vector<std::filesystem::path> paths);
    bool is_asked_for(std::filesystem::path const& whole_path) const;
    bool is_any_kept_below(std::filesystem::path const& folder) const;

    mover& with_;
    output& out_;
    share_options const& options_;
    engine::hub_session& hub_;
    std::vector<std::shared_ptr<shared>> all_;
    std::vector<std::filesystem::path> folders_;     // whose files are torrents of their own
    std::vector<std::shared_ptr<watched>> fetched_;  // by `--get`
    std::optional<failure> fetch_failure_;           // of one of them
    std::exception_ptr broken_;                      // the same, for what should not happen
    std::string hub_url_;                            // as it may be shown
    std::string trouble_;                            // why nothing is published, as last said
    net::signal told_;                               // of one more
    net::task_group* beside_ = nullptr;              // what goes on beside `run`
    bool is_known_ = false;                          // the hub has let us in
    bool is_begun_ = false;
    bool are_too_many_ = false;  // files for `--each`; said

    share_record::record_folder const records_;
    std::string const hub_key_;                                   // of the hub, in records
    byte_vector const made_with_;                                 // in records
    std::vector<std::filesystem::path> asked_for_;                // the paths of the options, whole
    std::map<std::filesystem::path, share_record::record> kept_;  // by earlier runs, not taken up yet
    std::vector<leaving> leaving_;
    std::string record_trouble_;  // as last said
};
}  // namespace shoal::cli
