# Decides whether the CUDA device is built: MIXTAPE_WITH_CUDA. There must be a CUDA Toolkit of
# version 12 or later.
set(MIXTAPE_WITH_CUDA OFF)
if(MIXTAPE_CUDA STREQUAL "OFF")
  message(STATUS "CUDA device: not built (MIXTAPE_CUDA=OFF)")
  return()
endif()

find_program(MIXTAPE_NVCC nvcc PATHS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
mark_as_advanced(MIXTAPE_NVCC)
if(MIXTAPE_NVCC AND NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  set(CMAKE_CUDA_COMPILER ${MIXTAPE_NVCC})
endif()
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  find_package(CUDAToolkit 12.0 QUIET)
endif()

if(CMAKE_CUDA_COMPILER AND CUDAToolkit_FOUND)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(architectures 75-real 80-real 86-real 90)
    if(CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.8)
      list(APPEND architectures 100-real 120-real)
    endif()
    set(CMAKE_CUDA_ARCHITECTURES ${architectures} CACHE STRING
      "From Turing on; PTX for what has no code of its own")
  endif()
  enable_language(CUDA)
  include(CudaArithmetic)
  set(MIXTAPE_WITH_CUDA ON)
  message(STATUS
    "CUDA device: built by CUDA ${CUDAToolkit_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
elseif(MIXTAPE_CUDA STREQUAL "ON")
  message(FATAL_ERROR "MIXTAPE_CUDA=ON, but no CUDA Toolkit of version 12 or later was found "
    "(nvcc on PATH, or CUDACXX)")
else()
  message(STATUS
    "CUDA device: not built (no CUDA Toolkit of version 12 or later); building for the CPU")
endif()
