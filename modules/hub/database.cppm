module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>

module shoal.hub:database;
import shoal.core;

// As much of SQLite as the catalogue needs. Not exported.

namespace shoal::hub {
/// What takes the place of a `?N` in a statement. It is copied.
using sql_value = std::variant<std::nullptr_t, std::int64_t, std::string_view, byte_view>;

/// One execution of a statement, and the row it is at. When it goes, the statement is free for the next one.
class rows {
public:
    rows(void* statement, std::initializer_list<sql_value> values);
    ~rows();
    rows(rows const&) = delete;
    rows& operator=(rows const&) = delete;

    /// Goes to the first row, then to the next; false after the last.
    result<bool> next();
    // Columns from 0 on. Text and bytes stay until `next`.
    std::int64_t integer(int column) const noexcept;
    std::string_view text(int column) const noexcept;
    byte_view bytes(int column) const noexcept;
    bool is_null(int column) const noexcept;

private:
    void* statement_;
    int bound_;  // SQLite's code of the first value that could not be bound
};

/// A prepared statement; must not outlive its database.
class statement {
public:
    statement() = default;
    explicit statement(void* handle) noexcept : handle_(handle) {}

    /// Starts it with values for ?1, ?2... No other `rows` of the same statement may be there.
    rows run(std::initializer_list<sql_value> values = {}) { return {handle_.get(), values}; }
    /// Runs it to its end, whatever rows it has.
    result<void> execute(std::initializer_list<sql_value> values = {});

private:
    struct finalise {
        void operator()(void* handle) const noexcept;
    };
    std::unique_ptr<void, finalise> handle_;  // sqlite3_stmt
};

/// A connection. All calls fail with `damaged`, `no_space`, `read_only`, `busy`, `database_failed`, or a system error.
class database {
public:
    database() = default;
    /// Opens for writing, or creates. Distrusts the schema that it finds; checks foreign keys.
    static result<database> open(std::filesystem::path const& file);

    /// Runs one or more statements of this program's own.
    result<void> execute(char const* script);
    result<statement> prepare(std::string_view sql);
    /// The first column of the first row, a number.
    result<std::int64_t> number(std::string_view sql);
    /// Rows that the last statement changed.
    std::int64_t changes() const noexcept;

private:
    struct close {
        void operator()(void* handle) const noexcept;
    };
    std::unique_ptr<void, close> handle_;  // sqlite3
};

/// Undone when it goes without `commit`.
class transaction {
public:
    explicit transaction(database& on) : on_(&on), begun_(on.execute("BEGIN IMMEDIATE")) {}
    ~transaction();
    transaction(transaction const&) = delete;
    transaction& operator=(transaction const&) = delete;
    result<void> const& begun() const noexcept { return begun_; }
    result<void> commit();

private:
    database* on_;
    result<void> begun_;
    bool is_over_ = false;
};
}  // namespace shoal::hub

// The catalogue's file as a file: whose it is, whether it is one, where a damaged one goes.

namespace shoal::hub {
/// An open file with a lock, both of which end with this object.
class lock_file {
public:
    explicit lock_file(int number) noexcept : number_(number) {}
    ~lock_file();
    lock_file(lock_file const&) = delete;
    lock_file& operator=(lock_file const&) = delete;

private:
    int number_;
};

/// Makes the folder and the file, for its owner's eyes only as it says who shares what, and takes the lock beside it.
result<std::unique_ptr<lock_file>> lock_catalogue(std::filesystem::path const& file);
/// What SQLite is too kind to: it takes a shred for a new file, and reads one that asks for a later version of it.
result<void> check_header(std::filesystem::path const& file);
/// Renames the file and its log, for a person to look at.
result<std::filesystem::path> set_file_aside(std::filesystem::path const& file);
}  // namespace shoal::hub
