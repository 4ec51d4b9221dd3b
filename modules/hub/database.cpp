module;
#include <sqlite3.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/try.hpp"

module shoal.hub;
import :database;
import shoal.core;

namespace shoal::hub {
namespace {
/// Another program (a backup, a curious `sqlite3`) may hold the file so long.
constexpr int busy_timeout_ms = 2000;

sqlite3* connection(void* handle) noexcept {
    return static_cast<sqlite3*>(handle);
}
sqlite3_stmt* prepared(void* handle) noexcept {
    return static_cast<sqlite3_stmt*>(handle);
}

std::error_code error_of(int code, int error_number) noexcept {
    switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            return errc::damaged;
        case SQLITE_FULL:
            return errc::no_space;
        case SQLITE_READONLY:
        case SQLITE_PERM:
            return errc::read_only;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return errc::busy;
        case SQLITE_NOMEM:
            return std::make_error_code(std::errc::not_enough_memory);
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
            if (code == SQLITE_IOERR_SHORT_READ || code == SQLITE_IOERR_CORRUPTFS) return errc::damaged;
            if (error_number == ENOSPC || error_number == EDQUOT) return errc::no_space;
            return {error_number != 0 ? error_number : EIO, std::system_category()};
        default:
            return errc::database_failed;
    }
}
std::error_code error_of(int code, sqlite3* on) noexcept {
    return error_of(code, sqlite3_system_errno(on));
}

int bind(sqlite3_stmt* to, int place, sql_value const& value) {
    auto const bind_one = [&](auto const& content) {
        using Content = std::remove_cvref_t<decltype(content)>;
        if constexpr (std::is_same_v<Content, std::nullptr_t>)
            return sqlite3_bind_null(to, place);
        else if constexpr (std::is_same_v<Content, std::int64_t>)
            return sqlite3_bind_int64(to, place, content);
        else if constexpr (std::is_same_v<Content, std::string_view>)  // a null pointer would be NULL
            return sqlite3_bind_text64(to, place, content.empty() ? "" : content.data(), content.size(),
                                       SQLITE_TRANSIENT, SQLITE_UTF8);
        else
            return sqlite3_bind_blob64(to, place, content.empty() ? "" : static_cast<void const*>(content.data()),
                                       content.size(), SQLITE_TRANSIENT);
    };
    return std::visit(bind_one, value);
}
}  // namespace

rows::rows(void* statement, std::initializer_list<sql_value> values) : statement_(statement), bound_(SQLITE_OK) {
    int place = 0;
    for (auto const& value : values) {
        auto const code = bind(prepared(statement_), ++place, value);
        if (bound_ == SQLITE_OK) bound_ = code;
    }
}

rows::~rows() {
    sqlite3_reset(prepared(statement_));
    sqlite3_clear_bindings(prepared(statement_));
}

result<bool> rows::next() {
    auto* const on = sqlite3_db_handle(prepared(statement_));
    if (bound_ != SQLITE_OK) return error_of(bound_, on);
    auto const code = sqlite3_step(prepared(statement_));
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return error_of(code, on);
}

std::int64_t rows::integer(int column) const noexcept {
    return sqlite3_column_int64(prepared(statement_), column);
}

std::string_view rows::text(int column) const noexcept {
    return as_text(bytes(column));
}

byte_view rows::bytes(int column) const noexcept {
    auto const* const content = static_cast<std::byte const*>(sqlite3_column_blob(prepared(statement_), column));
    auto const size = sqlite3_column_bytes(prepared(statement_), column);
    if (content == nullptr || size <= 0) return {};
    return {content, static_cast<std::size_t>(size)};
}

bool rows::is_null(int column) const noexcept {
    return sqlite3_column_type(prepared(statement_), column) == SQLITE_NULL;
}

result<void> statement::execute(std::initializer_list<sql_value> values) {
    auto all = run(values);
    for (;;) {
        SHOAL_TRY(auto const is_at_row, all.next());
        if (!is_at_row) return success();
    }
}

void statement::finalise::operator()(void* handle) const noexcept {
    sqlite3_finalize(prepared(handle));
}

void database::close::operator()(void* handle) const noexcept {
    sqlite3_close(connection(handle));
}

result<database> database::open(std::filesystem::path const& file) {
    if (sqlite3_compileoption_used("ENABLE_FTS5") == 0) return errc::database_failed;
    sqlite3* raw = nullptr;
    // Calls come one at a time, though from different threads: SQLite need not lock.
    auto const flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    auto const code = sqlite3_open_v2(file.c_str(), &raw, flags, nullptr);
    database made;
    made.handle_.reset(raw);  // there even when it failed
    if (code != SQLITE_OK) return raw != nullptr ? error_of(code, raw) : error_of(code, 0);
    sqlite3_busy_timeout(raw, busy_timeout_ms);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
    SHOAL_TRY(made.execute("PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON"));
    return made;
}

result<void> database::execute(char const* script) {
    auto* const on = connection(handle_.get());
    auto const code = sqlite3_exec(on, script, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return error_of(code, on);
    return success();
}

result<statement> database::prepare(std::string_view sql) {
    auto* const on = connection(handle_.get());
    sqlite3_stmt* raw = nullptr;
    auto const code =
        sqlite3_prepare_v3(on, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    statement made{raw};
    if (code != SQLITE_OK) return error_of(code, on);
    return made;
}

result<std::int64_t> database::number(std::string_view sql) {
    SHOAL_TRY(auto query, prepare(sql));
    auto answer = query.run();
    SHOAL_TRY(auto const is_there, answer.next());
    if (!is_there) return errc::database_failed;
    return answer.integer(0);
}

std::int64_t database::changes() const noexcept {
    return sqlite3_changes64(connection(handle_.get()));
}

transaction::~transaction() {
    // Where SQLite has rolled back by itself (a full disk), this fails, and nothing is lost by that.
    if (begun_ && !is_over_) static_cast<void>(on_->execute("ROLLBACK"));
}

result<void> transaction::commit() {
    SHOAL_TRY(on_->execute("COMMIT"));
    is_over_ = true;
    return success();
}
}  // namespace shoal::hub
