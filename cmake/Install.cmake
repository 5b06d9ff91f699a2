# What `cmake --install` puts in place: libraries, headers, the command, a CMake package and a
# pkg-config file. The target `uninstall` takes it away again.

# Components are what Package.cmake makes packages of.
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME development)
install(DIRECTORY include/mixtape DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS mixtape RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)

install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT command)

foreach(kind static shared)
  install(TARGETS mixtape_${kind} EXPORT mixtape-${kind}-targets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
      COMPONENT library NAMELINK_COMPONENT development)
  install(EXPORT mixtape-${kind}-targets NAMESPACE mixtape::
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mixtape)
endforeach()
if(MIXTAPE_WITH_NCCL)
  install(TARGETS mixtape_nccl LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT nccl)
endif()
if(MIXTAPE_WITH_MPI)
  install(TARGETS mixtape_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT mpi)
endif()
configure_package_config_file(cmake/mixtape-config.cmake.in
  ${PROJECT_BINARY_DIR}/mixtape-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mixtape)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mixtape-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/mixtape-config.cmake
  ${PROJECT_BINARY_DIR}/mixtape-config-version.cmake
  cmake/LibraryDependencies.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mixtape)

# A static link needs what the library was linked with. That is named here as it was found, not
# required as packages of their own: those would be asked for by whoever links the shared library
# too, and OpenBLAS's asks for the Fortran compiler's libraries. Paths are relative to the file,
# which `cmake --install --prefix` may put anywhere.
get_target_property(PC_LIBS_PRIVATE HDF5::HDF5 INTERFACE_LINK_LIBRARIES)
list(PREPEND PC_LIBS_PRIVATE ${OpenBLAS__OpenBLAS_LDFLAGS} ${jansson__jansson_LDFLAGS}
  ${utf8proc__utf8proc_LDFLAGS} ${ZLIB__ZLIB_LDFLAGS} -pthread)
if(MIXTAPE_WITH_CUDA)
  list(APPEND PC_LIBS_PRIVATE ${CUDA_cudart_static_LIBRARY} -lrt)
endif()
list(JOIN PC_LIBS_PRIVATE " " PC_LIBS_PRIVATE)
file(RELATIVE_PATH PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" PC_PREFIX ${PC_PREFIX})
file(RELATIVE_PATH PC_INCLUDEDIR ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
  ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(cmake/mixtape.pc.in ${PROJECT_BINARY_DIR}/mixtape.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mixtape.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(PROJECT_IS_TOP_LEVEL)
  add_custom_target(uninstall
    COMMAND ${CMAKE_COMMAND} -DMANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt
            -P ${PROJECT_SOURCE_DIR}/cmake/Uninstall.cmake
    COMMENT "" VERBATIM)
endif()
