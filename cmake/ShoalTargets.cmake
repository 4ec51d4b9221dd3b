# How a room, a test and a benchmark are declared. One folder, one module, one target.

add_library(shoal_warnings INTERFACE)
add_library(shoal::warnings ALIAS shoal_warnings)
target_compile_options(shoal_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion)

# shoal_module(NAME INTERFACE file.cppm... [BODIES file.cpp...] [USES room...] [LINK target...] [NEEDS target...])
#
# Target shoal_NAME, alias shoal::NAME, module shoal.NAME. USES are the rooms its interface or bodies import, LINK what
# its interface needs besides, NEEDS what only its bodies need.
function(shoal_module name)
  cmake_parse_arguments(PARSE_ARGV 1 room "" "" "INTERFACE;BODIES;USES;LINK;NEEDS")
  add_library(shoal_${name} STATIC)
  add_library(shoal::${name} ALIAS shoal_${name})
  set_target_properties(shoal_${name} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(shoal_${name} PUBLIC cxx_std_20)
  target_sources(shoal_${name}
    PUBLIC FILE_SET CXX_MODULES BASE_DIRS ${PROJECT_SOURCE_DIR}/modules FILES ${room_INTERFACE}
    PRIVATE ${room_BODIES})
  if(SHOAL_CANARIES)  # core/canary.hpp; bodies alone, so that all else compiles as without
    set_source_files_properties(${room_BODIES} PROPERTIES COMPILE_DEFINITIONS SHOAL_CANARIES)
  endif()
  list(TRANSFORM room_USES PREPEND shoal::)
  target_link_libraries(shoal_${name}
    PUBLIC ${room_USES} ${room_LINK} Boost::headers Threads::Threads
    PRIVATE ${room_NEEDS} $<BUILD_INTERFACE:shoal::warnings>)
  set_property(GLOBAL APPEND PROPERTY SHOAL_ROOMS shoal_${name})
endfunction()

# shoal_test(NAME [OPTIMISED] SOURCES file.cpp... [HEAP_SOURCES file.cpp...] USES room... [LINK target...])
#
# The program NAME_tests, its cases found by CTest. HEAP_SOURCES use support/counted_heap.hpp. OPTIMISED: it runs for
# longer than its compilation takes.
function(shoal_test name)
  cmake_parse_arguments(PARSE_ARGV 1 suite "OPTIMISED" "" "SOURCES;HEAP_SOURCES;USES;LINK")
  if(NOT suite_SOURCES)
    return()
  endif()
  if(suite_HEAP_SOURCES AND NOT "${SHOAL_SANITIZE}" MATCHES thread)
    list(APPEND suite_SOURCES ${suite_HEAP_SOURCES})
    list(APPEND suite_LINK shoal_counted_heap)
  endif()
  list(TRANSFORM suite_USES PREPEND shoal::)
  add_executable(${name}_tests ${suite_SOURCES})
  target_link_libraries(${name}_tests PRIVATE ${suite_USES} ${suite_LINK} shoal::testing_main shoal::warnings)
  if(suite_OPTIMISED)
    target_compile_options(${name}_tests PRIVATE $<$<CONFIG:Debug>:-O1>)
  else()
    target_precompile_headers(${name}_tests REUSE_FROM shoal_testing_headers)
  endif()
  # A name that CTest hands over mangled (a semicolon splits it) would match no case and pass: that is a failure.
  set_property(GLOBAL APPEND PROPERTY SHOAL_TEST_PROGRAMS ${name}_tests)
  set(timeout 300)
  if("${SHOAL_SANITIZE}" MATCHES thread)  # ten times as slow
    set(timeout 900)
  endif()
  # What takes or waits for long begins first (COST, about seconds), so that nothing runs alone in the end.
  set(cost 1)
  if(suite_OPTIMISED OR name MATCHES "^(engine|fault)$")
    set(cost 20)
  endif()
  catch_discover_tests(${name}_tests TEST_PREFIX "${name}: " EXTRA_ARGS --warn NoTests
    PROPERTIES TIMEOUT ${timeout} LABELS ${name} COST ${cost})
endfunction()

# shoal_bench(NAME SOURCES file.cpp... USES room...)   bench_NAME; CTest runs it briefly, so that it stays alive
function(shoal_bench name)
  cmake_parse_arguments(PARSE_ARGV 1 bench "" "" "SOURCES;USES;LINK")
  if(NOT bench_SOURCES)
    return()
  endif()
  list(TRANSFORM bench_USES PREPEND shoal::)
  add_executable(bench_${name} ${bench_SOURCES})
  target_link_libraries(bench_${name} PRIVATE ${bench_USES} ${bench_LINK} benchmark::benchmark_main shoal::warnings)
  add_test(NAME "bench: ${name}" COMMAND bench_${name} --benchmark_min_time=0.01)
  set_tests_properties("bench: ${name}" PROPERTIES TIMEOUT 120 LABELS bench)
endfunction()
