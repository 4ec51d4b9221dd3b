// The headers that CMake compiles once for all suites come with this unit (CMakeLists.txt).
