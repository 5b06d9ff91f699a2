# Everything Mixtape stands on, each as an imported target. What is missing is named with its Debian package.

find_package(PkgConfig REQUIRED)

# mixtape_require(<module> <target> <package>): pkg-config's <module> as <target>, or a clear end.
function(mixtape_require module target package)
  string(MAKE_C_IDENTIFIER ${target} prefix)
  pkg_check_modules(${prefix} IMPORTED_TARGET GLOBAL ${module})
  if(NOT ${prefix}_FOUND)
    message(FATAL_ERROR "${module} was not found (Debian: apt-get install ${package})")
  endif()
  add_library(${target} ALIAS PkgConfig::${prefix})
endfunction()

mixtape_require(openblas OpenBLAS::OpenBLAS libopenblas-openmp-dev) # matrix products
mixtape_require(libutf8proc utf8proc::utf8proc libutf8proc-dev)     # characters of text and token lists
mixtape_require(yaml-0.1 yaml::yaml libyaml-dev)                    # config.yaml
mixtape_require(jansson jansson::jansson libjansson-dev)            # safetensors, benchmark results

find_package(OpenMP COMPONENTS C)
if(NOT OpenMP_C_FOUND)
  message(FATAL_ERROR "the C compiler has no OpenMP (Debian: apt-get install gcc, or libomp-dev for clang)")
endif()

find_package(HDF5 COMPONENTS C)
if(NOT HDF5_FOUND)
  message(FATAL_ERROR "HDF5 was not found (Debian: apt-get install libhdf5-dev)")
endif()
if(NOT TARGET HDF5::HDF5)
  add_library(HDF5::HDF5 INTERFACE IMPORTED GLOBAL)
  target_include_directories(HDF5::HDF5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
  target_link_libraries(HDF5::HDF5 INTERFACE ${HDF5_C_LIBRARIES})
endif()

if(MIXTAPE_TESTS)
  pkg_check_modules(CHECK IMPORTED_TARGET GLOBAL check)
endif()

# The CUDA device. An installed library's users need what the static one was linked with.
if(MIXTAPE_WITH_CUDA)
  find_package(CUDAToolkit 12.0 REQUIRED)
endif()
