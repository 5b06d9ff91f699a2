# What the library stands on, each as an imported target: for the build, and for whoever links the
# installed static library.

# mixtape_find_module(<module> <target> [QUIET]): pkg-config's <module> as <target>, where it is
# found.
function(mixtape_find_module module target)
  string(MAKE_C_IDENTIFIER ${target} prefix)
  pkg_check_modules(${prefix} ${ARGN} IMPORTED_TARGET GLOBAL ${module})
  if(${prefix}_FOUND AND NOT TARGET ${target})
    add_library(${target} ALIAS PkgConfig::${prefix})
  endif()
endfunction()

# mixtape_find_dependencies(<missing> <with-cuda> <with-zlib> [QUIET]): sets <missing> to what was
# not found, in words, or to nothing.
function(mixtape_find_dependencies missing with_cuda with_zlib)
  set(words)
  macro(mixtape_expect target name)
    if(NOT TARGET ${target})
      list(APPEND words "${name}")
    endif()
  endmacro()

  find_package(PkgConfig ${ARGN})
  if(PkgConfig_FOUND)
    mixtape_find_module(openblas OpenBLAS::OpenBLAS ${ARGN})    # matrix products
    mixtape_find_module(libutf8proc utf8proc::utf8proc ${ARGN}) # characters of text and token lists
    mixtape_find_module(jansson jansson::jansson ${ARGN})       # safetensors, benchmark results
  endif()
  mixtape_expect(OpenBLAS::OpenBLAS
    "openblas by pkg-config (Debian: apt-get install pkg-config libopenblas-openmp-dev)")
  mixtape_expect(utf8proc::utf8proc
    "libutf8proc by pkg-config (Debian: apt-get install pkg-config libutf8proc-dev)")
  mixtape_expect(jansson::jansson
    "jansson by pkg-config (Debian: apt-get install pkg-config libjansson-dev)")

  if(with_zlib)
    if(PkgConfig_FOUND)
      mixtape_find_module(zlib ZLIB::ZLIB ${ARGN}) # texts that gzip compressed
    endif()
    mixtape_expect(ZLIB::ZLIB "zlib by pkg-config (Debian: apt-get install zlib1g-dev)")
  endif()

  if(CMAKE_C_COMPILER_LOADED) # else they cannot even be looked for
    find_package(Threads ${ARGN})
    find_package(HDF5 COMPONENTS C ${ARGN})
    mixtape_expect(Threads::Threads "POSIX threads")
    mixtape_expect(HDF5::HDF5 "HDF5 (Debian: apt-get install libhdf5-dev)")
  else()
    list(APPEND words "the language C (project(... LANGUAGES C))")
  endif()

  if(with_cuda)
    find_package(CUDAToolkit 12.0 ${ARGN})
    mixtape_expect(CUDA::cudart_static "the CUDA Toolkit, version 12 or later")
  endif()
  list(JOIN words ", " words)
  set(${missing} "${words}" PARENT_SCOPE)
endfunction()
