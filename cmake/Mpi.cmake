# Decides whether libmixtape_mpi.so is built, by which several processes train together:
# MIXTAPE_WITH_MPI. Programs find it where it is installed beside them (kernels/own_library.c).
set(MIXTAPE_WITH_MPI OFF)
if(MIXTAPE_MPI STREQUAL "OFF")
  message(STATUS "MPI: not built (MIXTAPE_MPI=OFF)")
  return()
endif()

find_package(MPI QUIET COMPONENTS C)
if(MPI_C_FOUND)
  set(MIXTAPE_WITH_MPI ON)
  add_library(mixtape_mpi MODULE kernels/mpi/transport.c)
  target_link_libraries(mixtape_mpi PRIVATE mixtape_build MPI::MPI_C)
  set_target_properties(mixtape_mpi PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  # It stands among libraries, each of which is expected to say its name.
  target_link_options(mixtape_mpi PRIVATE -Wl,-soname,libmixtape_mpi.so)
  message(STATUS "MPI: built, by ${MPI_C_LIBRARIES}")
elseif(MIXTAPE_MPI STREQUAL "ON")
  message(FATAL_ERROR
    "MIXTAPE_MPI=ON, but no MPI was found (Debian: apt-get install libopenmpi-dev openmpi-bin)")
else()
  message(STATUS "MPI: not built (none was found; Debian: apt-get install libopenmpi-dev "
    "openmpi-bin)")
endif()
