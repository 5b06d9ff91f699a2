# Refuses options of nvcc by which arithmetic is not the standard's. It defines nothing by which a
# source could see them, as kernels/device.h sees those of C compilers.
get_directory_property(options COMPILE_OPTIONS)
string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
string(REGEX MATCH "-?-(use_fast_math|ftz[= ]true|prec-(div|sqrt)[= ]false)" found
  "$ENV{NVCC_APPEND_FLAGS} ${CMAKE_CUDA_FLAGS} ${CMAKE_CUDA_FLAGS_${type}} ${options}")
if(found)
  message(FATAL_ERROR "${found} makes gradients wrong")
endif()
