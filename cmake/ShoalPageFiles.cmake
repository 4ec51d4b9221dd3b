# cmake -D FOLDER=built page -D OUT=file.cpp -P ShoalPageFiles.cmake
#
# Writes index.html, page.js and page.css as arrays of bytes: a string literal of this length is more than a compiler
# has to take.
cmake_minimum_required(VERSION 3.25)
set(arrays "")
set(rows "")
foreach(file "index.html|text/html; charset=utf-8" "page.js|text/javascript; charset=utf-8" "page.css|text/css; charset=utf-8")
  string(REGEX MATCH "^(.*)\\|(.*)$" matched "${file}")
  set(path ${CMAKE_MATCH_1})
  set(type ${CMAKE_MATCH_2})
  file(READ ${FOLDER}/${path} bytes HEX)
  string(REGEX REPLACE "(................................................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(MAKE_C_IDENTIFIER ${path} name)
  string(APPEND arrays "constexpr unsigned char ${name}[] = {\n${bytes}};\n")
  string(APPEND rows "    {\"${path}\", \"${type}\", text(${name})},\n")
endforeach()
file(WRITE ${OUT}.new "// Made by cmake/ShoalPageFiles.cmake from modules/hub/page. Not to be edited.
module;
#include <cstddef>
#include <span>
#include <string_view>

module shoal.hub;

namespace shoal::hub {
namespace {
${arrays}
template <std::size_t N>
std::string_view text(unsigned char const (&bytes)[N]) {
    return {reinterpret_cast<char const*>(bytes), N};
}
}  // namespace

std::span<page_file const> page_files() noexcept {
  static page_file const files[] = {
${rows}  };
  return files;
}
}  // namespace shoal::hub
")
file(RENAME ${OUT}.new ${OUT})
