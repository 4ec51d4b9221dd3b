module;
#include <optional>
#include <string>
#include <string_view>

export module shoal.core:text;
import :bytes;

export namespace shoal {
/// Lower-case hexadecimal digits, two a byte.
std::string to_hex(byte_view bytes);
/// The bytes that `digits` name; nothing for an odd count or another character.
std::optional<byte_vector> from_hex(std::string_view digits);

/// `text` of a stranger, fit for a terminal and a log line: control characters (C0, DEL, C1), invalid UTF-8, and
/// characters that are invisible or change the direction of text appear as `\xNN` or `\u{N}`, a backslash as `\\`.
std::string escaped(std::string_view text);

/// Whether they are the same but for the case of ASCII letters, as in schemes, host names and field names.
bool equal_without_case(std::string_view a, std::string_view b) noexcept;

/// One code point taken off the front of `text`; nothing when it does not start with valid UTF-8 (overlong forms,
/// surrogates and numbers past U+10FFFF are not valid). `text` then stays as it is.
std::optional<char32_t> take_code_point(std::string_view& text) noexcept;
/// The UTF-8 form of a code point, appended.
void append_utf8(std::string& out, char32_t code_point);
bool is_valid_utf8(std::string_view text) noexcept;
/// Code points that show nothing or reorder what stands around them: zero-width, bidi controls, tags, BOM.
bool is_invisible(char32_t code_point) noexcept;
}  // namespace shoal
