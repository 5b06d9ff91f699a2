# What `cmake --install` puts in place: libraries, headers, the command, a CMake package and a pkg-config file.

foreach(folder IN LISTS MIXTAPE_FOLDERS)
  install(DIRECTORY ${folder}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mixtape/${folder}
    FILES_MATCHING
    PATTERN "*.h"
    PATTERN "cpu" EXCLUDE
    PATTERN "cuda" EXCLUDE
    PATTERN "operators" EXCLUDE
    PATTERN "philox.h" EXCLUDE
    PATTERN "devices.h" EXCLUDE
    PATTERN "arena.h" EXCLUDE
    PATTERN "tape_internal.h" EXCLUDE
    PATTERN "initial.h" EXCLUDE
    PATTERN "prefix.h" EXCLUDE
    PATTERN "archive.h" EXCLUDE
    PATTERN "archive_internal.h" EXCLUDE
    PATTERN "arrays.h" EXCLUDE
    PATTERN "foreign.h" EXCLUDE
    PATTERN "model_attributes.h" EXCLUDE
    PATTERN "model_file.h" EXCLUDE
    PATTERN "utf8.h" EXCLUDE)
endforeach()
install(FILES cmake/mixtape.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mixtape)
install(TARGETS mixtape RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS mixtape_static mixtape_shared EXPORT mixtape-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

install(EXPORT mixtape-targets NAMESPACE mixtape:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mixtape)
configure_package_config_file(cmake/mixtape-config.cmake.in ${PROJECT_BINARY_DIR}/mixtape-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mixtape)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mixtape-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/mixtape-config.cmake
  ${PROJECT_BINARY_DIR}/mixtape-config-version.cmake
  cmake/Dependencies.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mixtape)

# OpenBLAS as it was found: its own pkg-config file would have a static link ask for the Fortran compiler's libraries.
string(JOIN " " OPENBLAS_LIBS ${OpenBLAS__OpenBLAS_LDFLAGS})
configure_file(cmake/mixtape.pc.in ${PROJECT_BINARY_DIR}/mixtape.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mixtape.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
