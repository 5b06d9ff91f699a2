# Decides whether libmixtape_nccl.so is built, by which the GPUs of several processes sum gradients:
# MIXTAPE_WITH_NCCL. Programs find it where it is installed beside them (kernels/own_library.c), and
# it finds libnccl.so.2 where it was at the build, or where the system looks.
set(MIXTAPE_WITH_NCCL OFF)
if(MIXTAPE_NCCL STREQUAL "OFF")
  message(STATUS "NCCL: not built (MIXTAPE_NCCL=OFF)")
  return()
endif()

# NCCL_ROOT names a folder with include/ and lib/, as that of the wheel (site-packages/nvidia/nccl).
find_path(MIXTAPE_NCCL_INCLUDE nccl.h HINTS ${NCCL_ROOT} ENV NCCL_ROOT PATH_SUFFIXES include)
find_library(MIXTAPE_NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${NCCL_ROOT} ENV NCCL_ROOT
  PATH_SUFFIXES lib)
find_path(MIXTAPE_CUDA_INCLUDE cuda_runtime.h
  HINTS ${CUDAToolkit_INCLUDE_DIRS} /usr/local/cuda/include)
mark_as_advanced(MIXTAPE_NCCL_INCLUDE MIXTAPE_NCCL_LIBRARY MIXTAPE_CUDA_INCLUDE)
if(MIXTAPE_NCCL_INCLUDE AND MIXTAPE_NCCL_LIBRARY AND MIXTAPE_CUDA_INCLUDE)
  set(MIXTAPE_WITH_NCCL ON)
  add_library(mixtape_nccl MODULE kernels/nccl/library.c)
  target_include_directories(mixtape_nccl SYSTEM PRIVATE
    ${MIXTAPE_NCCL_INCLUDE} ${MIXTAPE_CUDA_INCLUDE})
  target_link_libraries(mixtape_nccl PRIVATE mixtape_build ${MIXTAPE_NCCL_LIBRARY})
  set_target_properties(mixtape_nccl PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR} INSTALL_RPATH_USE_LINK_PATH ON)
  message(STATUS "NCCL: built, by ${MIXTAPE_NCCL_LIBRARY}")
elseif(MIXTAPE_NCCL STREQUAL "ON")
  message(FATAL_ERROR "MIXTAPE_NCCL=ON, but there is no nccl.h, libnccl.so.2 or cuda_runtime.h "
    "(NVIDIA's libnccl-dev; or pip install nvidia-nccl-cu13, and its folder as NCCL_ROOT)")
else()
  message(STATUS "NCCL: not built (none was found; docs/several-processes.md)")
endif()
