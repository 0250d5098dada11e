# `cmake --install`: the shared library, its headers, the program, and a package for find_package(octet).
if(NOT TARGET octet)
  return()
endif()
include(CMakePackageConfigHelpers)

set(OCTET_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/octet)
set_target_properties(octet PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})

install(TARGETS octet EXPORT octetTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/octet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
get_property(licences GLOBAL PROPERTY OCTET_LICENCES)  # of what is compiled in
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${licences} DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(EXPORT octetTargets NAMESPACE octet:: DESTINATION ${OCTET_PACKAGE_DIR})

if(TARGET octet_program)
  # Relative, so that an installed tree may be moved.
  file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(octet_program PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
  install(TARGETS octet_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/octetConfig.cmake.in ${PROJECT_BINARY_DIR}/octetConfig.cmake
  INSTALL_DESTINATION ${OCTET_PACKAGE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/octetConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/octetConfig.cmake ${PROJECT_BINARY_DIR}/octetConfigVersion.cmake
        DESTINATION ${OCTET_PACKAGE_DIR})
