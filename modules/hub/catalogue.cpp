module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.hub;
import :database;
import :matching;
import shoal.bencode;
import shoal.core;
import shoal.hash;
import shoal.metainfo;

namespace shoal::hub {
namespace fs = std::filesystem;

namespace {
/// "SHOA", in the header of our files.
constexpr std::int64_t application_id = 0x53484f41;
constexpr std::int64_t page_size = 4096;

/// What takes a file from each version of the schema to the next; the first from nothing. Never changed, only added to.
constexpr std::array migrations{R"(
CREATE TABLE entry(
    id INTEGER PRIMARY KEY,
    swarm BLOB NOT NULL UNIQUE,
    v1 BLOB,
    v2 BLOB,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    file_count INTEGER NOT NULL,
    piece_length INTEGER NOT NULL,
    piece_count INTEGER NOT NULL,
    private INTEGER NOT NULL,
    added INTEGER NOT NULL,
    orphaned INTEGER,
    completed INTEGER NOT NULL DEFAULT 0,
    stored INTEGER NOT NULL
) STRICT;
CREATE INDEX entry_by_name ON entry(name, swarm);
CREATE INDEX entry_by_orphaned ON entry(orphaned) WHERE orphaned IS NOT NULL;
CREATE TABLE metainfo(
    entry INTEGER PRIMARY KEY REFERENCES entry(id) ON DELETE CASCADE,
    torrent BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE file(
    entry INTEGER NOT NULL REFERENCES entry(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY(entry, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE owner(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seen INTEGER NOT NULL) STRICT;
CREATE TABLE holding(
    entry INTEGER NOT NULL REFERENCES entry(id) ON DELETE CASCADE,
    owner INTEGER NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
    since INTEGER NOT NULL,
    PRIMARY KEY(entry, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX holding_by_owner ON holding(owner);
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE VIEW searchable(id, name, paths) AS
    SELECT id, name, (SELECT group_concat(path, char(10)) FROM file WHERE file.entry = entry.id) FROM entry;
CREATE VIRTUAL TABLE words USING fts5(name, paths, content = 'searchable', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2');
)"};
constexpr auto schema_version = static_cast<std::int64_t>(migrations.size());

/// What `read_entry` expects.
constexpr std::string_view entry_columns =
    "e.id, e.swarm, e.v1, e.v2, e.name, e.size, e.file_count, e.piece_length, e.added, e.completed,"
    " e.piece_count, e.private";

std::string select_entries(std::string_view rest) {
    return std::string{"SELECT "}.append(entry_columns).append(rest);
}

std::int64_t to_sql(std::uint64_t number) noexcept {
    return static_cast<std::int64_t>(number);
}
std::int64_t to_sql(wall_time at) noexcept {
    return at.time_since_epoch().count();
}
wall_time to_time(std::int64_t seconds) noexcept {
    return wall_time{std::chrono::seconds{seconds}};
}

bool is_owner_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= owner_bytes_max && is_valid_utf8(name) &&
           name.find('\0') == std::string_view::npos;
}

/// The torrent file that the catalogue keeps: what the info-hashes cover, and nothing of its publisher's.
byte_vector kept_metainfo(metainfo::torrent const& of) {
    bencode::encoder out;
    out.dictionary().key("info").encoded(of.info_bytes());
    if (of.has_v2()) {
        std::map<sha256_digest, byte_view> layers;  // files of one content share theirs
        auto const& files = of.content().files();
        for (std::uint32_t number = 0; number < files.size(); ++number) {
            auto const layer = of.piece_layer(number);
            if (auto const& root = files[number].pieces_root; root && !layer.empty()) layers.emplace(*root, layer);
        }
        out.key("piece layers").dictionary();
        for (auto const& [root, layer] : layers) out.entry(as_text(root.view()), layer);
        out.end();
    }
    return out.end().take();
}

template <class Identifier>
std::optional<Identifier> identifier_at(rows const& row, int column) {
    return Identifier::from(row.bytes(column));
}
}  // namespace

struct catalogue::parts {
    catalogue_limits within;
    std::optional<fs::path> aside;
    std::unique_ptr<lock_file> held;
    database db;
    saved_counters totals;
    std::uint64_t entry_count = 0;
    std::uint64_t byte_count = 0;  // of metainfo and paths

    statement entry_of_hash, metainfo_of_entry, entries_of_name, all_entries, found_entries, is_any_found, all_names,
        entry_by_id, files_of_entry, owners_of_entry, owner_count_of_entry;
    statement add_entry, add_metainfo, repair_metainfo, add_file, add_words;
    statement add_owner, add_holding, adopt, remove_holding, remove_owner_without_holding, orphan_if_unheld,
        touch_owner;
    statement remove_silent_owners, orphan_unheld, old_orphans, remove_words, remove_entry;
    statement set_counter, add_completed;

    /// An entry and its key in the tables.
    struct found {
        std::int64_t id;
        catalogue_entry entry;
    };
    /// A content that was taken apart for the tables.
    struct indexed_file {
        std::uint32_t number;
        std::string path;
        std::uint64_t size;
    };

    result<void> start(fs::path const& file);
    result<void> migrate(bool is_new);
    result<void> check();
    result<void> prepare();
    result<void> load();

    result<found> read_entry(rows const& row);
    result<std::vector<catalogue_entry>> read_entries(rows& from);
    result<std::optional<found>> find_hash(info_hash const& content);
    result<std::vector<content_owner>> read_owners(std::int64_t entry, std::size_t limit);
    result<catalogue_page> page(rows&& from, std::size_t limit);
    result<catalogue_page> match_names(std::string form, catalogue_position const& after, std::size_t limit);
    result<std::vector<catalogue_entry>> entries_with(std::vector<std::int64_t> const& ids);

    result<std::int64_t> add(metainfo::torrent const& torrent, wall_time now);
};

// Opening

result<catalogue> catalogue::open(fs::path file, catalogue_limits within) {
    auto const is_in_memory = file == ":memory:";
    std::optional<fs::path> aside;
    for (;;) {
        auto made = std::make_unique<parts>();
        made->within = within;
        made->aside = aside;
        auto const started = [&]() -> result<void> {
            if (!is_in_memory) {
                SHOAL_TRY(made->held, lock_catalogue(file));
                SHOAL_TRY(check_header(file));
            }
            return made->start(file);
        }();
        if (started) return catalogue{std::move(made)};
        // A new file cannot be damaged: then it is this program or the disk, and nothing is won by another.
        if (started.error() != errc::damaged || aside || is_in_memory) return started.error();
        auto const held = std::move(made->held);
        made.reset();
        SHOAL_TRY(aside, set_file_aside(file));
    }
}

result<void> catalogue::parts::start(fs::path const& file) {
    SHOAL_TRY(db, database::open(file));
    auto const tables = db.number("SELECT count(*) FROM sqlite_schema");
    auto const is_new = tables && tables.value() == 0;
    auto const set_up = [&]() -> result<void> {
        SHOAL_TRY(tables);
        SHOAL_TRY(migrate(is_new));
        if (!is_new) {
            SHOAL_TRY(check());
        }
        SHOAL_TRY(prepare());
        return load();
    }();
    // The statements are right for a sound file: one that refuses them is not.
    if (!set_up && set_up.error() == errc::database_failed && !is_new) return errc::damaged;
    return set_up;
}

result<void> catalogue::parts::migrate(bool is_new) {
    SHOAL_TRY(auto const owner, db.number("PRAGMA application_id"));
    SHOAL_TRY(auto const version, db.number("PRAGMA user_version"));
    if (!is_new) {
        if (owner != application_id) return errc::not_a_catalogue;
        if (version > schema_version) return errc::newer_schema;
        if (version < 1) return errc::damaged;
    }
    // FULL, for all: a publisher who was told that he is listed does not publish again. Publishing is rare, and
    // counters are saved once a minute, so that nothing is won by less.
    SHOAL_TRY(db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864"));
    auto const pages = std::max<std::uint64_t>(1, within.file_bytes_max / page_size);
    auto const limit = "PRAGMA max_page_count = " + std::to_string(std::min<std::uint64_t>(pages, 0xfffffffe));
    SHOAL_TRY(db.execute(limit.c_str()));
    if (!is_new && version == schema_version) return success();
    transaction change{db};
    SHOAL_TRY(change.begun());
    for (auto step = is_new ? 0 : version; step < schema_version; ++step) {
        SHOAL_TRY(db.execute(migrations[static_cast<std::size_t>(step)]));
    }
    auto const marks = "PRAGMA application_id = " + std::to_string(application_id) +
                       "; PRAGMA user_version = " + std::to_string(schema_version);
    SHOAL_TRY(db.execute(marks.c_str()));
    return change.commit();
}

/// The tables have to be sound. The search index can be made from them.
result<void> catalogue::parts::check() {
    {
        SHOAL_TRY(auto query, db.prepare("PRAGMA quick_check(1)"));
        auto answer = query.run();
        SHOAL_TRY(auto const is_there, answer.next());
        if (!is_there || answer.text(0) != "ok") return errc::damaged;
    }
    auto const index = db.execute("INSERT INTO words(words) VALUES('integrity-check')");
    if (index) return success();
    if (index.error() != errc::damaged && index.error() != errc::database_failed) return index.error();
    return db.execute("INSERT INTO words(words) VALUES('rebuild')");
}

result<void> catalogue::parts::prepare() {
    SHOAL_TRY(entry_of_hash, db.prepare(select_entries(" FROM entry e WHERE swarm = ?1")));
    SHOAL_TRY(entry_by_id, db.prepare(select_entries(" FROM entry e WHERE id = ?1")));
    SHOAL_TRY(entries_of_name, db.prepare(select_entries(" FROM entry e WHERE name = ?1 ORDER BY swarm LIMIT ?2")));
    SHOAL_TRY(all_entries, db.prepare(select_entries(" FROM entry e WHERE (name, swarm) > (?1, ?2)"
                                                     " ORDER BY name, swarm LIMIT ?3")));
    // CROSS JOIN keeps the index of words in front: asked once, not for every entry.
    SHOAL_TRY(found_entries, db.prepare(select_entries(" FROM words CROSS JOIN entry e ON e.id = words.rowid"
                                                       " WHERE words MATCH ?4 AND (e.name, e.swarm) > (?1, ?2)"
                                                       " ORDER BY e.name, e.swarm LIMIT ?3")));
    SHOAL_TRY(is_any_found, db.prepare("SELECT 1 FROM words WHERE words MATCH ?1 LIMIT 1"));
    SHOAL_TRY(all_names, db.prepare("SELECT id, name FROM entry WHERE (name, swarm) > (?1, ?2) ORDER BY name, swarm"));
    SHOAL_TRY(metainfo_of_entry, db.prepare("SELECT torrent, digest FROM metainfo WHERE entry = ?1"));
    SHOAL_TRY(files_of_entry, db.prepare("SELECT path, size FROM file WHERE entry = ?1"
                                         " ORDER BY number LIMIT ?2 OFFSET ?3"));
    SHOAL_TRY(owners_of_entry, db.prepare("SELECT o.name, h.since, o.seen FROM holding h JOIN owner o ON o.id = h.owner"
                                          " WHERE h.entry = ?1 ORDER BY h.since, o.name LIMIT ?2"));
    SHOAL_TRY(owner_count_of_entry, db.prepare("SELECT count(*) FROM holding WHERE entry = ?1"));

    SHOAL_TRY(add_entry, db.prepare("INSERT INTO entry(swarm, v1, v2, name, size, file_count, piece_length, added,"
                                    " stored, piece_count, private)"
                                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id"));
    SHOAL_TRY(add_metainfo, db.prepare("INSERT INTO metainfo(entry, torrent, digest) VALUES(?1, ?2, ?3)"));
    SHOAL_TRY(repair_metainfo, db.prepare("UPDATE metainfo SET torrent = ?2, digest = ?3"
                                          " WHERE entry = ?1 AND (torrent <> ?2 OR digest <> ?3)"));
    SHOAL_TRY(add_file, db.prepare("INSERT INTO file(entry, number, path, size) VALUES(?1, ?2, ?3, ?4)"));
    SHOAL_TRY(add_words, db.prepare("INSERT INTO words(rowid, name, paths)"
                                    " SELECT id, name, paths FROM searchable WHERE id = ?1"));
    SHOAL_TRY(add_owner, db.prepare("INSERT INTO owner(name, seen) VALUES(?1, ?2)"
                                    " ON CONFLICT(name) DO UPDATE SET seen = max(seen, excluded.seen) RETURNING id"));
    SHOAL_TRY(add_holding, db.prepare("INSERT OR IGNORE INTO holding(entry, owner, since) VALUES(?1, ?2, ?3)"));
    SHOAL_TRY(adopt, db.prepare("UPDATE entry SET orphaned = NULL WHERE id = ?1 AND orphaned IS NOT NULL"));
    SHOAL_TRY(remove_holding, db.prepare("DELETE FROM holding WHERE entry = ?1"
                                         " AND owner = (SELECT id FROM owner WHERE name = ?2)"));
    SHOAL_TRY(remove_owner_without_holding,
              db.prepare("DELETE FROM owner WHERE name = ?1"
                         " AND NOT EXISTS (SELECT 1 FROM holding WHERE holding.owner = owner.id)"));
    SHOAL_TRY(orphan_if_unheld, db.prepare("UPDATE entry SET orphaned = ?2 WHERE id = ?1"
                                           " AND NOT EXISTS (SELECT 1 FROM holding WHERE holding.entry = entry.id)"));
    SHOAL_TRY(touch_owner, db.prepare("UPDATE owner SET seen = max(seen, ?2) WHERE name = ?1"));

    SHOAL_TRY(remove_silent_owners, db.prepare("DELETE FROM owner WHERE seen <= ?1"));
    SHOAL_TRY(orphan_unheld, db.prepare("UPDATE entry SET orphaned = ?1 WHERE orphaned IS NULL"
                                        " AND NOT EXISTS (SELECT 1 FROM holding WHERE holding.entry = entry.id)"));
    SHOAL_TRY(old_orphans, db.prepare("SELECT id, stored FROM entry WHERE orphaned <= ?1 ORDER BY orphaned LIMIT ?2"));
    SHOAL_TRY(remove_words, db.prepare("INSERT INTO words(words, rowid, name, paths)"
                                       " SELECT 'delete', id, name, paths FROM searchable WHERE id = ?1"));
    SHOAL_TRY(remove_entry, db.prepare("DELETE FROM entry WHERE id = ?1"));

    SHOAL_TRY(set_counter, db.prepare("INSERT INTO counter(name, value) VALUES(?1, ?2)"
                                      " ON CONFLICT(name) DO UPDATE SET value = excluded.value"));
    SHOAL_TRY(add_completed, db.prepare("UPDATE entry SET completed = completed + ?2 WHERE swarm = ?1"));
    return success();
}

result<void> catalogue::parts::load() {
    SHOAL_TRY(auto const entries, db.number("SELECT count(*) FROM entry"));
    SHOAL_TRY(auto const bytes, db.number("SELECT coalesce(sum(stored), 0) FROM entry"));
    entry_count = static_cast<std::uint64_t>(entries);
    byte_count = static_cast<std::uint64_t>(bytes);
    SHOAL_TRY(auto query, db.prepare("SELECT name, value FROM counter"));
    auto all = query.run();
    for (;;) {
        SHOAL_TRY(auto const is_at_row, all.next());
        if (!is_at_row) return success();
        totals[std::string{all.text(0)}] = static_cast<std::uint64_t>(all.integer(1));
    }
}

catalogue::catalogue(std::unique_ptr<parts> made) noexcept : parts_(std::move(made)) {}
catalogue::catalogue(catalogue&&) noexcept = default;
catalogue& catalogue::operator=(catalogue&&) noexcept = default;
catalogue::~catalogue() = default;

std::optional<fs::path> const& catalogue::set_aside() const noexcept {
    return parts_->aside;
}
std::size_t catalogue::size() const noexcept {
    return parts_->entry_count;
}

// Publishing

result<publication> catalogue::publish(std::string_view owner, byte_view torrent_file, wall_time now) {
    auto& in = *parts_;
    if (!is_owner_name(owner)) return errc::bad_owner;
    metainfo::limits const accepted{.input_bytes_max = in.within.metainfo_bytes_max};
    SHOAL_TRY(auto const torrent, metainfo::parse_torrent(torrent_file, accepted));
    if (torrent.has_v2() && !torrent.has_piece_roots()) return errc::missing_layers;

    publication done;
    auto const entries_before = in.entry_count;
    auto const bytes_before = in.byte_count;
    auto const write = [&]() -> result<void> {
        transaction change{in.db};
        SHOAL_TRY(change.begun());
        SHOAL_TRY(auto const known, in.find_hash(torrent.swarm_hash()));
        std::int64_t id;
        if (known) {
            id = known->id;
            auto const kept = kept_metainfo(torrent);
            auto const digest = hash::sha1_of(kept);
            SHOAL_TRY(in.repair_metainfo.execute({id, kept, digest.view()}));
        } else {
            SHOAL_TRY(id, in.add(torrent, now));
            done.is_new_content = true;
        }
        {
            auto row = in.add_owner.run({owner, to_sql(now)});
            SHOAL_TRY(auto const is_there, row.next());
            if (!is_there) return errc::database_failed;
            auto const owner_id = row.integer(0);
            SHOAL_TRY(row.next());
            SHOAL_TRY(in.add_holding.execute({id, owner_id, to_sql(now)}));
            done.is_new_owner = in.db.changes() > 0;
        }
        if (done.is_new_owner && known && known->entry.owner_count >= in.within.owners_max)
            return errc::too_many_owners;
        SHOAL_TRY(in.adopt.execute({id}));
        auto now_known = in.find_hash(torrent.swarm_hash());
        if (!now_known) return now_known.error();
        if (!now_known.value()) return errc::damaged;
        done.entry = std::move(now_known.value()->entry);
        return change.commit();
    };
    if (auto const written = write(); !written) {
        in.entry_count = entries_before;
        in.byte_count = bytes_before;
        return written.error();
    }
    return done;
}

/// Adds a content without owner, inside a transaction.
result<std::int64_t> catalogue::parts::add(metainfo::torrent const& torrent, wall_time now) {
    if (entry_count >= within.entries_max) return errc::catalogue_full;
    std::vector<indexed_file> files;
    std::uint64_t size = 0;
    std::uint32_t file_count = 0;
    std::size_t path_bytes = 0;
    for (auto const& each : torrent.content().files()) {
        if (each.pad) continue;
        size += each.size;
        auto const number = file_count++;
        if (files.size() == within.indexed_files_max || path_bytes >= within.indexed_path_bytes_max) continue;
        files.push_back({number, each.joined(), each.size});
        path_bytes += files.back().path.size();
    }
    auto const kept = kept_metainfo(torrent);
    auto const stored = kept.size() + path_bytes;
    if (byte_count + stored > within.bytes_max) return errc::catalogue_full;

    auto const hash_or_null = [](auto const& digest) -> sql_value {
        if (digest) return digest->view();
        return nullptr;
    };
    std::int64_t id;
    {
        auto row =
            add_entry.run({torrent.swarm_hash().view(), hash_or_null(torrent.info_hash_v1()),
                           hash_or_null(torrent.info_hash_v2()), std::string_view{torrent.name()}, to_sql(size),
                           to_sql(file_count), to_sql(torrent.pieces().piece_length()), to_sql(now), to_sql(stored),
                           to_sql(torrent.pieces().piece_count()), std::int64_t{torrent.is_private()}});
        SHOAL_TRY(auto const is_there, row.next());
        if (!is_there) return errc::database_failed;
        id = row.integer(0);
        SHOAL_TRY(row.next());
    }
    auto const digest = hash::sha1_of(kept);
    SHOAL_TRY(add_metainfo.execute({id, kept, digest.view()}));
    for (auto const& each : files) {
        SHOAL_TRY(add_file.execute({id, to_sql(each.number), std::string_view{each.path}, to_sql(each.size)}));
    }
    SHOAL_TRY(add_words.execute({id}));
    ++entry_count;
    byte_count += stored;
    return id;
}

result<bool> catalogue::unpublish(std::string_view owner, info_hash const& content, wall_time now) {
    auto& in = *parts_;
    transaction change{in.db};
    SHOAL_TRY(change.begun());
    SHOAL_TRY(auto const known, in.find_hash(content));
    if (!known) return false;
    SHOAL_TRY(in.remove_holding.execute({known->id, owner}));
    if (in.db.changes() == 0) return false;
    SHOAL_TRY(in.remove_owner_without_holding.execute({owner}));
    SHOAL_TRY(in.orphan_if_unheld.execute({known->id, to_sql(now)}));
    SHOAL_TRY(change.commit());
    return true;
}

result<bool> catalogue::touch(std::string_view owner, wall_time now) {
    SHOAL_TRY(parts_->touch_owner.execute({owner, to_sql(now)}));
    return parts_->db.changes() > 0;
}

result<std::size_t> catalogue::forget(wall_time now) {
    auto& in = *parts_;
    std::vector<std::int64_t> gone;
    std::uint64_t bytes = 0;
    transaction change{in.db};
    SHOAL_TRY(change.begun());
    SHOAL_TRY(in.remove_silent_owners.execute({to_sql(now - in.within.owner_kept)}));
    if (in.db.changes() > 0) {
        SHOAL_TRY(in.orphan_unheld.execute({to_sql(now)}));
    }
    {
        auto old = in.old_orphans.run({to_sql(now - in.within.orphan_kept), to_sql(forgotten_at_once)});
        for (;;) {
            SHOAL_TRY(auto const is_at_row, old.next());
            if (!is_at_row) break;
            gone.push_back(old.integer(0));
            bytes += static_cast<std::uint64_t>(old.integer(1));
        }
    }
    for (auto const id : gone) {
        SHOAL_TRY(in.remove_words.execute({id}));
        SHOAL_TRY(in.remove_entry.execute({id}));
    }
    SHOAL_TRY(change.commit());
    in.entry_count -= gone.size();
    in.byte_count -= std::min(in.byte_count, bytes);
    return gone.size();
}

// Searching

result<catalogue_page> catalogue::find(std::string_view pattern, std::size_t limit,
                                       std::optional<catalogue_position> const& after) {
    auto& in = *parts_;
    if (pattern.size() > pattern_bytes_max) return errc::pattern_too_long;
    limit = std::min(limit, listed_entries_max);
    if (limit == 0) return catalogue_page{};
    auto const from = after.value_or(catalogue_position{});
    auto const name = std::string_view{from.name};
    auto const one_more = to_sql(limit + 1);
    auto const text = readable(pattern);
    if (text.empty()) return in.page(in.all_entries.run({name, from.swarm_hash.view(), one_more}), limit);
    if (text.find_first_of("*?") != std::string::npos) return in.match_names(text, from, limit);
    auto const query = prefix_query(text);
    {
        // Whether there are any words like these must not depend on the page.
        auto any = in.is_any_found.run({std::string_view{query}});
        SHOAL_TRY(auto const is_there, any.next());
        if (!is_there) return in.match_names("*" + text + "*", from, limit);
    }
    return in.page(in.found_entries.run({name, from.swarm_hash.view(), one_more, std::string_view{query}}), limit);
}

result<std::vector<catalogue_entry>> catalogue::by_name(std::string_view name) {
    auto from = parts_->entries_of_name.run({name, to_sql(listed_entries_max)});
    return parts_->read_entries(from);
}

result<std::vector<catalogue_entry>> catalogue::near(std::string_view name, std::size_t count) {
    struct candidate {
        double likeness;
        std::size_t place;  // in the order of names
        std::int64_t id;
    };
    auto& in = *parts_;
    std::vector<candidate> candidates;
    similarity likeness{metainfo::folded_name(name.substr(0, metainfo::name_bytes_max))};
    {
        auto names = in.all_names.run({std::string_view{}, byte_view{}});
        for (;;) {
            SHOAL_TRY(auto const is_at_row, names.next());
            if (!is_at_row) break;
            auto const is = likeness.to(metainfo::folded_name(names.text(1)));
            if (is >= similarity_min) candidates.push_back({is, candidates.size(), names.integer(0)});
        }
    }
    std::sort(candidates.begin(), candidates.end(), [](candidate const& a, candidate const& b) {
        return a.likeness != b.likeness ? a.likeness > b.likeness : a.place < b.place;
    });
    candidates.resize(std::min({candidates.size(), count, listed_entries_max}));
    std::vector<std::int64_t> ids;
    ids.reserve(candidates.size());
    for (auto const& each : candidates) ids.push_back(each.id);
    return in.entries_with(ids);
}

result<std::optional<stored_torrent>> catalogue::by_hash(info_hash const& content) {
    auto& in = *parts_;
    SHOAL_TRY(auto known, in.find_hash(content));
    if (!known) return std::nullopt;
    auto row = in.metainfo_of_entry.run({known->id});
    SHOAL_TRY(auto const is_there, row.next());
    if (!is_there) return errc::damaged;
    auto const kept = row.bytes(0);
    if (!equal(hash::sha1_of(kept).view(), row.bytes(1))) return errc::damaged;
    return std::optional{stored_torrent{std::move(known->entry), {kept.begin(), kept.end()}}};
}

result<std::vector<catalogue_file>> catalogue::files(info_hash const& content, std::size_t from) {
    auto& in = *parts_;
    std::vector<catalogue_file> list;
    SHOAL_TRY(auto const known, in.find_hash(content));
    if (!known) return list;
    auto all = in.files_of_entry.run({known->id, to_sql(listed_entries_max), to_sql(from)});
    for (;;) {
        SHOAL_TRY(auto const is_at_row, all.next());
        if (!is_at_row) return list;
        list.push_back({std::string{all.text(0)}, static_cast<std::uint64_t>(all.integer(1))});
    }
}

result<std::vector<content_owner>> catalogue::owners(info_hash const& content) {
    SHOAL_TRY(auto const known, parts_->find_hash(content));
    if (!known) return std::vector<content_owner>{};
    return parts_->read_owners(known->id, parts_->within.owners_max);
}

/// Walks the names in order from a position on. `form` as a person typed it.
result<catalogue_page> catalogue::parts::match_names(std::string form, catalogue_position const& after,
                                                     std::size_t limit) {
    std::vector<std::int64_t> ids;
    bool is_more = false;
    {
        wildcards const wanted{metainfo::folded_name(form)};
        auto steps = matching_steps_max;
        auto names = all_names.run({std::string_view{after.name}, after.swarm_hash.view()});
        while (!is_more) {
            SHOAL_TRY(auto const is_at_row, names.next());
            if (!is_at_row) break;
            auto const matches = wanted.match(metainfo::folded_name(names.text(1)), steps);
            if (!matches) return errc::pattern_too_wide;
            if (!*matches) continue;
            if (ids.size() == limit)
                is_more = true;
            else
                ids.push_back(names.integer(0));
        }
    }
    catalogue_page page;
    SHOAL_TRY(page.entries, entries_with(ids));
    if (is_more && !page.entries.empty())
        page.next = catalogue_position{page.entries.back().name, page.entries.back().swarm_hash};
    return page;
}

/// `from` gives one entry more than `limit` where there are more.
result<catalogue_page> catalogue::parts::page(rows&& from, std::size_t limit) {
    catalogue_page page;
    SHOAL_TRY(page.entries, read_entries(from));
    if (page.entries.size() <= limit) return page;
    page.entries.resize(limit);
    page.next = catalogue_position{page.entries.back().name, page.entries.back().swarm_hash};
    return page;
}

result<std::vector<catalogue_entry>> catalogue::parts::entries_with(std::vector<std::int64_t> const& ids) {
    std::vector<catalogue_entry> list;
    for (auto const id : ids) {
        auto row = entry_by_id.run({id});
        SHOAL_TRY(auto const is_there, row.next());
        if (!is_there) return errc::damaged;
        SHOAL_TRY(auto one, read_entry(row));
        list.push_back(std::move(one.entry));
    }
    return list;
}

result<std::vector<catalogue_entry>> catalogue::parts::read_entries(rows& from) {
    std::vector<catalogue_entry> list;
    for (;;) {
        SHOAL_TRY(auto const is_at_row, from.next());
        if (!is_at_row) return list;
        SHOAL_TRY(auto one, read_entry(from));
        list.push_back(std::move(one.entry));
    }
}

result<std::optional<catalogue::parts::found>> catalogue::parts::find_hash(info_hash const& content) {
    auto row = entry_of_hash.run({content.view()});
    SHOAL_TRY(auto const is_there, row.next());
    if (!is_there) return std::nullopt;
    SHOAL_TRY(auto one, read_entry(row));
    return std::optional{std::move(one)};
}

/// The entry at a row of `entry_columns`, and its owners.
result<catalogue::parts::found> catalogue::parts::read_entry(rows const& row) {
    found one{row.integer(0), {}};
    auto& entry = one.entry;
    auto const swarm = identifier_at<info_hash>(row, 1);
    entry.info_hash_v1 = identifier_at<sha1_digest>(row, 2);
    entry.info_hash_v2 = identifier_at<sha256_digest>(row, 3);
    if (!swarm || (!entry.info_hash_v1 && !entry.info_hash_v2)) return errc::damaged;
    entry.swarm_hash = *swarm;
    entry.name = row.text(4);
    entry.size = static_cast<std::uint64_t>(row.integer(5));
    entry.file_count = static_cast<std::uint32_t>(row.integer(6));
    entry.piece_length = static_cast<std::uint32_t>(row.integer(7));
    entry.added = to_time(row.integer(8));
    entry.completed = static_cast<std::uint64_t>(row.integer(9));
    entry.piece_count = static_cast<std::uint32_t>(row.integer(10));
    entry.is_private = row.integer(11) != 0;
    auto count = owner_count_of_entry.run({one.id});
    SHOAL_TRY(auto const is_there, count.next());
    if (is_there) entry.owner_count = static_cast<std::size_t>(count.integer(0));
    SHOAL_TRY(entry.owners, read_owners(one.id, listed_owners_max));
    return one;
}

result<std::vector<content_owner>> catalogue::parts::read_owners(std::int64_t entry, std::size_t limit) {
    std::vector<content_owner> list;
    auto all = owners_of_entry.run({entry, to_sql(limit)});
    for (;;) {
        SHOAL_TRY(auto const is_at_row, all.next());
        if (!is_at_row) return list;
        list.push_back({std::string{all.text(0)}, to_time(all.integer(1)), to_time(all.integer(2))});
    }
}

// Counters

saved_counters const& catalogue::counters() const noexcept {
    return parts_->totals;
}

result<void> catalogue::save_counters(saved_counters const& totals, completed_downloads const& completed) {
    auto& in = *parts_;
    transaction change{in.db};
    SHOAL_TRY(change.begun());
    for (auto const& [name, value] : totals) {
        SHOAL_TRY(in.set_counter.execute({std::string_view{name}, to_sql(value)}));
    }
    for (auto const& [content, count] : completed) {
        SHOAL_TRY(in.add_completed.execute({content.view(), to_sql(count)}));
    }
    SHOAL_TRY(change.commit());
    for (auto const& [name, value] : totals) in.totals.insert_or_assign(name, value);
    return success();
}
}  // namespace shoal::hub
