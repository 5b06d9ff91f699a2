# Compiles the WKV kernels for real targets and fails if one keeps registers in memory.
foreach(architecture IN ITEMS 80 90)
  execute_process(COMMAND ${NVCC} -std=c++17 -O3 -fmad=false -ftz=true
                          -I ${SOURCE}/include -I ${SOURCE} -cubin -arch=sm_${architecture}
                          -Xptxas=-v -o ${WORK}/spills.cubin ${SOURCE}/kernels/cuda/wkv.cu
                  RESULT_VARIABLE result OUTPUT_VARIABLE report ERROR_VARIABLE report)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "sm_${architecture}: ${report}")
  endif()
  string(REGEX MATCHALL "[0-9]+ bytes spill stores, [0-9]+ bytes spill loads" spills "${report}")
  list(LENGTH spills kernels)
  list(REMOVE_DUPLICATES spills)
  if(kernels LESS 6 OR NOT spills STREQUAL "0 bytes spill stores, 0 bytes spill loads")
    message(FATAL_ERROR "sm_${architecture}: ${report}")
  endif()
  message(STATUS "sm_${architecture}: ${kernels} kernels, no spills")
endforeach()
