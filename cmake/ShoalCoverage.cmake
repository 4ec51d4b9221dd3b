# A test that kills a program leaves half a profile behind: -failure-mode=all passes it over.
# The target 'coverage': runs the tests and reports which lines of modules/ and apps/ they ran (tests/coverage.py has the bounds).
find_program(LLVM_PROFDATA NAMES llvm-profdata-19 REQUIRED)
find_program(LLVM_COV NAMES llvm-cov-19 REQUIRED)
get_property(programs GLOBAL PROPERTY SHOAL_TEST_PROGRAMS)
list(APPEND programs peer tracker)
list(TRANSFORM programs REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE objects)
set(profiles ${PROJECT_BINARY_DIR}/profiles)
add_custom_target(coverage
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${profiles}
  COMMAND ${CMAKE_COMMAND} -E env LLVM_PROFILE_FILE=${profiles}/%p.profraw SHOAL_SEEDS=200
    ${CMAKE_CTEST_COMMAND} -j 2 -LE "interop|consumer|bench" --output-on-failure
  COMMAND sh -c "${LLVM_PROFDATA} merge -sparse -failure-mode=all ${profiles}/*.profraw -o ${profiles}/all.profdata"
  COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/../tests/coverage.py ${LLVM_COV} ${profiles}/all.profdata ${objects}
  DEPENDS ${programs} USES_TERMINAL VERBATIM COMMAND_EXPAND_LISTS)
