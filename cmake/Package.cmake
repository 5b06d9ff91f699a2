# The target `package`: Debian packages, by CPack, in packages/ of the build. The command, the
# library, what programs are built with, and MPI's part each have one. They are for the Debian that
# they are built on: what they depend on is named by its packages there. NCCL's part has none, as
# NCCL itself.
get_target_property(version mixtape_shared SOVERSION)
set(library libmixtape${version})
set(MIXTAPE_MAINTAINER "Mixtape's authors <mixtape@packages.invalid>" CACHE STRING
  "Who answers for Debian packages that are built here")
set(CPACK_GENERATOR DEB)
set(CPACK_OUTPUT_FILE_PREFIX packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each has its own
set(CPACK_PACKAGE_CONTACT ${MIXTAPE_MAINTAINER})
set(CPACK_COMPONENTS_ALL command library development)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SOURCE mixtape)
set(same "${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")

# mixtape_package(<component> <package> <summary> <description>): that component's package. What is
# said of it, its changes and its licence go into it alone, not where `cmake --install` does.
function(mixtape_package component package)
  string(TOUPPER ${component} upper)
  list(JOIN ARGN "\n" description)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package} PARENT_SCOPE)
  set(CPACK_COMPONENT_${upper}_DESCRIPTION "${description}" PARENT_SCOPE)
  install(FILES ${debian}/copyright ${debian}/changelog.gz ${debian}/changelog.Debian.gz
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()

find_program(DPKG_SHLIBDEPS dpkg-shlibdeps)
mark_as_advanced(DPKG_SHLIBDEPS)
if(NOT DPKG_SHLIBDEPS OR NOT GZIP)
  message(STATUS "Debian packages: not made (they need dpkg-shlibdeps and gzip; Debian: apt-get "
    "install dpkg-dev)")
  return()
endif()
set(debian ${PROJECT_BINARY_DIR}/debian)
string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(cmake/debian/changelog.in ${debian}/changelog.Debian @ONLY)
configure_file(cmake/debian/copyright ${debian}/copyright COPYONLY)
file(WRITE ${debian}/shlibs "libmixtape ${version} ${library} (>= ${PROJECT_VERSION})\n")
file(WRITE ${debian}/triggers "activate-noawait ldconfig\n")
configure_file(CHANGELOG.md ${debian}/changelog COPYONLY)
execute_process(COMMAND ${GZIP} -9nf ${debian}/changelog ${debian}/changelog.Debian)

mixtape_package(command mixtape
  "train models of RWKV's attention"
  "The command mixtape trains, measures, samples and exchanges models whose"
  "attention is RWKV's, on a processor. It reads and writes those of ESPnet,"
  "RWKV-LM and Hugging Face. Manual pages and completion for bash, fish and zsh"
  "are included.")
mixtape_package(library ${library}
  "RWKV's attention on a tape, shared library"
  "A small training framework in C: a tape-based autograd with layers, Adam,"
  "checkpoints, and kernels of RWKV's attention with hand-written gradients.")
mixtape_package(development libmixtape-dev
  "RWKV's attention on a tape, development files"
  "What programs with libmixtape are built with: the headers, which are the"
  "manual, the static library, a CMake package, a module of pkg-config, and"
  "examples.")
set(CPACK_DEBIAN_COMMAND_PACKAGE_SUGGESTS "gnuplot-nox | gnuplot") # of runs that draw themselves
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${debian}/shlibs ${debian}/triggers)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${library} (= ${same})")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS # of the static library
  "pkg-config, libhdf5-dev, libjansson-dev, libopenblas-dev, libutf8proc-dev")
if(MIXTAPE_WITH_ZLIB)
  string(APPEND CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS ", zlib1g-dev")
endif()
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libmixtape-dev
  COMPONENT development EXCLUDE_FROM_ALL FILES_MATCHING REGEX "[.](c|cpp|cu|txt)$")
if(MIXTAPE_WITH_MPI)
  list(APPEND CPACK_COMPONENTS_ALL mpi)
  mixtape_package(mpi mixtape-mpi
    "train models of RWKV's attention by several processes"
    "What connects processes of mixtape, and of programs with libmixtape, by MPI.")
  set(CPACK_DEBIAN_MPI_PACKAGE_RECOMMENDS openmpi-bin)
  set(CPACK_DEBIAN_MPI_PACKAGE_CONTROL_EXTRA ${debian}/triggers)
  string(APPEND CPACK_DEBIAN_COMMAND_PACKAGE_SUGGESTS ", mixtape-mpi")
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_SUGGESTS mixtape-mpi)
endif()
if(MIXTAPE_ONEDNN_SONAME) # it is loaded by name, so nothing tells of it
  execute_process(COMMAND dpkg-query -S ${MIXTAPE_ONEDNN_SONAME}
    OUTPUT_VARIABLE onednn ERROR_QUIET)
  string(REGEX MATCH "^[^:]+" onednn "${onednn}")
  set(CPACK_DEBIAN_COMMAND_PACKAGE_RECOMMENDS ${onednn})
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_RECOMMENDS ${onednn})
endif()
include(CPack)
