# What of a build with MIXTAPE_BUNDLED goes into a wheel, beside the Python package: the command,
# the library, and the licences of what is in them. Where the build is no wheel's own, the folders
# of a wheel are made in the prefix.
if(NOT DEFINED SKBUILD_SCRIPTS_DIR)
  set(SKBUILD_SCRIPTS_DIR bin)
  set(SKBUILD_METADATA_DIR info)
endif()

# A wheel holds no symbolic links, and nobody links with the library in it.
set_property(TARGET mixtape_shared PROPERTY VERSION)
set_property(TARGET mixtape_shared PROPERTY SOVERSION)

# cuBLAS is loaded from where the wheels of NVIDIA that PyTorch brings, for CUDA 13 or 12, have it:
# beside the package, and in the environment of the command, for whatever Python.
if(MIXTAPE_WITH_CUDA)
  foreach(nvidia nvidia/cu13/lib nvidia/cublas/lib)
    set_property(TARGET mixtape_shared APPEND PROPERTY INSTALL_RPATH $ORIGIN/../${nvidia})
    foreach(minor RANGE 9 16)
      foreach(packages site-packages dist-packages) # the second as Debian's Python has it
        set_property(TARGET mixtape APPEND PROPERTY
          INSTALL_RPATH $ORIGIN/../lib/python3.${minor}/${packages}/${nvidia})
      endforeach()
    endforeach()
  endforeach()
endif()

# The compiler's own library goes in too: a linker for C++, as CUDA's kernels have it, takes the
# system's. Of the command's goes in what is no part of exceptions: for those it takes the system's
# and the one for C++, as NumPy does, which a wheel brings. Debian 12's static ones ask for a C
# library of 2.36.
target_link_options(mixtape_shared PRIVATE -static-libgcc)
target_link_libraries(mixtape PRIVATE gcc)

install(TARGETS mixtape RUNTIME DESTINATION ${SKBUILD_SCRIPTS_DIR} COMPONENT wheel)
install(TARGETS mixtape_shared LIBRARY DESTINATION mixtape COMPONENT wheel)
foreach(row IN LISTS BUNDLED_ROWS)
  separate_arguments(row UNIX_COMMAND "${row}")
  list(GET row 0 package)
  list(GET row 4 licenses)
  string(REPLACE "," ";" licenses "${licenses}")
  foreach(license IN LISTS licenses)
    get_filename_component(folder ${package}/${license} DIRECTORY)
    install(FILES ${BUNDLED_PREFIX}/${package}/src/bundled_${package}/${license}
      DESTINATION ${SKBUILD_METADATA_DIR}/licenses/${folder} COMPONENT wheel)
  endforeach()
endforeach()

# The wheel's name says how old a C library it runs with (wheel.tags in python/pyproject.toml).
install(CODE "set(OBJDUMP ${CMAKE_OBJDUMP})
  set(FILES $<TARGET_FILE:mixtape> $<TARGET_FILE:mixtape_shared>)
  set(NEWEST 2.34)" COMPONENT wheel)
install(SCRIPT ${PROJECT_SOURCE_DIR}/cmake/CheckGlibc.cmake COMPONENT wheel)
