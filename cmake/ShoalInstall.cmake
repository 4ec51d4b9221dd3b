# Installs the rooms as a CMake package whose consumers compile the module sources themselves.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(SHOAL_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/shoal)
get_property(rooms GLOBAL PROPERTY SHOAL_ROOMS)
install(TARGETS ${rooms} EXPORT shoalTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET CXX_MODULES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/shoal
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/shoal)
install(EXPORT shoalTargets NAMESPACE shoal:: DESTINATION ${SHOAL_CMAKEDIR} CXX_MODULES_DIRECTORY modules)
configure_package_config_file(cmake/shoalConfig.cmake.in ${PROJECT_BINARY_DIR}/shoalConfig.cmake
  INSTALL_DESTINATION ${SHOAL_CMAKEDIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/shoalConfigVersion.cmake
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/shoalConfig.cmake ${PROJECT_BINARY_DIR}/shoalConfigVersion.cmake
  DESTINATION ${SHOAL_CMAKEDIR})
if(SHOAL_APPS)
  install(TARGETS peer tracker DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
